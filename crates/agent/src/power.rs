//! The end of the machine.

use nix::sys::reboot::{RebootMode, reboot};

/// Ends the machine. There is nothing to flush: the image is read-only and all else is memory.
///
/// The guest restarts rather than powers off: on a microVM a restart is one fault that ends the hypervisor,
/// which is told not to start again; powering off goes through ACPI.
pub(crate) fn off() {
    let Err(error) = reboot(RebootMode::RB_AUTOBOOT);
    eprintln!("agent: cannot end the machine: {error}");
}
