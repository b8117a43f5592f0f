//! Guest kernels: what a machine boots. The store that makes them comes here.

use std::path::PathBuf;

use crate::Accel;

/// A guest kernel, ready to boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kernel {
    /// Release, as `uname -r` has it.
    pub release: String,
    /// The kernel, an ELF file with a PVH entry.
    pub vmlinux: PathBuf,
    /// The initramfs: the agent and the modules.
    pub initramfs: PathBuf,
    /// Digest of all of it.
    pub digest: String,
}

impl Kernel {
    /// The command line for a machine run by `accel`.
    pub fn command_line(&self, accel: Accel, extra: &str) -> String {
        let _ = accel;
        let mhz = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let mhz = mhz
            .lines()
            .find_map(|l| l.strip_prefix("cpu MHz"))
            .and_then(|l| l.split(':').nth(1)?.trim().parse::<f64>().ok())
            .unwrap_or(2000.0);
        let khz = (mhz * 1000.0) as u64;
        format!(
            "console=ttyS0 quiet loglevel=1 reboot=t panic=-1 random.trust_cpu=on rdinit=/init tsc=reliable tsc_early_khz={khz} lpj=8000000 {extra}"
        )
    }
}
