//! What a snapshot was taken of, and whether it fits what is to be started. Pure.
//!
//! Device state and memory make sense only together with the disk, the kernel and the hypervisor that they were taken with,
//! and on a processor that can do what the guest saw it do. The process in it has read its arguments and variables, and perhaps
//! files of its volumes, and does not begin again.

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
    /// Digest of the process's arguments, variables, mounts, and files in volumes. Empty in manifests that do not have it, which
    /// fit nothing.
    #[serde(default)]
    pub process: String,
}

/// Why a snapshot cannot be restored here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It is of another machine.
    #[error("it was taken with {what} {theirs}, and here it is {ours}")]
    Machine {
        /// What differs.
        what: &'static str,
        /// What the snapshot says.
        theirs: String,
        /// What there is.
        ours: String,
    },
    /// It is of another process. The digests are not told: they would confirm who guesses a secret.
    #[error(
        "its process began with other arguments, variables, mounts or files in volumes than one would now"
    )]
    Process,
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
        ];
        let machine = pairs
            .into_iter()
            .find(|(_, theirs, ours)| theirs != ours)
            .map(|(what, theirs, ours)| Misfit::Machine { what, theirs, ours });
        machine.or_else(|| (self.process != here.process).then_some(Misfit::Process))
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
        let changes: [(&str, Change); 6] = [
            ("root image", |it| it.root = "other".into()),
            ("guest kernel", |it| it.kernel = "other".into()),
            ("hypervisor", |it| it.hypervisor = "qemu 9.0".into()),
            ("processor", |it| it.cpu = "other".into()),
            ("virtual CPUs", |it| it.vcpus = 2),
            ("MiB of memory", |it| it.memory_mib = 512),
        ];
        for (what, change) in changes {
            let mut here = origin();
            change(&mut here);
            let misfit = origin().misfit(&here).expect(what).to_string();
            assert!(misfit.contains(what), "{misfit}");
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

    #[test]
    fn another_process_is_told_without_a_digest_that_a_guess_could_be_compared_with() {
        let mut here = origin();
        here.process = "0ther".into();
        let misfit = origin().misfit(&here).map(|it| it.to_string());
        let misfit = misfit.unwrap_or_default();
        assert!(misfit.starts_with("its process began with"), "{misfit}");
        assert!(!misfit.contains("0ther") && !misfit.contains("digest"));
    }
}
