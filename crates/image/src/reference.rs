//! Names of images: parsed and completed as all container tools do.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// Registries that exist in no network. Knative never resolves tags of the `.local` ones
/// (`registries-skipping-tag-resolving`); `localhost` without a port is where Podman puts local
/// builds.
const LOCAL: [&str; 4] = ["dev.local", "ko.local", "kind.local", "localhost"];

/// A complete name: `registry/repository`, with a tag, a digest or both. What is left out is filled
/// in: `nginx` is `docker.io/library/nginx:latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// The text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` names no image; write [registry/]name[:tag][@sha256:…], the name in lower-case letters"
)]
pub struct Error {
    /// What was given.
    pub text: String,
}

impl Reference {
    /// The host of the registry, with its port if one is given: `docker.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path in the registry: `library/nginx`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `None` if the image is named by digest alone.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest. Where there is one, it decides which image is meant, whatever the tag is.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository at this digest, without a tag.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Whether the name can only mean an image of this machine, which is imported or built, never
    /// pulled.
    pub fn is_local(&self) -> bool {
        LOCAL.contains(&self.registry.as_str())
    }

    /// Whether the registry is on this machine, and so is spoken to without TLS.
    pub fn is_loopback(&self) -> bool {
        let host = self.registry.split(':').next().unwrap_or_default();
        let is_loopback = |address: Ipv4Addr| address.is_loopback();
        host == "localhost" || host.parse().is_ok_and(is_loopback)
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error {
            text: text.to_owned(),
        };
        let parsed: oci_client::Reference = text.parse().map_err(|_| wrong())?;
        let digest = parsed.digest().map(str::parse).transpose();
        Ok(Self {
            registry: parsed.registry().to_owned(),
            repository: parsed.repository().to_owned(),
            tag: parsed.tag().map(str::to_owned),
            digest: digest.map_err(|_| wrong())?,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Reference {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn normal(text: &str) -> String {
        text.parse::<Reference>()
            .map_or_else(|error| error.to_string(), |reference| reference.to_string())
    }

    #[test]
    fn short_names_are_completed_as_container_tools_do() {
        for (text, whole) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("vhiveease/hello", "docker.io/vhiveease/hello:latest"),
            ("index.docker.io/a/b", "docker.io/a/b:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("localhost/fn", "localhost/fn:latest"),
            ("localhost:5000/fn:v1", "localhost:5000/fn:v1"),
            ("host:5000/a/b/c", "host:5000/a/b/c:latest"),
            ("dev.local/hello:dev", "dev.local/hello:dev"),
            ("ghcr.io/a/b_c.d-e", "ghcr.io/a/b_c.d-e:latest"),
        ] {
            assert_eq!(normal(text), whole);
            assert_eq!(normal(whole), whole);
        }
    }

    #[test]
    fn a_digest_needs_no_tag_and_goes_with_one() {
        assert_eq!(
            normal(&format!("nginx@{DIGEST}")),
            format!("docker.io/library/nginx@{DIGEST}")
        );
        assert_eq!(
            normal(&format!("nginx:1@{DIGEST}")),
            format!("docker.io/library/nginx:1@{DIGEST}")
        );
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let upper = format!("x@{}", DIGEST.to_uppercase());
        let sha512 = format!("x@sha512:{}", "0".repeat(128));
        for text in [
            "",
            "/x",
            "x/",
            "Nginx",
            "x:",
            "x@sha256:12",
            "a b",
            "x:-v",
            "../x",
            "a/../b",
            &upper,
            &sha512,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }

    #[test]
    fn local_names_are_told_from_registries_on_this_machine() {
        let is = |text: &str| {
            let reference: Reference = text.parse().unwrap();
            (reference.is_local(), reference.is_loopback())
        };
        assert_eq!(is("dev.local/x"), (true, false));
        assert_eq!(is("localhost/x"), (true, true));
        assert_eq!(is("localhost:5000/x"), (false, true));
        assert_eq!(is("127.0.0.9:80/x"), (false, true));
        assert_eq!(is("10.0.0.1:5000/x"), (false, false));
        assert_eq!(is("x"), (false, false));
    }
}
