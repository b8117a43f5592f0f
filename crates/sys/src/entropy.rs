//! The kernel's random numbers (random(4)).

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd as _;

use nix::libc::c_int;

/// Bytes that one request takes along.
const PART: usize = 64;

/// `struct rand_pool_info` of Linux's include/uapi/linux/random.h, with room for [`PART`] bytes.
#[repr(C)]
struct PoolInfo {
    /// Bits.
    entropy_count: c_int,
    /// Bytes.
    buf_size: c_int,
    buf: [u8; PART],
}

mod request {
    use nix::libc::c_int;

    // The size in the first number is that of the two integers alone.
    nix::ioctl_write_ptr!(add_entropy, b'R', 0x03, [c_int; 2]);
    nix::ioctl_none!(reseed_crng, b'R', 0x07);
}

/// Mixes `seed` into the kernel's entropy, and has it make its random numbers from that at once rather than at
/// its next occasion. What it has given out until now says nothing about what it gives out from here on, as long as `seed`
/// is secret. Needs `CAP_SYS_ADMIN`.
///
/// Meant for the guest that is one of many copies: all of them would give out the same.
pub fn reseed(seed: &[u8]) -> io::Result<()> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/urandom")?;
    for part in seed.chunks(PART) {
        let mut info = PoolInfo {
            entropy_count: (part.len() * 8) as c_int,
            buf_size: part.len() as c_int,
            buf: [0; PART],
        };
        info.buf[..part.len()].copy_from_slice(part);
        let info = std::ptr::from_ref(&info).cast();
        // SAFETY: the kernel reads the two integers and as many bytes after them as the second says, which are
        // there.
        unsafe { request::add_entropy(device.as_raw_fd(), info) }?;
    }
    // SAFETY: the request takes nothing.
    unsafe { request::reseed_crng(device.as_raw_fd()) }?;
    Ok(())
}
