//! The processor that guests see: a snapshot fits only where it can do what the guest has found out that it can.

use std::fs;

use sha2::{Digest as _, Sha256};
use vmm::Accel;

/// Names the processor for [`crate::snapshots::Origin`]. An emulated one depends on the hypervisor alone; with KVM guests see
/// the host's.
pub(crate) fn seen_by_guests(accel: Accel) -> String {
    match accel {
        Accel::Tcg => "emulated".to_owned(),
        Accel::Kvm => host(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
    }
}

/// Model, and a digest of what the kernel says that it can do.
fn host(cpuinfo: &str) -> String {
    let field = |name: &str| {
        cpuinfo
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.trim() == name)
            .map_or("", |(_, value)| value.trim())
    };
    let digest = Sha256::digest(format!("{}\n{}", field("flags"), field("microcode")));
    let [a, b, c, d, ..] = <[u8; 32]>::from(digest);
    let short = u32::from_be_bytes([a, b, c, d]);
    format!("{} ({short:08x})", field("model name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_differ_by_model_and_by_what_they_can_do() {
        let info =
            |model, flags| format!("processor\t: 0\nmodel name\t: {model}\nflags\t\t: {flags}\n");
        let one = host(&info("Xeon", "sse avx"));
        assert_eq!(one, host(&info("Xeon", "sse avx")));
        assert_ne!(one, host(&info("Xeon", "sse")));
        assert_ne!(one, host(&info("EPYC", "sse avx")));
        assert!(one.starts_with("Xeon ("), "{one}");
    }
}
