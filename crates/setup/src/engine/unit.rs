//! Units of systemd.

use std::fs;
use std::path::{Path, PathBuf};

use super::Host;
use super::error::Error;
use super::process;
use super::state::Restore;
use crate::checksum::sha256;
use crate::plan::Command;

/// Whether it is enabled, runs, and has read what it reads.
pub(super) fn holds(host: &Host, name: &str, reads: &[PathBuf]) -> bool {
    let read = host.store.look().read.get(name).cloned();
    read == Some(digest(reads)) && is_enabled(host, name) && is_active(host, name)
}

/// Enables and starts it, or starts it again.
pub(super) fn act(host: &Host, name: &str, reads: &[PathBuf]) -> Result<(), Error> {
    if !is_enabled(host, name) {
        host.store.restore_later(Restore::Unit(name.to_owned()))?;
    }
    let digest = digest(reads);
    for line in ["daemon-reload", "enable", "restart"] {
        let mut command = Command::words(["systemctl", line]);
        if line != "daemon-reload" {
            command.words.push(name.to_owned());
        }
        process::succeed(&command, &host.journal)?;
    }
    host.store
        .change(|state| state.read.insert(name.to_owned(), digest))?;
    Ok(())
}

/// Stops and disables it.
pub(super) fn restore(host: &Host, name: &str) -> Result<(), Error> {
    let command = Command::words(["systemctl", "disable", "--now", name]);
    process::succeed(&command, &host.journal)?;
    host.store
        .change(|state| state.read.remove(name))
        .map(|_| ())
}

fn is_enabled(host: &Host, name: &str) -> bool {
    process::succeeds(
        &Command::words(["systemctl", "is-enabled", "--quiet", name]),
        &host.journal,
    )
}

/// A kubelet that is not part of a cluster yet starts over and over: that is as it should be.
fn is_active(host: &Host, name: &str) -> bool {
    let command = Command::words([
        "systemctl",
        "show",
        "--property=ActiveState",
        "--value",
        name,
    ]);
    process::run(&command, &host.journal)
        .is_ok_and(|ended| matches!(ended.stdout.trim(), "active" | "activating" | "reloading"))
}

/// Of all that is read, whether it is there or not.
fn digest(reads: &[PathBuf]) -> String {
    let mut text = Vec::new();
    for path in reads {
        for file in files(path) {
            text.extend(file.as_os_str().as_encoded_bytes());
            text.push(0);
            text.extend(fs::read(&file).unwrap_or_default());
            text.push(0);
        }
    }
    sha256(&text)
}

/// A file, or the files of a folder in order.
fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return vec![path.to_owned()];
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}
