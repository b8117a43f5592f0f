//! Behaviour of the store, of the API over it, and of its TLS.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests do")]

mod anything;
mod api;
mod api_watch;
mod apply;
mod audit;
mod config;
mod corpus;
mod crowd;
mod durability;
mod garbage;
mod history;
mod inside;
mod metrics;
mod mistakes;
mod namespaces;
mod pages;
mod properties;
mod protobuf;
mod server;
mod store;
mod strict;
mod tls;
mod users;
mod views;
mod watch;
