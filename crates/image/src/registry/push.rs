//! Store → registry.

use std::pin::pin;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci_client::RegistryOperation;
use tokio::sync::mpsc;

use super::progress::{Meter, Progress};
use super::remote::Remote;
use super::retry::retry;
use super::{Error, PARALLEL, blocking};
use crate::manifest::{Descriptor, Manifest};
use crate::store::{Error as StoreError, Staging};
use crate::{Digest, Reference, Store};

pub(super) async fn push(
    remote: Arc<Remote>,
    store: &Store,
    reference: &Reference,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Digest, Error> {
    let (store, reference) = (store.clone(), reference.clone());
    let Loaded {
        digest,
        bytes,
        manifest,
        staging,
    } = blocking(move || load(&store, reference)).await?;

    retry(|| remote.authenticate(RegistryOperation::Push)).await?;
    let blobs = manifest.blobs();
    let meter = Meter::new(blobs.iter().map(|blob| blob.size).sum(), progress);
    let sends = blobs
        .into_iter()
        .map(|blob| send(&remote, &staging, blob, &meter));
    (stream::iter(sends.collect::<Vec<_>>()).buffer_unordered(PARALLEL))
        .try_collect::<()>()
        .await?;
    // Last, so that the tag never points to an image that is not all there.
    retry(|| remote.send_manifest(bytes.clone(), manifest.media_type())).await?;
    Ok(digest)
}

struct Loaded {
    digest: Digest,
    bytes: Vec<u8>,
    manifest: Manifest,
    /// Holds all content, so that it does not go while it is sent.
    staging: Staging,
}

fn load(store: &Store, reference: Reference) -> Result<Loaded, StoreError> {
    let image = store.resolve(&reference)?;
    let image = image.ok_or(StoreError::UnknownReference { reference })?;
    let (bytes, manifest) = store.manifest(&image.digest)?;
    let staging = store.stage()?;
    for blob in manifest.blobs() {
        staging.require(&blob.digest, Some(blob.size))?;
    }
    Ok(Loaded {
        digest: image.digest,
        bytes,
        manifest,
        staging,
    })
}

async fn send(
    remote: &Remote,
    staging: &Staging,
    blob: &Descriptor,
    meter: &Meter<'_>,
) -> Result<(), Error> {
    if retry(|| remote.has(&blob.digest)).await? {
        meter.add(blob.size);
        return Ok(());
    }
    let path = staging.path(&blob.digest);
    let counted = meter.blob();
    retry(|| async {
        counted.restart();
        let (sent, mut chunks) = mpsc::unbounded_channel();
        let mut sending = pin!(remote.send(blob, &path, sent));
        loop {
            tokio::select! {
                result = &mut sending => return result,
                Some(count) = chunks.recv() => counted.add(count),
            }
        }
    })
    .await
}
