//! The little of containerd's own services that is called: which manifest an image is.
//!
//! <https://github.com/containerd/containerd/blob/main/api/services/images/v1/images.proto>

use prost::Message;

/// The method.
pub(crate) const GET_IMAGE: &str = "/containerd.services.images.v1.Images/Get";
/// Names the namespace, in the metadata of every call.
pub(crate) const NAMESPACE_HEADER: &str = "containerd-namespace";
/// Where containerd keeps what kubelets ask of it.
pub(crate) const NAMESPACE: &str = "k8s.io";

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetImageRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetImageResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) image: Option<Image>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Image {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) target: Option<Descriptor>,
}

/// Of a manifest or an index.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Descriptor {
    #[prost(string, tag = "1")]
    pub(crate) media_type: String,
    #[prost(string, tag = "2")]
    pub(crate) digest: String,
}
