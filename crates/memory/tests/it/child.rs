//! A hypervisor in a process of its own: the test starts its own binary again, and there plays the guest.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

const SOCKET: &str = "MEMORY_TEST_GUEST_SOCKET";

/// In the process of the guest, the socket it is to connect to.
pub(crate) fn socket() -> Option<PathBuf> {
    std::env::var_os(SOCKET).map(PathBuf::from)
}

/// The process of a guest; killed at the latest with the test.
pub(crate) struct Process(Child);

impl Process {
    /// Runs the test `name`, in which [`socket`] is there.
    pub(crate) fn start(name: &str, socket: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(SOCKET, socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Kills it, and says whether that is what ended it.
    pub(crate) fn kill(mut self) -> bool {
        self.0.kill().unwrap();
        let status: ExitStatus = self.0.wait().unwrap();
        status.signal() == Some(9)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
