//! The smallest guest that counts in 64-bit long mode.

use std::io;
use std::num::NonZero;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use kvm_bindings::{kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::{Outcome, interrupt};

/// Guest memory: code, then the three tables that map the first 2 MiB onto itself.
const MEMORY: usize = 0x5000;
const CODE: usize = 0x1000;
const PML4: usize = 0x2000;
const PDPT: usize = 0x3000;
const PD: usize = 0x4000;

const FIRST_STRETCH: u64 = 1_000;
const LAST_STRETCH: u64 = 512_000;
const PORT: u16 = 0x10;

/// Counts `rcx` down, tells the host, doubles the count and starts over. `rbx` holds the count.
#[rustfmt::skip]
pub(super) const COUNTING: [u8; 16] = [
    0x48, 0x89, 0xd9,       // again: mov rcx, rbx
    0x48, 0x83, 0xe9, 0x01, // count: sub rcx, 1
    0x75, 0xfa,             //        jnz count
    0xe6, PORT as u8,       //        out PORT, al
    0x48, 0x01, 0xdb,       //        add rbx, rbx
    0xeb, 0xf0,             //        jmp again
];

/// Runs `program` until it has counted a long stretch or `budget` is used up.
pub(super) fn count(program: &[u8], budget: Duration) -> Outcome {
    let kvm = match Kvm::new() {
        Ok(kvm) => kvm,
        Err(error) => return cannot_open(error.errno()),
    };
    match run(&kvm, program, budget) {
        Ok(outcome) => outcome,
        Err((step, error)) => Outcome::Broken(format!("cannot {step}: {error}")),
    }
}

fn cannot_open(errno: i32) -> Outcome {
    let error = io::Error::from_raw_os_error(errno);
    match errno {
        libc::ENOENT => Outcome::Absent("there is no /dev/kvm".to_owned()),
        libc::ENODEV | libc::ENXIO => {
            Outcome::Absent(format!("/dev/kvm has nothing behind it: {error}"))
        }
        libc::EACCES | libc::EPERM => Outcome::Denied(format!("cannot open /dev/kvm: {error}")),
        _ => Outcome::Broken(format!("cannot open /dev/kvm: {error}")),
    }
}

type Step = (&'static str, io::Error);

fn at<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Step {
    move |error| (step, error.into())
}

/// `kvm_ioctls` has an error of its own, which is an errno.
fn kvm_at(step: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> Step {
    move |error| (step, io::Error::from_raw_os_error(error.errno()))
}

fn run(kvm: &Kvm, program: &[u8], budget: Duration) -> Result<Outcome, Step> {
    // The guest's memory is declared first, so that it is unmapped last.
    let memory = Memory::with(program).map_err(at("map memory"))?;
    let vm = kvm.create_vm().map_err(kvm_at("create a VM"))?;
    memory.give_to(&vm).map_err(kvm_at("give it memory"))?;
    let mut vcpu = vm.create_vcpu(0).map_err(kvm_at("create a vCPU"))?;
    interrupt::prepare_vcpu(&vcpu).map_err(at("make the vCPU interruptible"))?;
    enter_long_mode(&vcpu).map_err(kvm_at("set the vCPU's registers"))?;

    let started = Instant::now();
    let mut stretch = FIRST_STRETCH;
    let mut last = Outcome::Counted {
        iterations: 0,
        took: Duration::ZERO,
    };
    loop {
        let entered = Instant::now();
        match vcpu.run() {
            Ok(VcpuExit::IoOut(PORT, _)) => {}
            Ok(other) => {
                return Ok(Outcome::Broken(format!(
                    "the guest stopped with {other:?} where it should count"
                )));
            }
            Err(error) if error.errno() == libc::EINTR => return Ok(last),
            Err(error) => return Err(kvm_at("run the guest")(error)),
        }
        last = Outcome::Counted {
            iterations: stretch,
            took: entered.elapsed(),
        };
        if stretch >= LAST_STRETCH || started.elapsed() >= budget {
            return Ok(last);
        }
        stretch *= 2;
    }
}

/// Registers as the Intel manual wants them for 64-bit code (volume 3, 10.8.5): paging with PAE, `EFER`
/// with long mode enabled and active, a code segment with L set.
fn enter_long_mode(vcpu: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    const CR0_PE_ET_NE_WP_PG: u64 = 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 31;
    const CR4_PAE: u64 = 1 << 5;
    const EFER_LME_LMA: u64 = 1 << 8 | 1 << 10;

    let flat = kvm_segment {
        limit: 0xffff_ffff,
        selector: 0x10,
        type_: 0b0011, // data, writable, accessed
        present: 1,
        s: 1,
        db: 1,
        g: 1,
        ..Default::default()
    };
    let mut sregs = vcpu.get_sregs()?;
    sregs.cs = kvm_segment {
        selector: 0x08,
        type_: 0b1011, // code, readable, accessed
        db: 0,
        l: 1,
        ..flat
    };
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (flat, flat, flat, flat, flat);
    sregs.cr0 = CR0_PE_ET_NE_WP_PG;
    sregs.cr3 = PML4 as u64;
    sregs.cr4 = CR4_PAE;
    sregs.efer = EFER_LME_LMA;
    vcpu.set_sregs(&sregs)?;

    let mut regs = vcpu.get_regs()?;
    regs.rip = CODE as u64;
    regs.rflags = 2; // the bit that is always set
    regs.rbx = FIRST_STRETCH;
    vcpu.set_regs(&regs)
}

/// Anonymous memory that is the guest's whole address space.
struct Memory(NonNull<libc::c_void>);

impl Memory {
    fn with(program: &[u8]) -> nix::Result<Self> {
        const SIZE: NonZero<usize> = NonZero::new(MEMORY).unwrap();
        // SAFETY: a new anonymous mapping at an address of the kernel's choice replaces no other.
        let start = unsafe {
            mmap_anonymous(
                None,
                SIZE,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE,
            )
        }?;
        let memory = Self(start);
        const PRESENT_WRITABLE: u64 = 0b11;
        const LARGE: u64 = 1 << 7;
        memory.write(CODE, program);
        memory.write(PML4, &(PDPT as u64 | PRESENT_WRITABLE).to_le_bytes());
        memory.write(PDPT, &(PD as u64 | PRESENT_WRITABLE).to_le_bytes());
        memory.write(PD, &(PRESENT_WRITABLE | LARGE).to_le_bytes());
        Ok(memory)
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= MEMORY);
        // SAFETY: the range is inside the mapping, as asserted, which is writable, shared with nobody while
        // no vCPU exists, and does not overlap `bytes`.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.0.as_ptr().cast::<u8>().add(at),
                bytes.len(),
            );
        }
    }

    fn give_to(&self, vm: &VmFd) -> Result<(), kvm_ioctls::Error> {
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: MEMORY as u64,
            userspace_addr: self.0.as_ptr() as u64,
        };
        // SAFETY: the region is mapped for its whole length and outlives the VM: `run` declares the memory
        // before the VM, and no reference into it exists while a vCPU runs.
        unsafe { vm.set_user_memory_region(region) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, of this length, and the VM that used it is gone.
        let _ = unsafe { munmap(self.0, MEMORY) };
    }
}
