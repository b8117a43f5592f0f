//! One check each, for `vhive doctor` and for the first steps of `vhive quickstart`.

use std::path::Path;
use std::time::Duration;

use sys::kvm::{self, Verdict};
use vmm::kernel::KernelStore;
use vmm::qemu::Qemu;

/// How one check came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    Good(String),
    /// Works, but worse than it could.
    Limited {
        what: String,
        advice: String,
    },
    /// A node cannot run without it.
    Missing {
        what: String,
        remedy: String,
    },
}

/// What to do when the QEMU that was named does not run.
pub(crate) const OTHER_QEMU: &str =
    "name a QEMU with --qemu, or leave it out to use the one on PATH";

/// All checks by name.
pub(crate) fn all(data_dir: &Path) -> Vec<(&'static str, Finding)> {
    vec![
        ("root", root()),
        ("qemu", qemu(None)),
        ("kvm", kvm()),
        ("kernel", kernel(data_dir)),
        ("tun", device("/dev/net/tun", "modprobe tun")),
        ("disk", disk(data_dir)),
    ]
}

pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0)
}

fn root() -> Finding {
    if is_root() {
        Finding::Good("running as root".to_owned())
    } else {
        Finding::Missing {
            what: "not running as root".to_owned(),
            remedy: "run it with sudo".to_owned(),
        }
    }
}

/// The QEMU that is named, or the one on PATH.
pub(crate) fn qemu(named: Option<&Path>) -> Finding {
    match Qemu::find(named) {
        Ok(qemu) => Finding::Good(format!("QEMU {}", qemu.version())),
        Err(error) => Finding::Missing {
            what: error.to_string(),
            remedy: "apt-get install --no-install-recommends qemu-system-x86".to_owned(),
        },
    }
}

fn kvm() -> Finding {
    let probe = kvm::probe(Duration::from_millis(500));
    let speed = probe
        .iterations_per_us
        .map(|speed| format!(" ({speed:.1} loop iterations per µs)"))
        .unwrap_or_default();
    match probe.verdict {
        Verdict::Works => Finding::Good(format!("hardware virtualisation works{speed}")),
        verdict => Finding::Limited {
            what: format!("{verdict}{speed}"),
            advice: "guests run under emulation (TCG), some ten times slower; use a host with KVM for speed".to_owned(),
        },
    }
}

pub(crate) fn kernel(data_dir: &Path) -> Finding {
    let remedy = "vhive kernel fetch".to_owned();
    let none = "no guest kernel".to_owned();
    let folder = data_dir.join("kernels");
    // To look is not to make: opening the store would.
    if !folder.is_dir() {
        return Finding::Missing { what: none, remedy };
    }
    match KernelStore::open(&folder).and_then(|store| store.latest()) {
        Ok(Some(kernel)) => Finding::Good(format!("guest kernel {}", kernel.release)),
        Ok(None) => Finding::Missing { what: none, remedy },
        Err(error) => Finding::Missing {
            what: error.to_string(),
            remedy,
        },
    }
}

fn device(path: &str, remedy: &str) -> Finding {
    if Path::new(path).exists() {
        Finding::Good(path.to_owned())
    } else {
        Finding::Missing {
            what: format!("{path} is not there"),
            remedy: remedy.to_owned(),
        }
    }
}

fn disk(data_dir: &Path) -> Finding {
    /// A kernel, a few images and their roots.
    const ENOUGH: u64 = 2 << 30;
    let existing = data_dir
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"));
    let free = rustix::fs::statvfs(existing).map(|it| it.f_bavail * it.f_frsize);
    match free {
        Ok(free) if free >= ENOUGH => Finding::Good(format!(
            "{} free under {}",
            crate::output::size(free),
            existing.display()
        )),
        Ok(free) => Finding::Limited {
            what: format!(
                "only {} free under {}",
                crate::output::size(free),
                existing.display()
            ),
            advice: "name a roomier folder with --data-dir, or free space with `vhive image gc`"
                .to_owned(),
        },
        Err(error) => Finding::Limited {
            what: error.to_string(),
            advice: "check the folder".to_owned(),
        },
    }
}
