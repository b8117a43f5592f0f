//! What the test binaries share: a machine to run the binary on, and eyes for what it does.

pub(crate) mod look;
pub(crate) mod machine;
pub(crate) mod site;
mod small_disk;
