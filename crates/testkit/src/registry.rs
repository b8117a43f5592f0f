//! Debian's `docker-registry` on a free port of the loopback.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// A running registry, which ends and forgets everything when this is dropped.
pub struct Registry {
    folder: TempDir,
    process: Child,
    address: SocketAddr,
}

impl Registry {
    /// Starts one. `files` (name and content) are put into its folder first; `extra` is added to its configuration, with the
    /// folder in place of the word FOLDER.
    pub fn start(files: &[(&str, &str)], extra: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        for (name, content) in files {
            fs::write(folder.path().join(name), content)?;
        }
        let config = format!(
            "version: 0.1\n\
             log: {{level: info, formatter: text}}\n\
             storage: {{filesystem: {{rootdirectory: FOLDER/data}}}}\n\
             http: {{addr: '127.0.0.1:0'}}\n\
             {extra}"
        );
        let config_path = folder.path().join("config.yml");
        let path = folder.path().to_string_lossy();
        fs::write(&config_path, config.replace("FOLDER", &path))?;
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(config_path)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("there is no docker-registry: apt-get install docker-registry")?;
        let log = process.stderr.take().context("its log is piped")?;
        let mut log = BufReader::new(log);
        let address = listening(&mut log)?;
        // It must always find a reader.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Ok(Self {
            folder,
            process,
            address,
        })
    }

    /// Where it keeps everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it listens, with plain HTTP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until the server says where it listens.
fn listening(log: &mut impl BufRead) -> Result<SocketAddr> {
    let mut said = String::new();
    for line in log.by_ref().lines() {
        let line = line?;
        if let Some((_, rest)) = line.split_once("listening on ") {
            let end = rest.find(|it: char| !(it.is_ascii_digit() || ".:".contains(it)));
            let address = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
            return Ok(address.parse()?);
        }
        said.push_str(&line);
        said.push('\n');
    }
    bail!("docker-registry did not start:\n{said}");
}
