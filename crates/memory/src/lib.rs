//! The page server of guest memory: it hands a restored guest its pages, one at a time or its whole working set
//! at once, to any hypervisor that speaks Firecracker's userfaultfd handshake.
//!
//! # Use
//!
//! ```no_run
//! use std::os::unix::net::UnixListener;
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use memory::working_set::{self, Binding};
//! use memory::{Lazy, MemoryFile, Options, Outcome, Prefetch, Reap, Server};
//!
//! # async fn restore(first: bool) -> Result<(), Box<dyn std::error::Error>> {
//! let snapshot = Binding([7; 32]); // a digest of what identifies the snapshot
//! let file = Arc::new(MemoryFile::open(Path::new("snapshot/memory"))?);
//! let listener = UnixListener::bind("run/pages.sock")?;
//!
//! // The first restore records; later ones begin to read before the hypervisor has connected.
//! let policy: Box<dyn memory::Policy> = if first {
//!     Box::new(Lazy)
//! } else {
//!     let prefetch = Prefetch::start(Path::new("snapshot/working-set"), &snapshot)?;
//!     Box::new(Reap::new(prefetch, 1))
//! };
//! let server = Server::start(listener, Arc::clone(&file), policy, Options::default())?;
//! // … have the hypervisor load the snapshot and run the guest …
//!
//! if first {
//!     // … and once the first request has been answered:
//!     let pages = server.faulted();
//!     working_set::write(Path::new("snapshot/working-set"), &snapshot, &pages, &file)?;
//! }
//! match server.wait().await {
//!     Outcome::PeerEnded | Outcome::Stopped => {}
//!     Outcome::Failed(error) => { /* kill the hypervisor, then drop `server` */ }
//! }
//! # Ok(()) }
//! ```
//!
//! # What is where
//!
//! | item | is |
//! |---|---|
//! | [`handshake`] | the message a hypervisor sends: parsed and checked by [`handshake::parse`], which does no I/O |
//! | [`Layout`] | where the guest's memory is in the hypervisor, and which page of the file each address is |
//! | [`MemoryFile`] | the snapshot's memory: mapped, its holes known; one serves any number of clones |
//! | [`PageSet`], [`Run`] | sets of pages |
//! | [`working_set`] | the file of a working set: [`working_set::write`], [`working_set::Header::parse`] |
//! | [`Prefetch`] | a working-set file being read, large and direct, ahead of its installation |
//! | [`Policy`] | how pages arrive: [`Lazy`], [`Reap`], [`Paper`], [`Resident`] |
//! | [`Server`] | one guest being served, on threads of its own: `connected`, `installed`, `wait`, `stats`, `faulted`, `stop` |
//! | [`choose()`], [`should_record_again`] | what `auto` does |
//! | [`mod@measure`] | the server beside a bare loop of the same system calls |
//!
//! # Rules
//!
//! - **The owner kills.** When a server fails, its guest waits for a page that never comes; [`Server::wait`] says so and
//!   the owner kills the hypervisor. The descriptor stays open until the [`Server`] is dropped: if it were closed
//!   before, a hypervisor that has closed its own copy would go on with zeros where its memory should be.
//! - **Demand faults go first.** They have a thread of their own, and bulk installation lets it pass between
//!   system calls.
//! - **A removed page is zero**, whatever the file and the working set say.
//! - **Recording is a set.** Which pages, not in which order.
//! - **What was used is not known after a bulk installation.** Only misses are: faults on pages outside the set.

mod choose;
pub mod handshake;
mod installer;
mod layout;
pub mod measure;
mod memory_file;
mod page_set;
mod policy;
mod prefetch;
mod server;
pub mod working_set;
mod zero;

pub use choose::{Choice, Costs, Residency, choose, read_ahead, should_record_again};
pub use installer::{InstallError, Installer};
pub use layout::{Layout, PageSize, Region};
pub use memory_file::{MemoryFile, MemoryFileError};
pub use page_set::{PageSet, Run};
pub use policy::{Lazy, Paper, Policy, Reap, Resident};
pub use prefetch::{Chunk, Piece, Prefetch, PrefetchError};
pub use server::{Installed, Options, Outcome, Peer, Server, ServerError, StartError, Stats};
