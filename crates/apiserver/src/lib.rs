//! Embedded object store and the Kubernetes-style HTTP API over it
