//! Real memory behind a real userfaultfd, served over a real socket.
#![expect(
    clippy::unwrap_used,
    reason = "a fake that cannot be set up fails its test"
)]

mod child;
mod choosing;
mod corpus;
mod failures;
mod guest;
mod handshake;
mod huge_pages;
mod policies;
mod races;
mod snapshot;
mod working_set;
