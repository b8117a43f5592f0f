//! A whole node with guests that are tasks of the test: from the API and the ingress to the instances and back.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client;
mod collection;
mod conformance;
mod crashes;
mod function;
mod images;
mod life;
mod load;
mod logs;
mod pods;
mod rig;
mod scale;
mod snapshots;
mod sources;
mod traffic;
mod updates;
