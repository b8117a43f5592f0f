//! Tap devices: the host's end of a guest's network card.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;

/// A tap could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `/dev/net/tun` cannot be opened.
    #[error("cannot open /dev/net/tun; load the module with `modprobe tun` and run as root")]
    Open(#[source] io::Error),
    /// The name does not fit an interface name (1 to 15 bytes, none of them zero).
    #[error("{0:?} is no name for a network interface: it takes 1 to 15 bytes")]
    Name(String),
    /// The kernel refused to make the interface.
    #[error("cannot make the tap {name:?}")]
    Create {
        /// The name asked for.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A tap device. It lasts as long as `fd`, or a copy of it in a hypervisor, is open.
#[derive(Debug)]
pub struct Tap {
    /// Frames are read from and written to this file, each after a `virtio_net_hdr`.
    pub fd: OwnedFd,
    /// The interface's name in the namespace it was made in.
    pub name: String,
}

nix::ioctl_write_ptr_bad!(
    /// `TUNSETIFF` of linux/if_tun.h. Its number says it writes an `int`, but it takes an `ifreq`.
    tun_set_iff,
    nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
    libc::ifreq
);

/// Makes a tap in the calling thread's network namespace, in the mode virtio-net back ends expect: no
/// packet information, a `virtio_net_hdr` before each frame. The descriptor is close-on-exec.
///
/// With `multi_queue`, further queues can be attached by the hypervisor.
pub fn create(name: &str, multi_queue: bool) -> Result<Tap, Error> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
        return Err(Error::Name(name.to_owned()));
    }
    // The interface is born in the namespace where this file is opened.
    let tun = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .map_err(Error::Open)?;

    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    if multi_queue {
        flags |= libc::IFF_MULTI_QUEUE;
    }
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: flags as libc::c_short,
        },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the descriptor is open, and `request` is a whole ifreq that outlives the call; the kernel
    // reads it and writes the interface's name back into it, nothing else.
    unsafe { tun_set_iff(tun.as_raw_fd(), &raw const request) }.map_err(|errno| Error::Create {
        name: name.to_owned(),
        source: errno.into(),
    })?;
    Ok(Tap {
        fd: tun.into(),
        name: name.to_owned(),
    })
}
