//! Whom hypervisors run as.

use node::Users;
use tracing::warn;
use vmm::Accel;

/// User ids that no distribution hands out, to users, services or containers; see systemd's documentation of its ranges.
const FIRST_HYPERVISOR_USER: u32 = 0x7000_0000;
const HYPERVISOR_USERS: u32 = 1 << 20;

/// Hypervisors run without privileges; one that needs `/dev/kvm` in the group that may use it. Where only root may, as root.
pub(crate) fn of_hypervisors(accel: Accel) -> Option<Users> {
    let group = match accel {
        Accel::Tcg => None,
        Accel::Kvm => kvm_group()?,
    };
    Some(Users {
        first: FIRST_HYPERVISOR_USER,
        count: HYPERVISOR_USERS,
        group,
    })
}

/// The group that a process must be in to use `/dev/kvm`: `Some(None)` if all may, `None` if only root may.
fn kvm_group() -> Option<Option<u32>> {
    use std::os::unix::fs::MetadataExt;
    const ALL: u32 = 0o006;
    const GROUP: u32 = 0o060;
    let device = std::fs::metadata("/dev/kvm")
        .inspect_err(|error| warn!(%error, "cannot look at /dev/kvm"))
        .ok()?;
    if device.mode() & ALL == ALL {
        return Some(None);
    }
    if device.mode() & GROUP == GROUP && device.gid() != 0 {
        return Some(Some(device.gid()));
    }
    warn!(
        "only root may use /dev/kvm, so hypervisors run as root; to change that: chgrp kvm /dev/kvm && chmod 660 /dev/kvm"
    );
    None
}
