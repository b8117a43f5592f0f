//! Hypervisor drivers, guest kernels and the host side of the agent.

pub mod agent;
mod config;
mod fd_passing;
mod hypervisor;
pub mod kernel;
mod machine;
mod memory_file;
pub mod qemu;
mod qmp;
mod tail;

pub use ::agent::protocol;
pub use config::{
    Accel, Backing, DormantConfig, Gate, MachineConfig, RestoreConfig, SaveTarget, Saved,
};
pub use hypervisor::{BootFuture, Hypervisor, PrepareFuture};
pub use machine::{Dormant, Error, ExitInfo, Machine, OWNER_VARIABLE};
