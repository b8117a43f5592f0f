//! The command line of QEMU. Pure.
//!
//! What QEMU needs is handed over as open descriptors at fixed numbers: it runs without the right to open
//! much, and no socket file is left behind. Files whose content is read by QEMU's block layer go through an
//! fd set, which uses the descriptor itself; kernel and memory are opened again through `/proc/self/fd`.

use std::ffi::OsString;
use std::os::fd::RawFd;

use agent::protocol::GUEST_MAC;

use crate::config::{Accel, DormantConfig, MachineConfig};

/// Descriptors of every QEMU process.
pub(super) const QMP: RawFd = 3;
pub(super) const CONSOLE: RawFd = 4;
pub(super) const TAP: RawFd = 5;
pub(super) const MEMORY: RawFd = 6;

/// Descriptors of one that boots.
pub(super) const KERNEL: RawFd = 7;
pub(super) const INITRAMFS: RawFd = 8;
pub(super) const ROOT: RawFd = 9;

/// Descriptors of one that waits for a snapshot.
pub(super) const SHIM_CONTROL: RawFd = 7;
pub(super) const SHIM: RawFd = 8;

/// The block node that the guest's disk reads from.
pub(super) const ROOT_NODE: &str = "root";

/// Arguments for a machine that boots. `cmdline` is the kernel's whole command line.
pub(super) fn boot(config: &MachineConfig, cmdline: &str) -> Vec<OsString> {
    let shape = Shape {
        name: &config.name,
        vcpus: config.vcpus,
        memory_mib: config.memory_mib,
        accel: config.accel,
    };
    let options = vec![
        ("-kernel", format!("/proc/self/fd/{KERNEL}")),
        ("-initrd", format!("/proc/self/fd/{INITRAMFS}")),
        ("-append", cmdline.to_owned()),
        ("-add-fd", format!("fd={ROOT},set=1")),
        // Any number of machines share the file, through the host's page cache.
        (
            "-blockdev",
            format!(
                "driver=raw,node-name={ROOT_NODE},read-only=on,file.driver=file,\
                 file.filename=/dev/fdset/1,file.read-only=on,file.locking=off"
            ),
        ),
    ];
    machine(&shape, &["-no-reboot"], options)
}

/// Arguments for the same machine, to wait for a snapshot. It has no kernel: that is in the snapshot's memory.
pub(super) fn dormant(config: &DormantConfig) -> Vec<OsString> {
    let shape = Shape {
        name: &config.name,
        vcpus: config.vcpus,
        memory_mib: config.memory_mib,
        accel: config.accel,
    };
    let options = vec![
        ("-incoming", "defer".to_owned()),
        // Stands for the root until that is known; nobody reads from it.
        (
            "-blockdev",
            format!(
                "driver=raw,node-name={ROOT_NODE},read-only=on,file.driver=null-co,\
                 file.read-only=on,file.size=512"
            ),
        ),
    ];
    machine(&shape, &["-no-reboot", "-S"], options)
}

/// What a snapshot and the machine that it is restored to must have in common.
struct Shape<'a> {
    name: &'a str,
    vcpus: u32,
    memory_mib: u32,
    accel: Accel,
}

/// `options` define the block node of the root, and come before the device that uses it.
fn machine(
    shape: &Shape<'_>,
    flags: &[&str],
    options: Vec<(&'static str, String)>,
) -> Vec<OsString> {
    let memory = shape.memory_mib;
    let mac = GUEST_MAC.map(|byte| format!("{byte:02x}")).join(":");
    // Commas end an option's value, and are doubled in it.
    let name = shape.name.replace(',', ",,");
    let (accel, cpu) = match shape.accel {
        Accel::Kvm => ("kvm", "host"),
        // Emulated, `rep movsb` is the slowest way to copy; without these the guest uses wider ones. And QEMU 7.2 takes
        // ymm4 as a gather's index for no index at all, so that numpy computes wrongly or crashes: without AVX2 there
        // are no gathers.
        Accel::Tcg => ("tcg,thread=multi", "max,-erms,-fsrm,-avx2"),
    };
    let before = [
        ("-name", format!("{name},debug-threads=on")),
        // ACPI, because distribution kernels learn of virtio-mmio devices in no other way.
        (
            "-machine",
            "microvm,acpi=on,x-option-roms=off,memory-backend=ram".to_owned(),
        ),
        ("-accel", accel.to_owned()),
        ("-cpu", cpu.to_owned()),
        ("-smp", shape.vcpus.to_string()),
        ("-m", format!("{memory}M")),
        // Shared, so that a snapshot can read the memory from the file, and QEMU leaves it out of what it writes.
        (
            "-object",
            format!(
                "memory-backend-file,id=ram,size={memory}M,mem-path=/proc/self/fd/{MEMORY},share=on"
            ),
        ),
    ];
    let after = [
        ("-device", format!("virtio-blk-device,drive={ROOT_NODE}")),
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
        ("-display", "none".to_owned()),
        ("-sandbox", SANDBOX.to_owned()),
    ];
    let mut args: Vec<OsString> = Vec::new();
    for flag in ["-nodefaults", "-no-user-config"].iter().chain(flags) {
        args.push(flag.into());
    }
    for (option, value) in before.into_iter().chain(options).chain(after) {
        args.extend([option.into(), value.into()]);
    }
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

    fn dormant_config() -> DormantConfig {
        DormantConfig {
            name: "hello,1".into(),
            run_dir: "/run/hello".into(),
            vcpus: 2,
            memory_mib: 256,
            tap: File::open("/dev/null").unwrap().into(),
            accel: Accel::Tcg,
            uid_gid: None,
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
        let args = boot(&config(), "");
        assert_eq!(value(&args, "-smp"), "2");
        assert_eq!(value(&args, "-m"), "256M");
        assert_eq!(
            value(&args, "-object"),
            "memory-backend-file,id=ram,size=256M,mem-path=/proc/self/fd/6,share=on"
        );
    }

    #[test]
    fn emulation_and_kvm_differ_in_accelerator_and_processor() {
        let args_of = |accel| boot(&MachineConfig { accel, ..config() }, "");
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
            value(&boot(&config(), ""), "-name"),
            "hello,,1,debug-threads=on"
        );
    }

    #[test]
    fn the_command_line_is_one_argument() {
        assert_eq!(
            value(&boot(&config(), "quiet rdinit=/init"), "-append"),
            "quiet rdinit=/init"
        );
    }

    #[test]
    fn nothing_but_what_is_named_is_in_the_machine_and_nothing_may_be_gained() {
        let args = boot(&config(), "");
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
        let blockdev = value(&boot(&config(), ""), "-blockdev");
        assert!(
            blockdev.contains("read-only=on") && blockdev.contains("file.locking=off"),
            "{blockdev}"
        );
    }

    #[test]
    fn a_machine_that_waits_is_the_one_that_boots_but_for_kernel_and_root() {
        let own = |option: &OsString| {
            ["-kernel", "-initrd", "-append", "-add-fd", "-blockdev"]
                .iter()
                .any(|it| option == it)
        };
        let options = |args: Vec<OsString>| {
            let device = args.iter().position(|arg| arg == "-name").unwrap();
            let pairs: Vec<_> = args[device..].chunks(2).map(<[_]>::to_vec).collect();
            pairs.into_iter().filter(|pair| !own(&pair[0]))
        };
        let waits: Vec<_> = options(dormant(&dormant_config())).collect();
        let mut boots: Vec<_> = options(boot(&config(), "")).collect();
        let at = boots.iter().position(|pair| pair[0] == "-device").unwrap();
        boots.insert(at, vec!["-incoming".into(), "defer".into()]);
        assert_eq!(waits, boots);
        assert!(dormant(&dormant_config()).iter().any(|arg| arg == "-S"));
    }
}
