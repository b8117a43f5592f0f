//! What linux/userfaultfd.h declares, as far as it is used here.

use nix::libc::c_void;

/// The version of the API; the only one there is.
pub(super) const API: u64 = 0xAA;

pub(super) const REGISTER_MODE_MISSING: u64 = 1 << 0;
pub(super) const COPY_MODE_DONTWAKE: u64 = 1 << 0;
pub(super) const ZEROPAGE_MODE_DONTWAKE: u64 = 1 << 0;

pub(super) const EVENT_PAGEFAULT: u8 = 0x12;
pub(super) const EVENT_FORK: u8 = 0x13;
pub(super) const EVENT_REMAP: u8 = 0x14;
pub(super) const EVENT_REMOVE: u8 = 0x15;
pub(super) const EVENT_UNMAP: u8 = 0x16;

pub(super) const PAGEFAULT_FLAG_WRITE: u64 = 1 << 0;

/// `sizeof(struct uffd_msg)`; the structure is packed.
pub(super) const MESSAGE: usize = 32;

#[repr(C)]
pub(super) struct UffdioApi {
    pub(super) api: u64,
    pub(super) features: u64,
    pub(super) ioctls: u64,
}

#[repr(C)]
pub(super) struct UffdioRange {
    pub(super) start: u64,
    pub(super) len: u64,
}

#[repr(C)]
pub(super) struct UffdioRegister {
    pub(super) range: UffdioRange,
    pub(super) mode: u64,
    pub(super) ioctls: u64,
}

#[repr(C)]
pub(super) struct UffdioCopy {
    pub(super) dst: u64,
    pub(super) src: u64,
    pub(super) len: u64,
    pub(super) mode: u64,
    pub(super) copy: i64,
}

#[repr(C)]
pub(super) struct UffdioZeropage {
    pub(super) range: UffdioRange,
    pub(super) mode: u64,
    pub(super) zeropage: i64,
}

nix::ioctl_readwrite!(uffdio_api, 0xAA, 0x3F, UffdioApi);
nix::ioctl_readwrite!(uffdio_register, 0xAA, 0x00, UffdioRegister);
nix::ioctl_read!(uffdio_wake, 0xAA, 0x02, UffdioRange);
nix::ioctl_readwrite!(uffdio_copy, 0xAA, 0x03, UffdioCopy);
nix::ioctl_readwrite!(uffdio_zeropage, 0xAA, 0x04, UffdioZeropage);
nix::ioctl_write_int_bad!(
    /// `USERFAULTFD_IOC_NEW`: its argument is the new descriptor's flags.
    userfaultfd_ioc_new,
    nix::request_code_none!(0xAA, 0x00)
);

/// A page's address as the kernel takes it.
pub(super) fn address_of(pointer: *const c_void) -> u64 {
    pointer.addr() as u64
}
