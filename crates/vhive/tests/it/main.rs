//! The binary as its users have it: real guests, real requests, real signals.
//!
//! These tests need root, `qemu-system-x86_64`, the distribution's kernel package and those of Python and Node.js, `busybox`,
//! `docker-registry`, `curl` and a C compiler; what is missing fails them with the way to install it.

#[path = "../harness/mod.rs"]
mod harness;

mod benches;
mod command_line;
mod disk;
mod endings;
mod functions;
mod guide;
mod host;
mod killed;
mod load;
mod node;
mod pods;
mod printed;
mod quickstart;
mod registry;
mod runtime;
mod snapshots;
mod sources;
mod workloads;

use harness::{look, machine, site};

/// The sample function as a container.
const HELLO: &str = "image: dev.local/helloworld, ports: [{name: h2c, containerPort: 50051}], resources: {limits: {memory: 128Mi}}";
/// An annotation: deployed without starting an instance.
const AT_ZERO: &str = "autoscaling.knative.dev/initial-scale: '0'";
