//! Gets a thread out of `KVM_RUN` without a signal handler, which would be the whole process's.
//!
//! The thread blocks the signal, and `KVM_SET_SIGNAL_MASK` unblocks it while the guest runs: sent, it ends
//! `KVM_RUN` with `EINTR` and stays pending until the thread is gone (Documentation/virt/kvm/api.rst, 4.17).

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;

use kvm_bindings::{KVMIO, kvm_signal_mask};
use kvm_ioctls::VcpuFd;
use nix::libc;
use nix::sys::signal::{SigSet, Signal};

/// A signal that does nothing where nobody listens, should it ever arrive astray.
const KICK: Signal = Signal::SIGWINCH;

nix::ioctl_write_ptr!(
    /// `KVM_SET_SIGNAL_MASK` of linux/kvm.h; the mask's bytes follow the structure.
    set_signal_mask,
    KVMIO,
    0x8b,
    kvm_signal_mask
);

/// `kvm_signal_mask` with the eight bytes of the kernel's signal set, which its declaration leaves open.
#[repr(C)]
struct SignalMask {
    header: kvm_signal_mask,
    signals: [u8; 8],
}

/// Makes the calling thread keep the kick for `KVM_RUN`.
pub(super) fn prepare_thread() {
    let mut kick = SigSet::empty();
    kick.add(KICK);
    // It fails only for a set that is none.
    let _ = kick.thread_block();
}

/// Lets the kick, and it alone, through while this vCPU runs.
pub(super) fn prepare_vcpu(vcpu: &VcpuFd) -> io::Result<()> {
    // Bit n-1 stands for signal n.
    let all_but_kick = !(1_u64 << (KICK as u32 - 1));
    let mask = SignalMask {
        header: kvm_signal_mask {
            len: 8,
            ..Default::default()
        },
        signals: all_but_kick.to_ne_bytes(),
    };
    // SAFETY: the descriptor is an open vCPU, and the pointer is to a structure followed by as many bytes
    // as its `len` says, alive for the call.
    unsafe { set_signal_mask(vcpu.as_raw_fd(), (&raw const mask).cast()) }?;
    Ok(())
}

/// Interrupts the guest of `thread`, now or, if it is not in it, when it next enters it.
pub(super) fn kick<T>(thread: &JoinHandle<T>) {
    // SAFETY: the handle is neither joined nor dropped, so the thread's descriptor is valid, also if the
    // thread has ended.
    unsafe { libc::pthread_kill(thread.as_pthread_t(), KICK as i32) };
}
