//! Images from and to registries.
//!
//! The protocol is `oci-client`'s: <https://github.com/opencontainers/distribution-spec>. Blobs are
//! streamed between it and the store, which digests them as they come; a blob is never in memory as a
//! whole.

mod credentials;
mod error;
mod progress;
mod pull;
mod push;
mod remote;
mod retry;

use std::sync::Arc;

use crate::manifest::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::{Digest, Image, Reference, Store};

pub use credentials::{Credentials, Error as CredentialsError};
pub use error::Error;
pub use progress::Progress;
use remote::Remote;

const MANIFESTS: [&str; 4] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST];
/// Blobs of one image under way at once; as Docker and containerd have it.
const PARALLEL: usize = 3;

/// Pulls and pushes. Cheap to make; connections are kept within one pull or push.
#[derive(Debug, Clone, Default)]
pub struct Client {
    credentials: Credentials,
    plain_http: Vec<String>,
}

impl Client {
    /// A client that speaks HTTPS, but for registries on this machine and those named in `plain_http`
    /// (`host` or `host:port`, as in references).
    pub fn new(credentials: Credentials, plain_http: Vec<String>) -> Self {
        Self {
            credentials,
            plain_http,
        }
    }

    /// Brings an image into the store. Content that is there already is not fetched. `progress` hears
    /// of every chunk, on the thread that fetches it.
    pub async fn pull(
        &self,
        store: &Store,
        reference: &Reference,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Image, Error> {
        if reference.is_local() {
            return Err(Error::Local {
                reference: Box::new(reference.clone()),
            });
        }
        pull::pull(self.remote(reference)?, store, reference, progress).await
    }

    /// Sends an image of the store to the registry in its name. Content that is there already is not
    /// sent. Says the digest the image has there, which is the one it has here.
    pub async fn push(
        &self,
        store: &Store,
        reference: &Reference,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Digest, Error> {
        if reference.is_local() {
            return Err(Error::LocalPush {
                reference: Box::new(reference.clone()),
            });
        }
        if reference.tag().is_none() {
            return Err(Error::NoTag {
                reference: Box::new(reference.clone()),
            });
        }
        push::push(self.remote(reference)?, store, reference, progress).await
    }

    fn remote(&self, reference: &Reference) -> Result<Arc<Remote>, Error> {
        let named = |host: &String| host == reference.registry();
        let plain = reference.is_loopback() || self.plain_http.iter().any(named);
        let login = self.credentials.of(reference.registry())?;
        Ok(Arc::new(Remote::new(reference, plain, login)?))
    }
}

/// Starts what blocks on the disk, where it may.
fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> + Send {
    let running = tokio::task::spawn_blocking(work);
    async {
        match running.await {
            Ok(result) => result,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down, and this future with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}
