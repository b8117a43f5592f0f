//! From an image reference to a root file system on this machine: found in the store or pulled, pinned, then flattened.

use std::fmt;
use std::sync::Arc;

use image::registry::Client;
use image::{Digest, Image, Limits, Reference, RootImage, Store};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::pins::{self, Pins};

/// The node's images. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Images {
    store: Store,
    pins: Pins,
    registry: Arc<Client>,
    limits: Arc<Limits>,
    /// For reading and making files: each takes a thread.
    hands: Arc<Semaphore>,
}

/// How many images are read, or made a root of, at the same time.
const AT_ONCE: usize = 16;

/// The image of a revision: what its name means when the revision is made, and from then on the same.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) reference: Reference,
    /// What the name was resolved to at first, if it was.
    pub(crate) digest: Option<Digest>,
    /// The revision's uid, for which the image is kept.
    pub(crate) holder: String,
}

impl Wanted {
    fn name(&self) -> Reference {
        match &self.digest {
            Some(digest) => self.reference.with_digest(digest.clone()),
            None => self.reference.clone(),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reference.fmt(f)
    }
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
    #[error(
        "the revision was made of {digest}, and no image on this machine is that any more: build or import the same image again, \
         or deploy a new revision"
    )]
    Gone { digest: Digest },
    #[error("cannot keep image {reference}")]
    Pin {
        reference: Reference,
        #[source]
        source: image::Error,
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
            pins: Pins::new(store.clone()),
            store,
            registry: Arc::new(registry),
            limits: Arc::new(Limits::default()),
            hands: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The image and its root; pulls only what is not here (`IfNotPresent`). The image is kept until its holder lets go of it.
    pub(crate) async fn prepare(&self, wanted: &Wanted) -> Result<(Image, RootImage), Error> {
        let reference = &wanted.name();
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
        } else if let (true, Some(digest)) = (reference.is_local(), &wanted.digest) {
            let digest = digest.clone();
            return Err(Error::Gone { digest });
        } else {
            info!(%reference, "pulling");
            let pulled = self.registry.pull(&self.store, reference, &|_| ()).await;
            pulled.map_err(|source| Error::Pull {
                reference: reference.clone(),
                source,
            })?
        };
        let pinned = self.pins.pin(&image.digest, &wanted.holder).await;
        pinned
            .map_err(|pins::Stopped| Error::Stopped(reference.clone()))?
            .map_err(|source| Error::Pin {
                reference: reference.clone(),
                source,
            })?;
        let flattened = image.clone();
        let limits = Arc::clone(&self.limits);
        let root = self
            .blocking(reference, move |store, _| store.root(&flattened, &limits))
            .await?
            .map_err(|source| Error::Flatten {
                reference: reference.clone(),
                source,
            })?;
        Ok((image, root))
    }

    /// Lets go of what a holder that is gone had. What is not let go of, since the disk is full say, is at the next start.
    pub(crate) async fn let_go(&self, holder: String) {
        if let Ok(Err(error)) = self.pins.let_go(holder).await {
            warn!(error = %crate::chain(&error), "cannot let go of an image");
        }
    }

    /// Runs `work`, which reads and writes files, where it does not hold up the event loop.
    async fn blocking<T: Send + 'static>(
        &self,
        reference: &Reference,
        work: impl FnOnce(&Store, &Reference) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let stopped = || Error::Stopped(reference.clone());
        let hand = self.hands.clone().acquire_owned().await;
        let hand = hand.map_err(|_| stopped())?;
        let store = self.store.clone();
        let name = reference.clone();
        tokio::task::spawn_blocking(move || {
            let done = work(&store, &name);
            drop(hand);
            done
        })
        .await
        .map_err(|_| stopped())
    }
}
