//! What a plan has to know of the host that it is for.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;

use thiserror::Error;

/// What is known of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its distribution.
    pub distribution: Distribution,
    /// Its processor.
    pub architecture: Architecture,
    /// The address that other nodes reach it by.
    pub node_ip: IpAddr,
    /// The release of its kernel, as `uname -r` prints it.
    pub kernel: String,
    /// Who asks: the owner of the kubeconfig, the logs and masterKey.yaml.
    pub user: User,
    /// The folder that logs and masterKey.yaml go to.
    pub folder: PathBuf,
    /// This program.
    pub program: PathBuf,
    /// `http_proxy` and its like.
    pub proxies: BTreeMap<String, String>,
}

/// A distribution and its release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Which one.
    pub family: Family,
    /// `VERSION_ID` of os-release.
    pub release: String,
}

/// The distributions that set-up knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Debian
    Debian,
    /// Ubuntu
    Ubuntu,
}

/// The processors that set-up knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64
    Amd64,
    /// 64-bit Arm
    Arm64,
}

impl Architecture {
    /// As Debian and Go say it.
    pub fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As the kernel says it.
    pub fn kernel(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

/// Somebody who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Home folder.
    pub home: PathBuf,
}

/// The releases that set-up was made for.
pub const KNOWN: [(Family, &str); 5] = [
    (Family::Debian, "12"),
    (Family::Debian, "13"),
    (Family::Ubuntu, "20.04"),
    (Family::Ubuntu, "22.04"),
    (Family::Ubuntu, "24.04"),
];

/// Variables that programs find a proxy by.
pub const PROXY_VARIABLES: [&str; 6] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// Why a host cannot be set up.
#[derive(Debug, Error)]
pub enum Error {
    /// os-release cannot be read.
    #[error("cannot read {file}, which names the distribution")]
    Unreadable {
        /// The file.
        file: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No plan was made for it.
    #[error("this is {found}; set-up knows Debian 12 and 13, and Ubuntu 20.04, 22.04 and 24.04")]
    UnknownDistribution {
        /// As os-release has it.
        found: String,
    },
    /// No plan was made for it.
    #[error("the processor is {0}; set-up knows x86_64 and aarch64")]
    UnknownArchitecture(&'static str),
    /// The host has no route, or no address.
    #[error("cannot tell this node's address: name it with --node-ip")]
    NoAddress {
        /// Why.
        source: io::Error,
    },
    /// A folder of the process is not known.
    #[error("cannot tell where this process is")]
    NoFolder {
        /// Why.
        source: io::Error,
    },
}

impl Facts {
    /// Of this host. `node_ip` is used instead of the address that the default route has.
    pub fn read(node_ip: Option<IpAddr>) -> Result<Self, Error> {
        const OS_RELEASE: &str = "/etc/os-release";
        let text = fs::read_to_string(OS_RELEASE).map_err(|source| Error::Unreadable {
            file: OS_RELEASE,
            source,
        })?;
        let folder = std::env::current_dir().map_err(|source| Error::NoFolder { source })?;
        let program = std::env::current_exe().map_err(|source| Error::NoFolder { source })?;
        Ok(Self {
            distribution: Distribution::parse(&text)?,
            architecture: match std::env::consts::ARCH {
                "x86_64" => Architecture::Amd64,
                "aarch64" => Architecture::Arm64,
                other => return Err(Error::UnknownArchitecture(other)),
            },
            node_ip: match node_ip {
                Some(address) => address,
                None => own_address().map_err(|source| Error::NoAddress { source })?,
            },
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            user: User::asking(),
            folder,
            program,
            proxies: PROXY_VARIABLES
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        })
    }
}

/// The address from which the rest of the world would be spoken to. Nothing is sent: a datagram socket is only given its route.
fn own_address() -> io::Result<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    // TEST-NET-2 of RFC 5737: never anybody's, so only the default route leads to it.
    socket.connect(("198.51.100.1", 9))?;
    Ok(socket.local_addr()?.ip())
}

impl Distribution {
    /// Reads os-release(5).
    pub fn parse(os_release: &str) -> Result<Self, Error> {
        let value = |key: &str| {
            let line = os_release.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.strip_prefix('=')?.trim_matches('"').to_owned())
        };
        let (id, release) = (
            value("ID").unwrap_or_default(),
            value("VERSION_ID").unwrap_or_default(),
        );
        let family = match id.as_str() {
            "debian" => Some(Family::Debian),
            "ubuntu" => Some(Family::Ubuntu),
            _ => None,
        };
        match family {
            Some(family) if KNOWN.contains(&(family, release.as_str())) => {
                Ok(Self { family, release })
            }
            _ => Err(Error::UnknownDistribution {
                found: format!("{id} {release}").trim().to_owned(),
            }),
        }
    }
}

impl User {
    /// Who runs this, or who ran sudo to run this.
    fn asking() -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse().ok();
        let uid = number("SUDO_UID").unwrap_or_else(|| rustix::process::getuid().as_raw());
        let gid = number("SUDO_GID").unwrap_or_else(|| rustix::process::getgid().as_raw());
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let home = home_in(&passwd, uid).or_else(|| std::env::var_os("HOME").map(PathBuf::from));
        Self {
            uid,
            gid,
            home: home.unwrap_or_else(|| PathBuf::from("/root")),
        }
    }
}

/// The home folder of a user, as passwd(5) has it.
fn home_in(passwd: &str, uid: u32) -> Option<PathBuf> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid)).then(|| fields.get(5).map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_known_by_its_name_and_release() {
        let parsed = Distribution::parse(
            "NAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n",
        );
        assert_eq!(
            parsed.ok(),
            Some(Distribution {
                family: Family::Ubuntu,
                release: "24.04".to_owned()
            })
        );
    }

    #[test]
    fn another_distribution_is_refused_by_name() {
        let refused =
            Distribution::parse("ID=fedora\nVERSION_ID=44\n").map_err(|error| error.to_string());
        assert!(refused.is_err_and(|text| text.starts_with("this is fedora 44;")));
    }

    #[test]
    fn a_home_is_found_by_the_users_number() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nsam:x:1000:1000::/home/sam:/bin/sh\n";
        assert_eq!(home_in(passwd, 1000), Some(PathBuf::from("/home/sam")));
        assert_eq!(home_in(passwd, 1001), None);
    }
}
