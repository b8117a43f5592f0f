//! Users beside the node's owner: one file each, with the role and the digest of the token that the user shows.
//!
//! A file is read when its token is shown, so that a user is gone with the file. The token itself is nowhere but with the user: who
//! reads the files cannot speak for anybody.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::user::{Role, User};

/// In the folder of the certificates.
const FOLDER: &str = "users";

/// Why a user could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The name cannot be a user's.
    #[error(
        "{name:?} cannot be the name of a user; use at most 63 lower-case letters, digits and dashes, and not vhive-admin"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// There is no such user.
    #[error("there is no user {name:?}; the files in {folder} are named as the users", folder = .folder.display())]
    Absent {
        /// The name.
        name: String,
        /// Where the users are.
        folder: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot read or write {path}; check that this user may, and that the disk is not full", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What a file says.
#[derive(Serialize, Deserialize)]
struct Entry {
    role: Role,
    /// Of the whole token, in base64.
    sha256: String,
}

/// The users of a node.
#[derive(Debug, Clone)]
pub struct Users {
    folder: PathBuf,
}

impl Users {
    /// Those under the folder of the certificates.
    pub fn under(pki: &Path) -> Self {
        Self {
            folder: pki.join(FOLDER),
        }
    }

    /// Makes a user, or gives one that is there another role and token, and returns the token.
    ///
    /// # Errors
    /// [`UserError`].
    pub fn issue(&self, name: &str, role: Role) -> Result<String, UserError> {
        let path = self.path(name)?;
        // 244 random bits.
        let secret = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(|it| it.simple().to_string());
        let token = format!("{name}.{}", secret.concat());
        let entry = Entry {
            role,
            sha256: digest(&token),
        };
        let io = |source| UserError::Io {
            path: path.clone(),
            source,
        };
        let text = serde_json::to_vec(&entry).map_err(|error| io(error.into()))?;
        self.write(&path, &text).map_err(io)?;
        Ok(token)
    }

    /// Removes a user: the next request with the token is refused.
    ///
    /// # Errors
    /// [`UserError::Absent`], and the others.
    pub fn revoke(&self, name: &str) -> Result<(), UserError> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(UserError::Absent {
                name: name.to_owned(),
                folder: self.folder.clone(),
            }),
            removed => removed.map_err(|source| UserError::Io { path, source }),
        }
    }

    /// Who shows this token. What cannot be read is nobody's.
    pub(crate) fn find(&self, token: &str) -> Option<User> {
        let (name, _) = token.split_once('.')?;
        let text = fs::read(self.path(name).ok()?).ok()?;
        let entry: Entry = serde_json::from_slice(&text).ok()?;
        // Digests, not secrets, are compared: how long it takes tells nothing of the token.
        (entry.sha256 == digest(token)).then(|| User {
            name: name.to_owned(),
            role: entry.role,
        })
    }

    /// The file of a user: a name has nothing in it that leads out of the folder.
    fn path(&self, name: &str) -> Result<PathBuf, UserError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = name.as_bytes();
        let sound = bytes.len() <= 63
            && bytes.first().is_some_and(|byte| plain(*byte))
            && bytes.iter().all(|byte| plain(*byte) || *byte == b'-')
            && name != api::admission::USER;
        if sound {
            Ok(self.folder.join(name))
        } else {
            Err(UserError::Name {
                name: name.to_owned(),
            })
        }
    }

    /// Replaces a file as a whole. The folder is its owner's alone.
    fn write(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        // No user has a name with a dot.
        let new = path.with_extension(format!("new{}", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(&self.folder)?.sync_all()
    }
}

fn digest(token: &str) -> String {
    STANDARD.encode(Sha256::digest(token))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_its_users_until_he_gets_another_or_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let users = Users::under(folder.path());
        let first = users.issue("ada", Role::Viewer).unwrap();
        let ada = User {
            name: "ada".into(),
            role: Role::Viewer,
        };
        assert_eq!(users.find(&first), Some(ada));
        let path = folder.path().join("users/ada");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (_, secret) = first.split_once('.').unwrap();
        assert!(!fs::read_to_string(&path).unwrap().contains(secret));

        let second = users.issue("ada", Role::Admin).unwrap();
        assert_eq!(users.find(&first), None);
        assert_eq!(users.find(&second).unwrap().role, Role::Admin);
        users.revoke("ada").unwrap();
        assert_eq!(users.find(&second), None);
        assert!(matches!(users.revoke("ada"), Err(UserError::Absent { .. })));
    }

    #[test]
    fn what_is_no_token_is_nobodys() {
        let folder = tempfile::tempdir().unwrap();
        let users = Users::under(folder.path());
        let ada = users.issue("ada", Role::Viewer).unwrap();
        users.issue("bob", Role::Viewer).unwrap();
        let (_, secret) = ada.split_once('.').unwrap();
        fs::write(folder.path().join("users/eve"), "{}").unwrap();
        for token in [
            "",
            ".",
            "ada",
            "ada.",
            &format!("bob.{secret}"),
            &format!("{ada}0"),
            &format!("../users/ada.{secret}"),
            "eve.x",
            "nobody.x",
        ] {
            assert_eq!(users.find(token), None, "{token}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let users = Users::under(folder.path());
        for name in [
            "",
            "..",
            "a/b",
            "a.b",
            "A",
            "-a",
            "vhive-admin",
            &"a".repeat(64),
        ] {
            let refused = users.issue(name, Role::Viewer);
            assert!(matches!(refused, Err(UserError::Name { .. })), "{name}");
        }
    }
}
