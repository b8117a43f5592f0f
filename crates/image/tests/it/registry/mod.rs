//! Pull and push, against a real registry server.

mod access;
mod cut;
mod kinds;
mod server;
mod transfer;
