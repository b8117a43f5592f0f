//! A library that is preloaded into QEMU (`LD_PRELOAD`) and gives a guest its memory late.
//!
//! A QEMU that waits for a snapshot (`-incoming defer`) maps a file for the guest's memory long before anybody
//! knows which snapshot it will be. This library remembers where: it wraps `mmap`, and knows the file by the
//! descriptor that [`MEMORY_VARIABLE`] names. Then a thread waits at the socket that [`CONTROL_VARIABLE`] names,
//! to be told what to put there instead:
//!
//! ```text
//! host ── "file\n" + fd of a memory file ───────────────────────────▶  a private mapping of the file
//!      ── "uffd\n" + fd of a page server's socket file ─────────────▶  empty memory behind a userfaultfd, which
//!          [+ fd of /dev/userfaultfd]                                  is sent to the page server
//!      ◀─ "ok ADDRESS SIZE\n" or "error TEXT\n" ────────────────────
//! ```
//!
//! The request comes once. What is said to the page server is Firecracker's handshake (its
//! docs/snapshotting/handling-page-faults-on-snapshot-resume.md), so one page server serves both. The connection is made here,
//! and not handed over made: by it the page server learns whose memory it serves (`SO_PEERCRED`).
//!
//! Nothing here unwinds into QEMU: the library is built with `panic = "abort"`, and has no panic on a path that input
//! reaches. A QEMU without the variables is left as it is.

mod bind;
mod control;
mod placeholder;
mod userfaultfd;

use libc::{c_int, c_void, off_t, size_t};

/// The descriptor of the file that QEMU maps as the guest's memory, in decimal.
pub const MEMORY_VARIABLE: &str = "VHIVE_SHIM_MEMORY";

/// The descriptor of a stream socket at which the host speaks, in decimal.
pub const CONTROL_VARIABLE: &str = "VHIVE_SHIM_CONTROL";

/// `mmap(2)`, in place of the C library's.
///
/// # Safety
///
/// As for `mmap(2)`: with `MAP_FIXED`, nobody may use what was mapped there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn mmap(
    address: *mut c_void,
    length: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    // SAFETY: the arguments are the caller's, and so are the promises about them. `syscall` sets errno as the
    // C library's own wrapper does.
    let mapped = unsafe {
        libc::syscall(
            libc::SYS_mmap,
            address,
            length,
            protection,
            flags,
            fd,
            offset,
        )
    } as *mut c_void;
    if fd >= 0 && mapped != libc::MAP_FAILED {
        placeholder::mapped(mapped as usize, length, fd);
    }
    mapped
}

/// `mmap64`, which is the same where offsets have 64 bits.
///
/// # Safety
///
/// As for [`mmap`].
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn mmap64(
    address: *mut c_void,
    length: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    // SAFETY: as above.
    unsafe { mmap(address, length, protection, flags, fd, offset) }
}
