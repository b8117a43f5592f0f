//! A program that runs machines, whichever it is.

use std::future::Future;
use std::pin::Pin;

use crate::config::{DormantConfig, MachineConfig, RestoreConfig};
use crate::machine::{Dormant, Error, Machine};

/// What [`Hypervisor::boot`] and [`Hypervisor::restore`] return.
pub type BootFuture<'a> = Pin<Box<dyn Future<Output = Result<Machine, Error>> + Send + 'a>>;

/// What [`Hypervisor::prepare`] returns.
pub type PrepareFuture<'a> = Pin<Box<dyn Future<Output = Result<Dormant, Error>> + Send + 'a>>;

/// A program that runs machines.
///
/// ```text
///  boot ──────────────────────▶ Machine ── save ──▶ a snapshot
///  prepare ──▶ Dormant ── restore ──▶ Machine          │
///                            ▲─────────────────────────┘
/// ```
pub trait Hypervisor: Send + Sync {
    /// Its name: `qemu`.
    fn name(&self) -> &'static str;

    /// Its name and version, as in `qemu 7.2.22`: a snapshot can be restored by no other.
    fn identity(&self) -> String;

    /// Makes a machine and lets it run. Returns when the hypervisor answers; the guest boots meanwhile.
    fn boot(&self, config: MachineConfig) -> BootFuture<'_>;

    /// Starts a hypervisor that waits to be told which snapshot it is to run.
    fn prepare(&self, config: DormantConfig) -> PrepareFuture<'_>;

    /// Turns a machine that waits into a clone of the one that was saved, and lets it run. If that fails nothing of
    /// it is left.
    fn restore(&self, dormant: Dormant, config: RestoreConfig) -> BootFuture<'_>;
}
