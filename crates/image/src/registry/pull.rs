//! Registry → store.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci_client::RegistryOperation;
use tokio::sync::mpsc;

use super::progress::{BlobMeter, Meter, Progress};
use super::remote::Remote;
use super::retry::retry;
use super::{Error, PARALLEL, blocking};
use crate::manifest::{self, CONFIG_MAX, Descriptor, Document, MANIFEST_MAX, Manifest};
use crate::store::{Error as StoreError, Staging};
use crate::{Digest, Image, ManifestError, Reference, Store, config};

/// Chunks that wait for the disk; each is some 16 KiB.
const QUEUE: usize = 64;

pub(super) async fn pull(
    remote: Arc<Remote>,
    store: &Store,
    reference: &Reference,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Image, Error> {
    let refused = |digest: &Digest| {
        let (reference, digest) = (Box::new(reference.clone()), digest.clone());
        move |source| Error::Document {
            reference,
            digest,
            source,
        }
    };
    retry(|| remote.authenticate(RegistryOperation::Pull)).await?;
    let (bytes, manifest) = find(&remote, refused).await?;

    let staging = {
        let store = store.clone();
        Arc::new(blocking(move || store.stage()).await?)
    };
    let total = manifest.blobs().iter().map(|blob| blob.size).sum();
    let meter = Meter::new(total, progress);

    // The configuration says whether the layers are worth the time.
    fetch(&remote, &staging, &manifest.config, &meter).await?;
    let digest = &manifest.config.digest;
    let file = staging.read(digest, CONFIG_MAX)?;
    config::parse(&file, &manifest).map_err(refused(digest))?;

    let layers = manifest.blobs().into_iter().skip(1);
    let fetches = layers.map(|layer| fetch(&remote, &staging, layer, &meter));
    (stream::iter(fetches.collect::<Vec<_>>()).buffer_unordered(PARALLEL))
        .try_collect::<()>()
        .await?;

    let (store, reference) = (store.clone(), reference.clone());
    blocking(move || {
        let blob = staging.put(&bytes)?;
        let mut content: Vec<_> =
            (manifest.blobs().into_iter().map(|blob| blob.digest.clone())).collect();
        content.push(blob.digest.clone());
        let descriptor = blob.descriptor(manifest.media_type());
        staging.commit(&content, &[(reference.clone(), descriptor)])?;
        let image = store.resolve(&reference)?;
        Ok(image.ok_or(StoreError::UnknownReference { reference })?)
    })
    .await
}

/// The manifest for our platform.
async fn find<F: FnOnce(ManifestError) -> Error>(
    remote: &Remote,
    refused: impl Fn(&Digest) -> F,
) -> Result<(Bytes, Manifest), Error> {
    let (bytes, digest) = retry(|| remote.manifest()).await?;
    let index = match read(&bytes).map_err(refused(&digest))? {
        Document::Manifest(manifest) => return Ok((bytes, manifest)),
        Document::Index(index) => index,
    };
    let chosen = index.choose().map_err(refused(&digest))?;
    let (bytes, digest) = retry(|| remote.manifest_of(&chosen.digest)).await?;
    match read(&bytes).map_err(refused(&digest))? {
        Document::Manifest(manifest) => Ok((bytes, manifest)),
        Document::Index(_) => Err(refused(&digest)(ManifestError::MediaType(
            chosen.media_type.clone(),
        ))),
    }
}

fn read(bytes: &[u8]) -> Result<Document, ManifestError> {
    let size = bytes.len() as u64;
    if size > MANIFEST_MAX {
        return Err(ManifestError::TooLarge {
            size,
            limit: MANIFEST_MAX,
        });
    }
    manifest::parse(bytes)
}

/// Brings one blob into the store, unless it is there. It stays there if the pull fails later, so that
/// the next one is shorter.
async fn fetch(
    remote: &Remote,
    staging: &Arc<Staging>,
    blob: &Descriptor,
    meter: &Meter<'_>,
) -> Result<(), Error> {
    if staging.adopt(&blob.digest, Some(blob.size))? {
        meter.add(blob.size);
        return Ok(());
    }
    let counted = meter.blob();
    retry(|| async {
        counted.restart();
        stream_to_disk(remote, staging, blob, &counted).await
    })
    .await
}

async fn stream_to_disk(
    remote: &Remote,
    staging: &Arc<Staging>,
    blob: &Descriptor,
    counted: &BlobMeter<'_>,
) -> Result<(), Error> {
    let mut chunks = remote.blob(&blob.digest).await?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let written = {
        let (staging, blob) = (Arc::clone(staging), blob.clone());
        blocking(move || write(&staging, &blob, receiver))
    };
    let mut transfer = Ok(());
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => {
                let count = chunk.len() as u64;
                if sender.send(chunk).await.is_err() {
                    break; // The writer has stopped, and says why.
                }
                counted.add(count);
            }
            Err(error) => {
                transfer = Err(error);
                break;
            }
        }
    }
    drop(sender);
    let written = written.await;
    transfer?;
    written.map_err(|error| match error {
        StoreError::DigestMismatch { .. } | StoreError::SizeMismatch { .. } => {
            remote.corrupt(error)
        }
        error => error.into(),
    })
}

fn write(
    staging: &Staging,
    blob: &Descriptor,
    mut chunks: mpsc::Receiver<Bytes>,
) -> Result<(), StoreError> {
    let mut writer = staging.expect(&blob.digest, blob.size)?;
    while let Some(chunk) = chunks.blocking_recv() {
        writer.add(&chunk)?;
    }
    writer.finish()?;
    staging.publish(&blob.digest)
}
