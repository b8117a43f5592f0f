//! From an image reference to a root file system on this machine: found in the store or pulled, then flattened.

use std::sync::Arc;

use image::registry::Client;
use image::{Image, Limits, Reference, RootImage, Store};
use tracing::info;

/// The node's images. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Images {
    store: Store,
    registry: Arc<Client>,
    limits: Arc<Limits>,
}

/// Why an image is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read image {reference}")]
    Resolve {
        reference: Reference,
        #[source]
        source: image::Error,
    },
    #[error("cannot pull image {reference}")]
    Pull {
        reference: Reference,
        #[source]
        source: image::registry::Error,
    },
    #[error("cannot make a root file system of image {reference}")]
    Flatten {
        reference: Reference,
        #[source]
        source: image::Error,
    },
    #[error("the task that prepared image {0} was stopped")]
    Stopped(Reference),
}

impl Images {
    pub(crate) fn new(store: Store, registry: Client) -> Self {
        Self {
            store,
            registry: Arc::new(registry),
            limits: Arc::new(Limits::default()),
        }
    }

    /// The image and its root; pulls only what is not here (`IfNotPresent`).
    pub(crate) async fn prepare(&self, reference: &Reference) -> Result<(Image, RootImage), Error> {
        let resolve = |source| Error::Resolve {
            reference: reference.clone(),
            source,
        };
        let present = self
            .blocking(reference, Store::resolve)
            .await?
            .map_err(resolve)?;
        let image = if let Some(image) = present {
            image
        } else {
            info!(%reference, "pulling");
            let pulled = self.registry.pull(&self.store, reference, &|_| ()).await;
            pulled.map_err(|source| Error::Pull {
                reference: reference.clone(),
                source,
            })?
        };
        let wanted = image.clone();
        let limits = Arc::clone(&self.limits);
        let root = self
            .blocking(reference, move |store, _| store.root(&wanted, &limits))
            .await?
            .map_err(|source| Error::Flatten {
                reference: reference.clone(),
                source,
            })?;
        Ok((image, root))
    }

    /// Runs `work`, which reads and writes files, where it does not hold up the event loop.
    async fn blocking<T: Send + 'static>(
        &self,
        reference: &Reference,
        work: impl FnOnce(&Store, &Reference) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.store.clone();
        let name = reference.clone();
        tokio::task::spawn_blocking(move || work(&store, &name))
            .await
            .map_err(|_| Error::Stopped(reference.clone()))
    }
}
