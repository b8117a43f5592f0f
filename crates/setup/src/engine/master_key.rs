//! masterKey.yaml: what a worker joins a cluster by.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Host;
use super::error::Error;
use super::journal::Event;
use super::{file, process};
use crate::plan::Command;

/// What is in masterKey.yaml. The keys are those of vHive's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterKey {
    /// Of the master.
    pub address: String,
    /// Of its API.
    pub port: String,
    /// Good for a day.
    pub token: String,
    /// Of the cluster's certificate: `sha256:…`.
    pub hash: String,
}

const KEYS: [&str; 4] = [
    "ApiserverAdvertiseAddress",
    "ApiserverPort",
    "ApiserverToken",
    "ApiserverTokenHash",
];

impl MasterKey {
    /// Reads a file.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        Self::parse(&text).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it does not have all of {}", KEYS.join(", ")),
            )
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))?;
            // Goes into a configuration: nothing in it may end a value there.
            let plain = |c: char| c.is_ascii_alphanumeric() || ".:-".contains(c);
            (!value.is_empty() && value.chars().all(plain)).then(|| value.to_owned())
        };
        Some(Self {
            address: value(KEYS[0])?,
            port: value(KEYS[1])?,
            token: value(KEYS[2])?,
            hash: value(KEYS[3])?,
        })
    }

    /// Reads what `kubeadm token create --print-join-command` prints.
    fn from_command(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |word: &str| {
            let at = words.iter().position(|found| *found == word)?;
            words.get(at + 1).map(|word| (*word).to_owned())
        };
        let (address, port) = after("join")?
            .rsplit_once(':')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))?;
        Some(Self {
            address,
            port,
            token: after("--token")?,
            hash: after("--discovery-token-ca-cert-hash")?,
        })
    }

    fn text(&self) -> String {
        let values = [&self.address, &self.port, &self.token, &self.hash];
        let lines = KEYS
            .iter()
            .zip(values)
            .map(|(key, value)| format!("{key}: {value}\n"));
        lines.collect()
    }

    /// What is typed on a worker.
    pub fn join_command(&self) -> String {
        format!(
            "sudo kubeadm join {}:{} --token {} --discovery-token-ca-cert-hash {}",
            self.address, self.port, self.token, self.hash
        )
    }
}

/// Whether the file's token still opens the cluster.
pub(super) fn holds(host: &Host, path: &Path, owner: (u32, u32)) -> bool {
    let Ok(key) = MasterKey::read(path) else {
        return false;
    };
    let list = Command::line("kubeadm token list");
    file::has_mode(path, 0o600, Some(owner))
        && process::succeed(&list, &host.journal).is_ok_and(|text| text.contains(&key.token))
}

/// Has a token made, and writes the file.
pub(super) fn act(host: &Host, path: &Path, owner: (u32, u32)) -> Result<(), Error> {
    let command = Command::line("kubeadm token create --print-join-command");
    let printed = process::succeed(&command, &host.journal)?;
    let key = MasterKey::from_command(&printed).ok_or(Error::NoJoinCommand(printed))?;
    file::write(&host.store, path, key.text().as_bytes(), 0o600, Some(owner))
}

/// Tells how workers join, whether the file is new or not.
pub(super) fn tell(host: &Host, path: &Path) {
    if let Ok(key) = MasterKey::read(path) {
        let text = format!(
            "Join cluster from worker nodes with command: {}",
            key.join_command()
        );
        host.journal.tell(&Event::Note { text: &text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubeadm_prints_becomes_the_file_and_the_file_the_key() {
        let printed = "kubeadm join 10.0.0.1:6443 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash sha256:00ff \n";
        let key = MasterKey::from_command(printed).expect("it is whole");
        assert_eq!(MasterKey::parse(&key.text()), Some(key.clone()));
        assert_eq!(key.join_command(), format!("sudo {}", printed.trim_end()));
    }

    #[test]
    fn a_key_with_anything_else_in_it_is_refused() {
        let text = "ApiserverAdvertiseAddress: 10.0.0.1\nApiserverPort: 6443\nApiserverToken: a\"]\nApiserverTokenHash: x\n";
        assert_eq!(MasterKey::parse(text), None);
    }
}
