//! A command that runs until it is told to end.

use std::process::{Child, Command};

/// Ended whatever happens.
pub(crate) struct LongRunning(pub(crate) Child);

impl Drop for LongRunning {
    fn drop(&mut self) {
        // The child is `timeout`, which passes the signal on; it would not outlive SIGKILL to do so.
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.0.wait();
    }
}
