//! Cluster set-up: nodes of Kubernetes and Knative whose functions run in microVMs.
//!
//! What is to be done is data: [`plan::of`] turns a verb, a sandbox and the facts of a host into a [`plan::Plan`], whose steps
//! are grouped by [`components`]. [`engine`] does the steps, notes them, goes on at one that failed, and undoes them. The dry run
//! reads the same steps. [`cluster`] does it on many hosts over ssh, [`bundle`] without a network.
//!
//! *Invariant*: making a plan does no I/O. Whatever a step needs to know of the host is in [`facts::Facts`].

pub mod bundle;
pub mod checksum;
pub mod cli;
pub mod cluster;
pub mod components;
pub mod config;
pub mod dry_run;
pub mod engine;
pub mod facts;
pub mod paths;
pub mod plan;
pub mod verb;
