//! Hypervisor drivers, guest kernels and the host side of the agent.

pub mod agent;
pub mod kernel;
mod machine;
pub mod qemu;
mod qmp;
mod tail;

pub use ::agent::protocol;
pub use machine::{
    Accel, BootFuture, Error, ExitInfo, Hypervisor, Machine, MachineConfig, OWNER_VARIABLE,
};
