//! Whether the kernel killed for want of memory: of the machine's, or of what the function's control group may have. The global counter
//! has both.

/// Has the kernel killed a process because memory ran out?
pub(super) fn happened() -> bool {
    std::fs::read_to_string("/proc/vmstat").is_ok_and(|vmstat| kills(&vmstat) > 0)
}

/// `oom_kill` of `proc_vmstat(5)`.
fn kills(vmstat: &str) -> u64 {
    vmstat
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_found_among_its_neighbours() {
        assert_eq!(kills("pgfault 12\noom_kill 3\noom_kill_other 9\n"), 3);
        assert_eq!(kills("pgfault 12\n"), 0);
        assert_eq!(kills("oom_kill what\n"), 0);
    }
}
