//! What a microVM uses, as its host sees it: the hypervisor's processor time and memory.

use std::fs;
use std::io;

use jiff::Timestamp;

use crate::container::{Container, nanoseconds, selected};
use crate::proto::runtime_v1 as cri;

/// `USER_HZ`, in which proc(5) counts: 100 on x86-64, whatever the kernel's own.
const TICKS_PER_SECOND: u64 = 100;
const PAGE: u64 = 4096;

/// Of one container. Those that do not run have used nothing since.
pub(crate) fn of(container: &Container) -> cri::ContainerStats {
    let value = |value| Some(cri::UInt64Value { value });
    let timestamp = nanoseconds(Timestamp::now());
    let machine = container.machine();
    let pid = machine.and_then(|machine| machine.pid());
    let used = pid.and_then(|pid| used(pid).ok()).unwrap_or_default();
    cri::ContainerStats {
        attributes: Some(cri::ContainerAttributes {
            id: container.id.clone(),
            metadata: container.config.metadata.clone(),
            labels: container.config.labels.clone(),
            annotations: container.config.annotations.clone(),
        }),
        cpu: Some(cri::CpuUsage {
            timestamp,
            usage_core_nano_seconds: value(used.processor_nanoseconds),
            ..Default::default()
        }),
        memory: Some(cri::MemoryUsage {
            timestamp,
            working_set_bytes: value(used.resident_bytes),
            usage_bytes: value(used.resident_bytes),
            rss_bytes: value(used.resident_bytes),
            page_faults: value(used.minor_faults + used.major_faults),
            major_page_faults: value(used.major_faults),
            ..Default::default()
        }),
        // What a guest writes is in its memory.
        writable_layer: Some(cri::FilesystemUsage {
            timestamp,
            fs_id: Some(cri::FilesystemIdentifier {
                mountpoint: "/".into(),
            }),
            used_bytes: value(0),
            inodes_used: value(0),
        }),
        ..Default::default()
    }
}

/// Whether a list that asks for this has it.
pub(crate) fn matches(container: &Container, filter: &cri::ContainerStatsFilter) -> bool {
    container.id.starts_with(&filter.id)
        && container.pod.id.starts_with(&filter.pod_sandbox_id)
        && selected(&container.config.labels, &filter.label_selector)
}

#[derive(Debug, Default, PartialEq)]
struct Used {
    processor_nanoseconds: u64,
    resident_bytes: u64,
    minor_faults: u64,
    major_faults: u64,
}

fn used(pid: u32) -> io::Result<Used> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Reads `/proc/PID/stat` (proc(5)). The program's name may have anything in it, but ends with the last bracket.
fn parse(stat: &str) -> Option<Used> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The first here is the third there.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Used {
        minor_faults: field(10)?,
        major_faults: field(12)?,
        processor_nanoseconds: (field(14)? + field(15)?) * (1_000_000_000 / TICKS_PER_SECOND),
        resident_bytes: field(24)? * PAGE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_used_is_read_after_its_name() {
        let line = "42 (qemu) system) S 1 42 42 0 -1 4194560 100 0 7 0 250 50 0 0 20 0 5 0 12345 900000000 30000 18446744073709551615";
        assert_eq!(
            parse(line),
            Some(Used {
                processor_nanoseconds: 3_000_000_000,
                resident_bytes: 30000 * 4096,
                minor_faults: 100,
                major_faults: 7,
            })
        );
        assert_eq!(parse("42 (x) S 1"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        assert!(used(std::process::id()).unwrap().resident_bytes > 0);
    }
}
