//! Whom the process runs as, by the image's `/etc/passwd` and `/etc/group` (passwd(5), group(5)).
//!
//! The rules are those of the OCI image configuration's `User`: a name must be in the files, a number need
//! not; without a group, the user's own group and those it is a member of are taken; with one, only that.

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no user {name:?} in the image's /etc/passwd")]
    NoUser { name: String },
    #[error("there is no group {name:?} in the image's /etc/group")]
    NoGroup { name: String },
    #[error("cannot read {path:?}")]
    Read { path: PathBuf, source: io::Error },
}

/// A resolved user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    /// Supplementary groups.
    pub(crate) groups: Vec<Gid>,
    /// Home directory, `/` if unknown.
    pub(crate) home: String,
}

/// Resolves `spec` by the image's files.
pub(crate) fn of_image(spec: &str) -> Result<User, Error> {
    resolve(spec, Path::new("/etc/passwd"), Path::new("/etc/group"))
}

/// Resolves `spec` by the files, of which either may be missing.
fn resolve(spec: &str, passwd: &Path, group: &Path) -> Result<User, Error> {
    // The common case costs one file.
    if matches!(spec, "" | "0" | "0:0") {
        return lookup(spec, &read(passwd)?, "");
    }
    lookup(spec, &read(passwd)?, &read(group)?)
}

fn read(path: &Path) -> Result<String, Error> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(Error::Read {
            path: path.into(),
            source,
        }),
    }
}

fn lookup(spec: &str, passwd: &str, group: &str) -> Result<User, Error> {
    let (user, group_spec) = match spec.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (spec, None),
    };
    let user = if user.is_empty() { "0" } else { user };

    // name:password:uid:gid:comment:home:shell
    let entry = passwd.lines().map(fields).find(|fields| {
        fields.first() == Some(&user)
            || (user.parse::<u32>().is_ok() && fields.get(2) == Some(&user))
    });
    let field = |at: usize| entry.as_ref().and_then(|fields| fields.get(at)).copied();
    let number = |at: usize| field(at).and_then(|text| text.parse::<u32>().ok());
    let uid = number(2).or_else(|| user.parse().ok());
    let uid = uid.ok_or_else(|| Error::NoUser {
        name: user.to_owned(),
    })?;

    let (gid, groups) = match group_spec {
        Some(name) => (group_id(name, group)?, Vec::new()),
        None => (
            number(3).unwrap_or(0),
            memberships(field(0).unwrap_or_default(), group),
        ),
    };
    let home = field(5).filter(|home| !home.is_empty()).unwrap_or("/");
    Ok(User {
        uid: Uid::from_raw(uid),
        gid: Gid::from_raw(gid),
        groups,
        home: home.to_owned(),
    })
}

fn fields(line: &str) -> Vec<&str> {
    line.trim_end().split(':').collect()
}

/// name:password:gid:member,member
fn group_id(name: &str, group: &str) -> Result<u32, Error> {
    group
        .lines()
        .map(fields)
        .find(|fields| fields.first() == Some(&name))
        .and_then(|fields| fields.get(2)?.parse().ok())
        .or_else(|| name.parse().ok())
        .ok_or_else(|| Error::NoGroup {
            name: name.to_owned(),
        })
}

fn memberships(user: &str, group: &str) -> Vec<Gid> {
    group
        .lines()
        .map(fields)
        .filter(|fields| {
            fields
                .get(3)
                .is_some_and(|members| members.split(',').any(|member| member == user))
        })
        .filter_map(|fields| fields.get(2)?.parse().ok())
        .filter(|_| !user.is_empty())
        .map(Gid::from_raw)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                          app:x:1000:1001::/home/app:/bin/sh\n\
                          bare:x:7:8\n\
                          broken\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:app,other\nvideo:x:44:other,app\nbroken\n";

    fn user(uid: u32, gid: u32, groups: &[u32], home: &str) -> User {
        User {
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
            groups: groups.iter().copied().map(Gid::from_raw).collect(),
            home: home.to_owned(),
        }
    }

    #[test]
    fn nobody_in_particular_is_root() {
        assert_eq!(lookup("", PASSWD, GROUP).unwrap(), user(0, 0, &[], "/root"));
        assert_eq!(lookup("", "", "").unwrap(), user(0, 0, &[], "/"));
    }

    #[test]
    fn a_name_brings_its_group_home_and_memberships() {
        assert_eq!(
            lookup("app", PASSWD, GROUP).unwrap(),
            user(1000, 1001, &[50, 44], "/home/app")
        );
    }

    #[test]
    fn a_number_in_the_file_is_as_good_as_the_name() {
        assert_eq!(
            lookup("1000", PASSWD, GROUP).unwrap(),
            user(1000, 1001, &[50, 44], "/home/app")
        );
    }

    #[test]
    fn a_number_need_not_be_in_the_file() {
        assert_eq!(
            lookup("65532", PASSWD, GROUP).unwrap(),
            user(65532, 0, &[], "/")
        );
        assert_eq!(
            lookup("65532:65533", "", "").unwrap(),
            user(65532, 65533, &[], "/")
        );
    }

    #[test]
    fn a_given_group_stands_alone() {
        assert_eq!(
            lookup("app:video", PASSWD, GROUP).unwrap(),
            user(1000, 44, &[], "/home/app")
        );
        assert_eq!(
            lookup("app:9", PASSWD, GROUP).unwrap(),
            user(1000, 9, &[], "/home/app")
        );
    }

    #[test]
    fn an_entry_without_a_home_lives_in_the_root() {
        assert_eq!(lookup("bare", PASSWD, GROUP).unwrap(), user(7, 8, &[], "/"));
    }

    #[test]
    fn an_unknown_name_is_refused_by_name() {
        let error = lookup("nobody", PASSWD, GROUP).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"there is no user "nobody" in the image's /etc/passwd"#
        );
        let error = lookup("app:nogroup", PASSWD, GROUP).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"there is no group "nogroup" in the image's /etc/group"#
        );
        assert!(lookup("broken", PASSWD, GROUP).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_file_of_an_image_makes_the_lookup_panic(spec: String, passwd in "[a-c0-9:,\n]*", group in "[a-c0-9:,\n]*") {
            let _ = lookup(&spec, &passwd, &group);
        }
    }
}
