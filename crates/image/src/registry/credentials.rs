//! What `docker login` keeps: `~/.docker/config.json`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

const DOCKER_HUB: &str = "docker.io";

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the registry credentials in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what Docker writes.
    #[error("the registry credentials in {path} are no JSON of Docker's kind; log in again")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The entry of a registry is not what Docker writes.
    #[error(
        "the credentials of {registry} in {path} cannot be read; log in again with `docker login {registry}`"
    )]
    Entry {
        /// The registry.
        registry: String,
        /// The file.
        path: PathBuf,
    },
    /// Docker's OAuth login.
    #[error(
        "the credentials of {registry} in {path} are an identity token, which is not supported; log in \
         with an access token in place of the password"
    )]
    IdentityToken {
        /// The registry.
        registry: String,
        /// The file.
        path: PathBuf,
    },
}

/// Registry → credentials.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    path: PathBuf,
    auths: BTreeMap<String, Entry>,
    elsewhere: bool,
}

/// As in the file.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "identitytoken")]
    identity_token: Option<String>,
    #[serde(rename = "registrytoken")]
    registry_token: Option<String>,
}

/// How to log in to one registry.
pub(super) enum Login {
    /// Not at all. `true` if there may be credentials that cannot be had.
    Anonymous(bool),
    Password(String, String),
    Token(String),
}

impl Credentials {
    /// No credentials for any registry.
    pub fn none() -> Self {
        Self::default()
    }

    /// Those of the user: `config.json` in `$DOCKER_CONFIG` or `~/.docker`. No file, no credentials.
    pub fn of_user() -> Result<Self, Error> {
        let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker"));
        match folder.or_else(home) {
            Some(folder) => Self::read(&folder.join("config.json")),
            None => Ok(Self::none()),
        }
    }

    /// Those of one file, which need not exist.
    pub fn read(path: &Path) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct File {
            #[serde(default)]
            auths: BTreeMap<String, Entry>,
            creds_store: Option<String>,
            #[serde(default)]
            cred_helpers: BTreeMap<String, String>,
        }
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::none()),
            Err(source) => {
                let path = path.to_owned();
                return Err(Error::Read { path, source });
            }
        };
        let file: File = serde_json::from_slice(&bytes).map_err(|source| Error::Malformed {
            path: path.to_owned(),
            source,
        })?;
        let auths = file.auths.into_iter();
        Ok(Self {
            path: path.to_owned(),
            auths: auths
                .map(|(key, entry)| (host(&key).to_owned(), entry))
                .collect(),
            elsewhere: file.creds_store.is_some() || !file.cred_helpers.is_empty(),
        })
    }

    /// Those for one registry.
    pub(super) fn of(&self, registry: &str) -> Result<Login, Error> {
        let Some(entry) = self.auths.get(host(registry)) else {
            return Ok(Login::Anonymous(self.elsewhere));
        };
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = set(&entry.registry_token) {
            return Ok(Login::Token(token));
        }
        if set(&entry.identity_token).is_some() {
            return Err(Error::IdentityToken {
                registry: registry.to_owned(),
                path: self.path.clone(),
            });
        }
        if let (Some(user), Some(password)) = (set(&entry.username), set(&entry.password)) {
            return Ok(Login::Password(user, password));
        }
        // With a credential store there is an entry for each registry, which is empty.
        let Some(auth) = set(&entry.auth) else {
            return Ok(Login::Anonymous(self.elsewhere));
        };
        decode(&auth).ok_or_else(|| Error::Entry {
            registry: registry.to_owned(),
            path: self.path.clone(),
        })
    }
}

impl Login {
    pub(super) fn auth(&self) -> RegistryAuth {
        match self {
            Self::Anonymous(_) => RegistryAuth::Anonymous,
            Self::Password(user, password) => RegistryAuth::Basic(user.clone(), password.clone()),
            Self::Token(token) => RegistryAuth::Bearer(token.clone()),
        }
    }

    pub(super) fn user(&self) -> Option<&str> {
        match self {
            Self::Anonymous(_) => None,
            Self::Password(user, _) => Some(user),
            Self::Token(_) => Some("this token"),
        }
    }

    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Anonymous(true) => " (credentials in a store or helper program are not)",
            _ => "",
        }
    }
}

/// `base64(user:password)`.
fn decode(auth: &str) -> Option<Login> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    // Docker pads with NUL.
    let password = password.trim_end_matches('\0');
    Some(Login::Password(user.to_owned(), password.to_owned()))
}

/// The host of a key, which may be a URL: `https://index.docker.io/v1/` is Docker Hub's.
fn host(key: &str) -> &str {
    let key = key.strip_prefix("https://").unwrap_or(key);
    let key = key.strip_prefix("http://").unwrap_or(key);
    match key.split('/').next().unwrap_or_default() {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        host => host,
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Credentials, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        Credentials::read(&path)
    }

    fn login(credentials: &Credentials, registry: &str) -> RegistryAuth {
        credentials.of(registry).unwrap().auth()
    }

    #[test]
    fn a_login_is_found_by_host_whatever_form_its_key_has() {
        let auth = STANDARD.encode("me:pass:word");
        let credentials = read(&format!(
            r#"{{"auths": {{
                "https://index.docker.io/v1/": {{"auth": "{auth}"}},
                "localhost:5000": {{"username": "u", "password": "p"}},
                "https://ghcr.io": {{"registrytoken": "t"}},
                "quay.io": {{}}
            }}, "credsStore": "desktop"}}"#
        ))
        .unwrap();
        let basic = |user: &str, password: &str| RegistryAuth::Basic(user.into(), password.into());
        assert_eq!(login(&credentials, "docker.io"), basic("me", "pass:word"));
        assert_eq!(login(&credentials, "localhost:5000"), basic("u", "p"));
        assert_eq!(
            login(&credentials, "ghcr.io"),
            RegistryAuth::Bearer("t".into())
        );
        assert_eq!(
            login(&credentials, "localhost:5001"),
            RegistryAuth::Anonymous
        );
        assert!(matches!(
            credentials.of("quay.io"),
            Ok(Login::Anonymous(true))
        ));
    }

    #[test]
    fn no_file_is_no_credentials() {
        let credentials = Credentials::read(Path::new("/nonexistent/config.json")).unwrap();
        assert_eq!(login(&credentials, "docker.io"), RegistryAuth::Anonymous);
    }

    #[test]
    fn what_cannot_be_used_is_an_error_and_not_an_anonymous_login() {
        let token = read(r#"{"auths": {"a.io": {"auth": "eDp5", "identitytoken": "t"}}}"#).unwrap();
        assert!(matches!(token.of("a.io"), Err(Error::IdentityToken { .. })));
        let garbled = read(r#"{"auths": {"a.io": {"auth": "!"}}}"#).unwrap();
        assert!(matches!(garbled.of("a.io"), Err(Error::Entry { .. })));
        assert!(matches!(read("[]"), Err(Error::Malformed { .. })));
    }

    #[test]
    fn secrets_are_not_printed() {
        let credentials =
            read(r#"{"auths": {"a.io": {"username": "u", "password": "hunter2"}}}"#).unwrap();
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
