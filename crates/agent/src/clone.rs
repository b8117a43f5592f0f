//! What a guest that is one of many copies must change before it may be spoken to.

use std::io;

use agent::protocol::{Failed, Resume};
use nix::errno::Errno;
use nix::unistd::sethostname;

use crate::report::chain;
use crate::volume::{self, Volumes};
use crate::{clock, etc, files};

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the random numbers cannot be made anew")]
    Entropy(#[source] io::Error),
    #[error("the clock cannot be set")]
    Clock(#[source] Errno),
    #[error("the host name cannot be set to {name:?}")]
    Hostname { name: String, source: Errno },
    #[error("{path:?}")]
    File { path: String, source: io::Error },
    #[error(transparent)]
    Volume(#[from] volume::Error),
}

/// Becomes somebody else than the other copies.
pub(crate) fn become_oneself(resume: &Resume, volumes: &mut Volumes) -> Result<(), Failed> {
    change(resume, volumes).map_err(|error| Failed {
        stage: "resume".to_owned(),
        message: chain(&error),
    })
}

fn change(resume: &Resume, volumes: &mut Volumes) -> Result<(), Error> {
    // First of all: everything after may use them.
    if !resume.entropy.is_empty() {
        sys::entropy::reseed(&resume.entropy).map_err(Error::Entropy)?;
    }
    if resume.time_unix_us != 0 {
        clock::set(resume.time_unix_us).map_err(Error::Clock)?;
    }
    let mut named = Vec::new();
    if !resume.hostname.is_empty() {
        sethostname(&resume.hostname).map_err(|source| Error::Hostname {
            name: resume.hostname.clone(),
            source,
        })?;
        named = etc::files(&resume.hostname, &[]);
    }
    for file in named.iter().chain(&resume.files) {
        files::write(file).map_err(|source| Error::File {
            path: file.path.clone(),
            source,
        })?;
    }
    Ok(volumes.update(&resume.volumes)?)
}
