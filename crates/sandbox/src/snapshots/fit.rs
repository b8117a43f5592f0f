//! What a snapshot was taken of, and whether it fits what is to be started. Pure.
//!
//! Device state and memory make sense only together with the disk, the kernel and the hypervisor that they were taken with,
//! and on a processor that can do what the guest saw it do. The process in it has read its arguments and environment, and
//! cannot be given others.

use serde::{Deserialize, Serialize};

/// Everything that has to be the same when a snapshot is restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The root image: the name of its file, which is the digest of its layers.
    pub root: String,
    /// Digest of the guest's kernel, modules and agent.
    pub kernel: String,
    /// Hypervisor and its version.
    pub hypervisor: String,
    /// The processor that the guest sees.
    pub cpu: String,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Digest of the process's arguments, environment and mounts. Empty in manifests that do not have it, which fit nothing.
    #[serde(default)]
    pub process: String,
}

/// Why a snapshot cannot be restored here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was taken with {what} {theirs}, and here it is {ours}")]
pub struct Misfit {
    /// What differs.
    pub what: &'static str,
    /// What the snapshot says.
    pub theirs: String,
    /// What there is.
    pub ours: String,
}

impl Origin {
    /// The first thing in which a snapshot taken of `self` does not fit `here`.
    pub fn misfit(&self, here: &Origin) -> Option<Misfit> {
        let text = |vcpus: u32| vcpus.to_string();
        let pairs = [
            ("root image", self.root.clone(), here.root.clone()),
            ("guest kernel", self.kernel.clone(), here.kernel.clone()),
            (
                "hypervisor",
                self.hypervisor.clone(),
                here.hypervisor.clone(),
            ),
            ("processor", self.cpu.clone(), here.cpu.clone()),
            ("virtual CPUs", text(self.vcpus), text(here.vcpus)),
            (
                "MiB of memory",
                text(self.memory_mib),
                text(here.memory_mib),
            ),
            (
                "arguments, environment and mounts",
                self.process.clone(),
                here.process.clone(),
            ),
        ];
        pairs
            .into_iter()
            .find(|(_, theirs, ours)| theirs != ours)
            .map(|(what, theirs, ours)| Misfit { what, theirs, ours })
    }
}

#[cfg(test)]
pub(super) fn origin() -> Origin {
    Origin {
        root: "sha256-root".into(),
        kernel: "sha256:kernel".into(),
        hypervisor: "qemu 7.2.22".into(),
        cpu: "emulated".into(),
        vcpus: 1,
        memory_mib: 256,
        process: "digest".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_fits() {
        assert_eq!(origin().misfit(&origin()), None);
    }

    #[test]
    fn each_difference_is_named() {
        type Change = fn(&mut Origin);
        let changes: [(&str, Change); 7] = [
            ("root image", |it| it.root = "other".into()),
            ("guest kernel", |it| it.kernel = "other".into()),
            ("hypervisor", |it| it.hypervisor = "qemu 9.0".into()),
            ("processor", |it| it.cpu = "other".into()),
            ("virtual CPUs", |it| it.vcpus = 2),
            ("MiB of memory", |it| it.memory_mib = 512),
            ("arguments, environment and mounts", |it| {
                it.process = "other".into();
            }),
        ];
        for (what, change) in changes {
            let mut here = origin();
            change(&mut here);
            let misfit = origin().misfit(&here).expect(what);
            assert_eq!(misfit.what, what);
        }
    }

    #[test]
    fn a_misfit_says_both_sides() {
        let mut here = origin();
        here.hypervisor = "qemu 9.0".into();
        assert_eq!(
            origin().misfit(&here).map(|it| it.to_string()).as_deref(),
            Some("it was taken with hypervisor qemu 7.2.22, and here it is qemu 9.0")
        );
    }
}
