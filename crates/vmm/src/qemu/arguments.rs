//! The command line of QEMU. Pure.
//!
//! What QEMU needs is handed over as open descriptors at fixed numbers: it runs without the right to open
//! much, and no socket file is left behind. Files whose content is read by QEMU's block layer go through an
//! fd set, which uses the descriptor itself; kernel and memory are opened again through `/proc/self/fd`.

use std::ffi::OsString;
use std::os::fd::RawFd;

use agent::protocol::GUEST_MAC;

use crate::machine::{Accel, MachineConfig};

/// Descriptors of the QEMU process.
pub(super) const QMP: RawFd = 3;
pub(super) const CONSOLE: RawFd = 4;
pub(super) const TAP: RawFd = 5;
pub(super) const MEMORY: RawFd = 6;
pub(super) const KERNEL: RawFd = 7;
pub(super) const INITRAMFS: RawFd = 8;
pub(super) const ROOT: RawFd = 9;

/// Arguments for a machine. `cmdline` is the kernel's whole command line.
pub(super) fn args(config: &MachineConfig, cmdline: &str) -> Vec<OsString> {
    let memory = config.memory_mib;
    let mac = GUEST_MAC.map(|byte| format!("{byte:02x}")).join(":");
    // Commas end an option's value, and are doubled in it.
    let name = config.name.replace(',', ",,");
    let (accel, cpu) = match config.accel {
        Accel::Kvm => ("kvm", "host"),
        // Emulated, `rep movsb` is the slowest way to copy; without these the guest uses wider ones. And QEMU 7.2 takes
        // ymm4 as a gather's index for no index at all, so that numpy computes wrongly or crashes: without AVX2 there
        // are no gathers.
        Accel::Tcg => ("tcg,thread=multi", "max,-erms,-fsrm,-avx2"),
    };
    let options: [(&str, String); 19] = [
        ("-name", format!("{name},debug-threads=on")),
        // ACPI, because distribution kernels learn of virtio-mmio devices in no other way.
        (
            "-machine",
            "microvm,acpi=on,x-option-roms=off,memory-backend=ram".to_owned(),
        ),
        ("-accel", accel.to_owned()),
        ("-cpu", cpu.to_owned()),
        ("-smp", config.vcpus.to_string()),
        ("-m", format!("{memory}M")),
        // Shared, so that a snapshot can read the memory from the file.
        (
            "-object",
            format!(
                "memory-backend-file,id=ram,size={memory}M,mem-path=/proc/self/fd/{MEMORY},share=on"
            ),
        ),
        ("-kernel", format!("/proc/self/fd/{KERNEL}")),
        ("-initrd", format!("/proc/self/fd/{INITRAMFS}")),
        ("-append", cmdline.to_owned()),
        ("-add-fd", format!("fd={ROOT},set=1")),
        // Any number of machines share the file, through the host's page cache.
        (
            "-blockdev",
            "driver=raw,node-name=root,read-only=on,file.driver=file,file.filename=/dev/fdset/1,\
             file.read-only=on,file.locking=off"
                .to_owned(),
        ),
        ("-device", "virtio-blk-device,drive=root".to_owned()),
        ("-netdev", format!("tap,id=net,fd={TAP},vhost=off")),
        // Without a link status the guest's NIC passes packets as soon as it is up.
        (
            "-device",
            format!("virtio-net-device,netdev=net,mac={mac},status=off"),
        ),
        ("-chardev", format!("socket,id=console,fd={CONSOLE}")),
        ("-serial", "chardev:console".to_owned()),
        ("-chardev", format!("socket,id=qmp,fd={QMP}")),
        ("-mon", "chardev=qmp,mode=control".to_owned()),
    ];
    let mut args: Vec<OsString> = Vec::new();
    for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
        args.push(flag.into());
    }
    args.extend(["-display".into(), "none".into()]);
    for (option, value) in options {
        args.extend([option.into(), value.into()]);
    }
    args.extend(["-sandbox".into(), SANDBOX.into()]);
    args
}

/// QEMU's own system call filter: no programs, no other user, no scheduling, no calls that only old
/// programs make.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use std::fs::File;

    fn config() -> MachineConfig {
        MachineConfig {
            name: "hello,1".into(),
            run_dir: "/run/hello".into(),
            kernel: Kernel::default(),
            vcpus: 2,
            memory_mib: 256,
            root: "/images/root.squashfs".into(),
            tap: File::open("/dev/null").unwrap().into(),
            accel: Accel::Tcg,
            uid_gid: None,
            extra_cmdline: String::new(),
        }
    }

    fn value(args: &[OsString], option: &str) -> String {
        let at = args
            .iter()
            .position(|arg| arg == option)
            .unwrap_or_else(|| panic!("no {option}"));
        args[at + 1].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_machine_is_as_large_as_configured() {
        let args = args(&config(), "");
        assert_eq!(value(&args, "-smp"), "2");
        assert_eq!(value(&args, "-m"), "256M");
        assert_eq!(
            value(&args, "-object"),
            "memory-backend-file,id=ram,size=256M,mem-path=/proc/self/fd/6,share=on"
        );
    }

    #[test]
    fn emulation_and_kvm_differ_in_accelerator_and_processor() {
        let args_of = |accel| args(&MachineConfig { accel, ..config() }, "");
        let (tcg, kvm) = (args_of(Accel::Tcg), args_of(Accel::Kvm));
        assert_eq!(
            (value(&tcg, "-accel"), value(&tcg, "-cpu")),
            ("tcg,thread=multi".into(), "max,-erms,-fsrm,-avx2".into())
        );
        assert_eq!(
            (value(&kvm, "-accel"), value(&kvm, "-cpu")),
            ("kvm".into(), "host".into())
        );
    }

    #[test]
    fn a_comma_in_the_name_does_not_end_it() {
        assert_eq!(
            value(&args(&config(), ""), "-name"),
            "hello,,1,debug-threads=on"
        );
    }

    #[test]
    fn the_command_line_is_one_argument() {
        assert_eq!(
            value(&args(&config(), "quiet rdinit=/init"), "-append"),
            "quiet rdinit=/init"
        );
    }

    #[test]
    fn nothing_but_what_is_named_is_in_the_machine_and_nothing_may_be_gained() {
        let args = args(&config(), "");
        for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
            assert!(args.iter().any(|arg| arg == flag), "{flag}");
        }
        assert_eq!(args.iter().filter(|arg| *arg == "-device").count(), 2);
        let sandbox = value(&args, "-sandbox");
        for denied in ["obsolete", "elevateprivileges", "spawn", "resourcecontrol"] {
            assert!(sandbox.contains(&format!("{denied}=deny")), "{sandbox}");
        }
    }

    #[test]
    fn the_root_is_read_only_and_shared() {
        let blockdev = value(&args(&config(), ""), "-blockdev");
        assert!(
            blockdev.contains("read-only=on") && blockdev.contains("file.locking=off"),
            "{blockdev}"
        );
    }
}
