//! Why QEMU does not run a machine.

use std::io;
use std::path::PathBuf;

use super::shim;
use crate::qmp;

/// QEMU is missing, or does not run the machine it was given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No QEMU on this host.
    #[error("there is no qemu-system-x86_64 in PATH; install it: apt-get install qemu-system-x86")]
    Missing,
    /// The QEMU that was named does not run.
    #[error(
        "cannot run {binary:?}; name another QEMU, or install one: apt-get install qemu-system-x86"
    )]
    Binary {
        /// The program.
        binary: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The program does not answer like a QEMU.
    #[error("{binary:?} does not say its version like a QEMU does: {said:?}")]
    Version {
        /// The program.
        binary: PathBuf,
        /// Its answer.
        said: String,
    },
    /// A file of the machine cannot be opened.
    #[error("cannot open the {what} {path:?}")]
    Open {
        /// Which file it is.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The guest's memory cannot be made.
    #[error("cannot make the memory of machine {name:?}")]
    Memory {
        /// The machine's name.
        name: String,
        /// What failed.
        source: sys::memfd::Error,
    },
    /// The process cannot be made.
    #[error("cannot start QEMU for machine {name:?}")]
    Spawn {
        /// The machine's name.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// QEMU ended, or did not answer, at its start.
    #[error("QEMU did not start machine {name:?}; it said: {stderr:?}")]
    Start {
        /// The machine's name.
        name: String,
        /// The last of its standard error.
        stderr: String,
        /// What was missed.
        source: qmp::Error,
    },
    /// A waiting QEMU could not take the snapshot's memory.
    #[error("QEMU did not take the memory of machine {name:?}; it said: {stderr:?}")]
    Bind {
        /// The machine's name.
        name: String,
        /// The last of its standard error.
        stderr: String,
        /// Why not.
        source: shim::Error,
    },
    /// A waiting QEMU could not take the root image.
    #[error("QEMU did not take the root image {root:?} of machine {name:?}; it said: {stderr:?}")]
    Root {
        /// The machine's name.
        name: String,
        /// The image.
        root: PathBuf,
        /// The last of its standard error.
        stderr: String,
        /// Why not.
        source: qmp::Error,
    },
    /// A waiting QEMU could not take the snapshot's state, which may be of another machine, or damaged.
    #[error("QEMU did not load the state of machine {name:?}; it said: {stderr:?}")]
    Load {
        /// The machine's name.
        name: String,
        /// The last of its standard error.
        stderr: String,
        /// Why not.
        source: qmp::Error,
    },
    /// What the guest was to wait for before it runs on came to nothing.
    #[error("machine {name:?} may not run on: {why}")]
    Gate {
        /// The machine's name.
        name: String,
        /// What was said.
        why: String,
    },
    /// A restored QEMU does not let the guest run.
    #[error("QEMU did not let the restored machine {name:?} run; it said: {stderr:?}")]
    Resume {
        /// The machine's name.
        name: String,
        /// The last of its standard error.
        stderr: String,
        /// Why not.
        source: qmp::Error,
    },
    /// QEMU did not give the state of the machine.
    #[error("QEMU did not save machine {name:?}")]
    Save {
        /// The machine's name.
        name: String,
        /// What it said.
        source: qmp::Error,
    },
    /// A file of a snapshot cannot be written.
    #[error("cannot write the {what} of machine {name:?} to its snapshot")]
    Write {
        /// The machine's name.
        name: String,
        /// Which file it is.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}
