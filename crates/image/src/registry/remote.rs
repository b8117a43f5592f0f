//! One image in its registry.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use oci_client::RegistryOperation;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc::UnboundedSender;

use super::credentials::Login;
use super::error::Meaning;
use super::{Error, MANIFESTS};
use crate::manifest::Descriptor;
use crate::{Digest, Reference};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Of silence.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const CHUNK: usize = 256 * 1024;

pub(super) struct Remote {
    client: oci_client::Client,
    name: oci_client::Reference,
    reference: Reference,
    plain: bool,
    login: Login,
    auth: RegistryAuth,
}

impl Remote {
    pub(super) fn new(reference: &Reference, plain: bool, login: Login) -> Result<Self, Error> {
        // One that is installed already, by the process, does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = ClientConfig {
            protocol: if plain {
                ClientProtocol::Http
            } else {
                ClientProtocol::Https
            },
            // Chunked pushes are what registries get wrong.
            use_monolithic_push: true,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: concat!("vhive/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        if reference.is_loopback() {
            // A proxy of the environment is somewhere else, where this machine's loopback is not. Any
            // explicit proxy switches those off; this one is used for nothing.
            config.https_proxy = Some("http://localhost:9".to_owned());
            config.no_proxy = Some("*".to_owned());
        }
        let client = oci_client::Client::try_from(config).map_err(|source| Error::Setup {
            source: source.into(),
        })?;
        let (registry, repository) = (reference.registry(), reference.repository());
        let (registry, repository) = (registry.to_owned(), repository.to_owned());
        let name = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => {
                oci_client::Reference::with_digest(registry, repository, digest.to_string())
            }
            (None, tag) => {
                let tag = tag.unwrap_or("latest").to_owned();
                oci_client::Reference::with_tag(registry, repository, tag)
            }
        };
        Ok(Self {
            client,
            name,
            reference: reference.clone(),
            plain,
            auth: login.auth(),
            login,
        })
    }

    /// Logs in, if the registry wants it.
    pub(super) async fn authenticate(&self, operation: RegistryOperation) -> Result<(), Error> {
        let token = self.client.auth(&self.name, &self.auth, operation).await;
        token.map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// The manifest or index that the name means, and its digest, which has been checked.
    pub(super) async fn manifest(&self) -> Result<(Bytes, Digest), Error> {
        self.manifest_at(&self.name, self.reference.digest()).await
    }

    /// The manifest of this digest.
    pub(super) async fn manifest_of(&self, digest: &Digest) -> Result<(Bytes, Digest), Error> {
        let name = self.name.clone_with_digest(digest.to_string());
        self.manifest_at(&name, Some(digest)).await
    }

    async fn manifest_at(
        &self,
        name: &oci_client::Reference,
        expected: Option<&Digest>,
    ) -> Result<(Bytes, Digest), Error> {
        let pulled = (self.client).pull_manifest_raw(name, &self.auth, &MANIFESTS);
        let (bytes, _) = pulled.await.map_err(|error| self.failed(error))?;
        let actual = Digest::of(&bytes);
        match expected {
            Some(expected) if *expected != actual => {
                let expected = expected.clone();
                Err(self.corrupt(crate::store::Error::DigestMismatch { expected, actual }))
            }
            _ => Ok((bytes, actual)),
        }
    }

    /// The bytes of a blob, as they come.
    pub(super) async fn blob(
        &self,
        digest: &Digest,
    ) -> Result<BoxStream<'_, Result<Bytes, Error>>, Error> {
        let stream = self.client.pull_blob_stream(&self.name, digest.as_str());
        let stream = stream.await.map_err(|error| self.failed(error))?.stream;
        let chunks = stream.map(|chunk| {
            chunk.map_err(|error| self.error(&Meaning::of_stream(&error), error.into()))
        });
        Ok(chunks.boxed())
    }

    /// Whether the registry has the blob. Some refuse to say so of a repository that does not exist
    /// yet; then it has not.
    pub(super) async fn has(&self, digest: &Digest) -> Result<bool, Error> {
        let found = self.client.blob_exists(&self.name, digest.as_str()).await;
        match found.map_err(|error| self.failed(error)) {
            Err(Error::Unauthorized { .. } | Error::LoginNeeded { .. }) => Ok(false),
            found => found,
        }
    }

    /// Sends the content of a file. `sent` hears of every chunk.
    pub(super) async fn send(
        &self,
        blob: &Descriptor,
        path: &Path,
        sent: UnboundedSender<u64>,
    ) -> Result<(), Error> {
        let file = tokio::fs::File::open(path).await;
        let file = file.map_err(crate::store::Error::io("open", path))?;
        let chunks = futures_util::stream::try_unfold((file, sent), |(mut file, sent)| async {
            let mut chunk = Vec::with_capacity(CHUNK);
            let count = file.read_buf(&mut chunk).await?;
            // Nobody listens any more when the request has failed.
            let _ = sent.send(count as u64);
            let more = count > 0;
            Ok::<_, OciDistributionError>(more.then(|| (Bytes::from(chunk), (file, sent))))
        });
        let (client, name, digest) = (&self.client, &self.name, blob.digest.as_str());
        let pushed = client.push_blob_stream(name, chunks, digest, Some(blob.size));
        pushed.await.map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// Sends a manifest, to which the tag points from then on.
    pub(super) async fn send_manifest(
        &self,
        bytes: Vec<u8>,
        media_type: &str,
    ) -> Result<(), Error> {
        let media_type = media_type.parse().map_err(|source| Error::Protocol {
            reference: Box::new(self.reference.clone()),
            source: Box::<http::header::InvalidHeaderValue>::new(source),
        })?;
        let pushed = self.client.push_manifest_raw(&self.name, bytes, media_type);
        pushed.await.map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// The registry sent something wrong.
    pub(super) fn corrupt(&self, source: crate::store::Error) -> Error {
        self.error(&Meaning::Corrupt, source.into())
    }

    fn failed(&self, error: OciDistributionError) -> Error {
        self.error(&Meaning::of(&error), error.into())
    }

    fn error(&self, meaning: &Meaning, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
        let reference = Box::new(self.reference.clone());
        match (meaning, self.login.user()) {
            (Meaning::NotFound, _) => Error::NotFound { reference, source },
            (Meaning::Unauthorized, Some(user)) => Error::Unauthorized {
                reference,
                user: user.to_owned(),
                source,
            },
            (Meaning::Unauthorized, None) => Error::LoginNeeded {
                reference,
                hint: self.login.hint(),
                source,
            },
            (Meaning::Unreachable, _) => Error::Unreachable {
                reference,
                scheme: if self.plain { "http" } else { "https" },
                hint: if self.plain {
                    ""
                } else {
                    "; if it speaks plain HTTP, it has to be named as one that does"
                },
                source,
            },
            (Meaning::Interrupted, _) => Error::Interrupted { reference, source },
            (Meaning::Unavailable(status), _) => Error::Unavailable {
                reference,
                status: *status,
                source,
            },
            (Meaning::Corrupt, _) => Error::Corrupt { reference, source },
            (Meaning::Protocol, _) => Error::Protocol { reference, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_is_possible() {
        let name = "docker.io/library/hello-world".parse().unwrap();
        let remote = Remote::new(&name, false, Login::Anonymous(false));
        assert!(remote.is_ok(), "{:?}", remote.err());
    }
}
