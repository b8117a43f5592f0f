//! The clients of the command line: of the node's API, of any cluster's, and of the ingress.

pub(crate) mod api;
pub(crate) mod cluster;
pub(crate) mod ingress;
