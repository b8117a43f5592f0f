//! Where QEMU has mapped the guest's memory.

use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, FromRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::fstat;

use crate::bind::Range;
use crate::{CONTROL_VARIABLE, MEMORY_VARIABLE, control};

/// A file, told apart from every other: QEMU opens it again, so that its descriptor says nothing.
type Identity = (u64, u64);

/// The file that stands for the guest's memory, if this is a QEMU that has one.
static FILE: OnceLock<Option<Identity>> = OnceLock::new();

static SEEN: AtomicBool = AtomicBool::new(false);

/// `fd` was mapped. If it is the guest's memory, the host may from now on say what should be there.
pub(crate) fn mapped(start: usize, length: usize, fd: RawFd) {
    let file = FILE.get_or_init(|| identity(descriptor(MEMORY_VARIABLE)?));
    if file.is_none() || *file != identity(fd) || SEEN.swap(true, Ordering::Relaxed) {
        return;
    }
    let Some(control) = descriptor(CONTROL_VARIABLE) else {
        return;
    };
    // SAFETY: the host made the descriptor for this library alone, and it is taken once.
    let control = unsafe { UnixStream::from_raw_fd(control) };
    let range = Range { start, length };
    let thread = thread::Builder::new().name("uffd-shim".to_owned());
    // Without a thread the socket closes, at which the host knows.
    with_signals_blocked(|| drop(thread.spawn(move || control::serve(&control, range))));
}

fn descriptor(variable: &str) -> Option<RawFd> {
    let fd = std::env::var(variable).ok()?.parse().ok()?;
    (fd >= 0).then_some(fd)
}

fn identity(fd: RawFd) -> Option<Identity> {
    // SAFETY: it is used before this returns, and a number that is no open descriptor is only an error.
    let stat = fstat(unsafe { BorrowedFd::borrow_raw(fd) }).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

/// Runs `f`, which makes a thread, so that no signal of QEMU's gets to that thread: QEMU reads its signals from a
/// descriptor, which works only while no thread takes them.
fn with_signals_blocked(f: impl FnOnce()) {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: both sets are written before they are read; a thread may change its own mask.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        // A fault of this thread itself must end it rather than be waited for.
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            libc::sigdelset(all.as_mut_ptr(), fault);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    f();
    // SAFETY: `before` was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
}
