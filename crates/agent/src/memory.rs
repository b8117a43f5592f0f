//! What happens when memory runs out.
//!
//! A guest has no swap, so what the kernel takes back first is the program itself, page by page, and reads
//! it again from the image at once. A function that needs a little too much would crawl for minutes before
//! the kernel gave up and killed it. The multi-generational LRU (Documentation/admin-guide/mm/multigen_lru.rst)
//! can be told to kill rather than evict what was used a moment ago.

use std::fs;

/// Milliseconds: as the kernel's documentation suggests.
const WORKING_SET: &str = "1000";

/// Has the kernel kill a process rather than thrash. Kernels without the feature are left as they are.
pub(crate) fn kill_rather_than_thrash() {
    // The shape of the memory is a matter of speed, not of right or wrong: failure is no reason to stop.
    let _ = fs::write("/sys/kernel/mm/lru_gen/enabled", "y");
    let _ = fs::write("/sys/kernel/mm/lru_gen/min_ttl_ms", WORKING_SET);
}
