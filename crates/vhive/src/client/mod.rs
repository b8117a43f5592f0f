//! The two clients of the command line: of the node's API, and of its ingress.

pub(crate) mod api;
pub(crate) mod grpc;
pub(crate) mod ingress;
pub(crate) mod wildcard_dns;
