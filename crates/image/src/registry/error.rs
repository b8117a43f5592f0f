use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};

use super::credentials;
use crate::{Digest, ManifestError, Reference, store};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an image was not pulled or pushed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name says that the image is of this machine.
    #[error(
        "{reference} is a local name, which is never pulled; import the image (vhive image import) or \
         build it (vhive image build)"
    )]
    Local {
        /// The image.
        reference: Box<Reference>,
    },
    /// The name says that the image is of this machine.
    #[error(
        "{reference} is a local name, which no registry has; give the image a name with a registry"
    )]
    LocalPush {
        /// The image.
        reference: Box<Reference>,
    },
    /// Pushing needs a tag.
    #[error("{reference} has no tag to push to; give the image a name with one")]
    NoTag {
        /// The image.
        reference: Box<Reference>,
    },
    /// No such image.
    #[error(
        "{host} has no {reference}; check the name and the tag",
        host = .reference.registry()
    )]
    NotFound {
        /// The image.
        reference: Box<Reference>,
        /// Its answer.
        source: Cause,
    },
    /// Access without credentials is refused. Registries often say this of images that do not exist.
    #[error(
        "{host} does not give {reference} to anybody; check the name, or log in with `docker login \
         {host}`, as ~/.docker/config.json is read{hint}",
        host = .reference.registry()
    )]
    LoginNeeded {
        /// The image.
        reference: Box<Reference>,
        /// More to know about credentials.
        hint: &'static str,
        /// Its answer.
        source: Cause,
    },
    /// The credentials are refused.
    #[error(
        "{host} refuses {user} access to {reference}; check the name, or log in again with `docker \
         login {host}`",
        host = .reference.registry()
    )]
    Unauthorized {
        /// The image.
        reference: Box<Reference>,
        /// Who was logged in.
        user: String,
        /// Its answer.
        source: Cause,
    },
    /// No connection.
    #[error(
        "cannot reach {host} for {reference} over {scheme}; check that it runs and that its name is \
         right{hint}",
        host = .reference.registry()
    )]
    Unreachable {
        /// The image.
        reference: Box<Reference>,
        /// `http` or `https`.
        scheme: &'static str,
        /// Another reason there may be.
        hint: &'static str,
        /// Why.
        source: Cause,
    },
    /// The connection broke.
    #[error(
        "the connection to {host} broke while {reference} was transferred; try again",
        host = .reference.registry()
    )]
    Interrupted {
        /// The image.
        reference: Box<Reference>,
        /// Why.
        source: Cause,
    },
    /// The registry is overloaded or broken.
    #[error(
        "{host} cannot serve {reference} now (HTTP {status}); try again later",
        host = .reference.registry()
    )]
    Unavailable {
        /// The image.
        reference: Box<Reference>,
        /// The status code.
        status: u16,
        /// Its answer.
        source: Cause,
    },
    /// The registry answers in a way it should not.
    #[error(
        "{host} did not do what it was asked for {reference}",
        host = .reference.registry()
    )]
    Protocol {
        /// The image.
        reference: Box<Reference>,
        /// Its answer.
        source: Cause,
    },
    /// What came is not what its digest says.
    #[error(
        "{host} sent something else than {reference} is made of; it is refused; push \
         the image again, or ask who runs the registry",
        host = .reference.registry()
    )]
    Corrupt {
        /// The image.
        reference: Box<Reference>,
        /// The two digests.
        source: Cause,
    },
    /// A document of the image is refused.
    #[error(
        "{reference} from {host} is refused: {digest}",
        host = .reference.registry()
    )]
    Document {
        /// The image.
        reference: Box<Reference>,
        /// Of the document.
        digest: Digest,
        /// Why.
        source: ManifestError,
    },
    /// HTTPS is not possible on this machine.
    #[error(
        "cannot set up HTTPS; install the certificates (Debian: apt-get install ca-certificates)"
    )]
    Setup {
        /// Why.
        source: Cause,
    },
    /// The credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Whether the same may succeed in a moment.
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Interrupted { .. } | Self::Unavailable { .. }
        )
    }
}

/// What an error of the protocol means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    NotFound,
    Unauthorized,
    Unreachable,
    Interrupted,
    Unavailable(u16),
    Corrupt,
    Protocol,
}

impl Meaning {
    pub(super) fn of(error: &OciDistributionError) -> Self {
        match error {
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_) => Self::Unauthorized,
            OciDistributionError::RegistryError { envelope, .. } => {
                let code = envelope.errors.first().map(|error| &error.code);
                code.map_or(Self::Protocol, Self::of_code)
            }
            OciDistributionError::ServerError { code, .. } => Self::of_status(*code),
            OciDistributionError::ImageManifestNotFoundError(_) => Self::NotFound,
            OciDistributionError::RequestError(error) => match error.status() {
                Some(status) => Self::of_status(status.as_u16()),
                None if error.is_connect() => Self::Unreachable,
                None if error.is_builder() || error.is_redirect() => Self::Protocol,
                None => Self::Interrupted,
            },
            OciDistributionError::DigestError(_) => Self::Corrupt,
            OciDistributionError::IoError(error) => Self::of_stream(error),
            _ => Self::Protocol,
        }
    }

    /// Of an error in the middle of a blob.
    pub(super) fn of_stream(error: &std::io::Error) -> Self {
        match error.get_ref() {
            Some(inner) if inner.is::<DigestError>() => Self::Corrupt,
            _ => Self::Interrupted,
        }
    }

    fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Unauthorized,
            404 => Self::NotFound,
            408 | 429 | 500..=599 => Self::Unavailable(status),
            _ => Self::Protocol,
        }
    }

    fn of_code(code: &OciErrorCode) -> Self {
        use OciErrorCode as Code;
        match code {
            Code::Unauthorized | Code::Denied => Self::Unauthorized,
            Code::ManifestUnknown
            | Code::ManifestBlobUnknown
            | Code::BlobUnknown
            | Code::NameUnknown
            | Code::NotFound => Self::NotFound,
            Code::Toomanyrequests => Self::Unavailable(429),
            _ => Self::Protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16) -> Meaning {
        Meaning::of(&OciDistributionError::ServerError {
            code,
            url: String::new(),
            message: String::new(),
        })
    }

    #[test]
    fn statuses_are_told_apart() {
        assert_eq!(server(401), Meaning::Unauthorized);
        assert_eq!(server(403), Meaning::Unauthorized);
        assert_eq!(server(404), Meaning::NotFound);
        assert_eq!(server(429), Meaning::Unavailable(429));
        assert_eq!(server(502), Meaning::Unavailable(502));
        assert_eq!(server(400), Meaning::Protocol);
    }
}
