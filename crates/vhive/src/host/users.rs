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
        Accel::Kvm => match kvm() {
            Access::All => None,
            Access::Group(group) => Some(group),
            Access::Root => return None,
        },
    };
    Some(Users {
        first: FIRST_HYPERVISOR_USER,
        count: HYPERVISOR_USERS,
        group,
    })
}

/// Who may use `/dev/kvm`.
enum Access {
    All,
    Group(u32),
    Root,
}

fn kvm() -> Access {
    use std::os::unix::fs::MetadataExt;
    const ALL: u32 = 0o006;
    const GROUP: u32 = 0o060;
    match std::fs::metadata("/dev/kvm") {
        Ok(device) if device.mode() & ALL == ALL => return Access::All,
        Ok(device) if device.mode() & GROUP == GROUP && device.gid() != 0 => {
            return Access::Group(device.gid());
        }
        Ok(_) => warn!(
            "only root may use /dev/kvm, so hypervisors run as root; to change that: chgrp kvm /dev/kvm && chmod 660 /dev/kvm"
        ),
        Err(error) => warn!(%error, "cannot look at /dev/kvm, so hypervisors run as root"),
    }
    Access::Root
}
