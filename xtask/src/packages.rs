//! The distribution's packages that the tests use for real: a hypervisor, a registry, a shell for
//! guests, curl, a second reader of squashfs, containerd with what it needs for pods, and kubectl, which not every distribution has.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A program that tests run, and the package of Debian and Ubuntu that brings it.
struct Need {
    program: &'static str,
    package: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        program: "qemu-system-x86_64",
        package: "qemu-system-x86",
    },
    Need {
        program: "docker-registry",
        package: "docker-registry",
    },
    Need {
        program: "busybox",
        package: "busybox-static",
    },
    // The guide to a first function calls it.
    Need {
        program: "curl",
        package: "curl",
    },
    Need {
        program: "unsquashfs",
        package: "squashfs-tools",
    },
    Need {
        program: "containerd",
        package: "containerd",
    },
    Need {
        program: "runc",
        package: "runc",
    },
    Need {
        program: CNI_PLUGIN,
        package: "containernetworking-plugins",
    },
];

/// The plugins are in a folder of their own.
const CNI_PLUGIN: &str = "/usr/lib/cni/ptp";

const KUBECTL: Need = Need {
    program: "kubectl",
    package: "kubernetes-client",
};
/// Tests that run it: those of a module of this name, and one that begins with it.
pub(crate) const KUBECTL_TESTS: &str = "kubectl";

/// Installs what is missing with `apt-get`, after naming it.
pub(crate) fn install_missing() -> Result<()> {
    install(NEEDS)
}

/// Installs `kubectl`, unless there is one. An error is why it cannot be had.
pub(crate) fn install_kubectl() -> Result<()> {
    install(&[KUBECTL])
}

fn install(needs: &[Need]) -> Result<()> {
    let missing: Vec<&str> = needs
        .iter()
        .filter(|need| !on_path(need.program))
        .map(|need| need.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing {}", missing.join(" "));
    // A machine with no package lists yet finds nothing: fetch them first.
    apt_get(&["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(&missing);
    apt_get(&arguments)
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| Path::new(&folder).join(program).is_file())
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let line = arguments.join(" ");
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // A service must not be started by its package: tests start their own.
        .env("RUNLEVEL", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot start apt-get {line}"))?;
    if !status.success() {
        bail!(
            "apt-get {line} failed ({status}); run it as root, or install the packages by hand and pass --no-install"
        );
    }
    Ok(())
}
