//! Images: pulled and kept by containerd, made into root file systems here, once for each set of layers.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use image::{BlobFolder, Digest, ImageConfig, Limits, Reference, RootImage, Store};
use prost::Message;
use serde_json::Value;
use tokio::sync::{OnceCell, Semaphore};
use tonic::{Code, Status};

use crate::method::Method;
use crate::proto::containerd::{
    GET_IMAGE, GetImageRequest, GetImageResponse, NAMESPACE, NAMESPACE_HEADER,
};
use crate::proto::runtime_v1 as cri;
use crate::upstream::{Upstream, decode};

const PULL_IMAGE: &str = "/runtime.v1.ImageService/PullImage";
const IMAGE_STATUS: &str = "/runtime.v1.ImageService/ImageStatus";
/// Each takes a thread, and space for what its layers unpack to.
const AT_ONCE: usize = 4;
/// Where containerd keeps content, below its root.
const CONTENT: &str = "io.containerd.content.v1.content/blobs";

/// containerd's images, as guests want them.
pub(crate) struct Images {
    upstream: Upstream,
    store: Store,
    limits: Arc<Limits>,
    /// containerd's content; it moves only when containerd is set up anew.
    blobs: OnceCell<BlobFolder>,
    hands: Semaphore,
}

/// An image that can be run.
pub(crate) struct Prepared {
    pub(crate) id: String,
    /// With a digest, if it has one.
    pub(crate) reference: String,
    /// A name for people.
    pub(crate) name: String,
    pub(crate) config: ImageConfig,
    pub(crate) root: RootImage,
}

impl Images {
    pub(crate) fn new(upstream: Upstream, store: Store) -> Self {
        Self {
            upstream,
            store,
            limits: Arc::new(Limits::default()),
            blobs: OnceCell::new(),
            hands: Semaphore::new(AT_ONCE),
        }
    }

    /// Makes the root of an image that has been pulled; `image` is its id or a name.
    pub(crate) async fn prepare(&self, image: &str) -> Result<Prepared, Status> {
        let known = self.status(image).await?.ok_or_else(|| {
            Status::not_found(format!(
                "image {image:?} is not on this node: it is to be pulled before"
            ))
        })?;
        let manifest = self.manifest(&known.id).await?;
        let blobs = self.blobs().await?.clone();
        let name = known.repo_tags.first().unwrap_or(&known.id).clone();
        let reference = reference(&name, &manifest)?;
        let hand = self.hands.acquire().await;
        let (store, limits) = (self.store.clone(), self.limits.clone());
        let made = tokio::task::spawn_blocking(move || {
            let image = blobs.image(&manifest, &reference)?;
            let root = store.root_of(&image, &blobs, &limits)?;
            Ok::<_, image::Error>((image.config, root))
        });
        let made = made.await;
        drop(hand);
        let made = made.map_err(|error| Status::internal(error.to_string()))?;
        let (config, root) = made.map_err(|error| refused(image, &error))?;
        Ok(Prepared {
            reference: known.repo_digests.first().unwrap_or(&known.id).clone(),
            id: known.id,
            name,
            config,
            root,
        })
    }

    /// Has containerd pull an image that is not here yet.
    pub(crate) async fn pull(&self, image: &str) -> Result<(), Status> {
        if self.status(image).await?.is_some() {
            return Ok(());
        }
        // `PullImageRequest` and `PullImageResponse`: the image comes first in both requests.
        let request = cri::ImageStatusRequest {
            image: Some(cri::ImageSpec {
                image: image.to_owned(),
                ..Default::default()
            }),
            verbose: false,
        };
        let request = tonic::Request::new(request.encode_to_vec().into());
        self.upstream.unary(PULL_IMAGE, request).await.map(|_| ())
    }

    async fn status(&self, image: &str) -> Result<Option<cri::Image>, Status> {
        let request = cri::ImageStatusRequest {
            image: Some(cri::ImageSpec {
                image: image.to_owned(),
                ..Default::default()
            }),
            verbose: false,
        };
        let answer: cri::ImageStatusResponse = self.upstream.call(IMAGE_STATUS, &request).await?;
        Ok(answer.image)
    }

    /// The digest of the manifest, or of an index. containerd knows each image by its id, too.
    async fn manifest(&self, id: &str) -> Result<Digest, Status> {
        let request = GetImageRequest {
            name: id.to_owned(),
        };
        let mut request = tonic::Request::new(request.encode_to_vec().into());
        let namespace = NAMESPACE.parse().map_err(|_| Status::internal("header"))?;
        request.metadata_mut().insert(NAMESPACE_HEADER, namespace);
        let answer = self.upstream.unary(GET_IMAGE, request).await?;
        let answer: GetImageResponse = decode(GET_IMAGE, &answer)?;
        let target = answer.image.and_then(|image| image.target);
        let digest = target.map(|target| target.digest).unwrap_or_default();
        digest.parse().map_err(|_| {
            Status::internal(format!(
                "containerd says that image {id} has digest {digest:?}"
            ))
        })
    }

    /// Where containerd keeps content, as it says itself.
    async fn blobs(&self) -> Result<&BlobFolder, Status> {
        let find = || async {
            let request = cri::StatusRequest { verbose: true };
            let path = Method::Status.path();
            let answer: cri::StatusResponse = self.upstream.call(path, &request).await?;
            let config = answer.info.get("config").map_or("", String::as_str);
            let config: Value = serde_json::from_str(config).unwrap_or_default();
            let root = config["containerdRootDir"].as_str().ok_or_else(|| {
                Status::failed_precondition("containerd does not say where its root folder is")
            })?;
            Ok(BlobFolder::new(&Path::new(root).join(CONTENT)))
        };
        self.blobs.get_or_try_init(find).await
    }
}

/// For what people are told of the image.
fn reference(name: &str, manifest: &Digest) -> Result<Reference, Status> {
    Reference::from_str(name)
        .or_else(|_| Reference::from_str(&format!("containerd.local/image@{manifest}")))
        .map_err(|error| Status::internal(error.to_string()))
}

fn refused(image: &str, error: &image::Error) -> Status {
    let (code, next) = match error {
        image::Error::BlobMissing { .. } => (
            Code::FailedPrecondition,
            "; does containerd keep layers (discard_unpacked_layers = false), and is its snapshotter one that pulls them whole?",
        ),
        image::Error::DiskFull { .. } => (Code::ResourceExhausted, ""),
        image::Error::Manifest { .. } | image::Error::Root { .. } => (Code::InvalidArgument, ""),
        _ => (Code::Internal, ""),
    };
    let cause = crate::chain(error);
    Status::new(code, format!("image {image}: {cause}{next}"))
}
