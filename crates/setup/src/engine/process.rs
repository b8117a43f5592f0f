//! Commands, run with what they print going to the log.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::process::{Command as Process, Stdio};

use super::error::Error;
use super::journal::Journal;
use crate::paths;
use crate::plan::Command;

/// How a command ended, and what it printed.
pub(super) struct Ended {
    pub(super) success: bool,
    pub(super) code: Option<i32>,
    pub(super) status: String,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a command to its end, whatever that is.
pub(super) fn run(command: &Command, journal: &Journal) -> Result<Ended, Error> {
    let start = |source| Error::Start {
        command: command.to_string(),
        source,
    };
    let (program, arguments) = command.words.split_first().ok_or_else(|| {
        start(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "no program is named",
        ))
    })?;
    let output = || tempfile::tempfile().map_err(start);
    let (mut stdout, mut stderr) = (output()?, output()?);
    let handle = |file: &File| file.try_clone().map(Stdio::from).map_err(start);
    let mut process = Process::new(program);
    process
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // What is read out of programs is read in English.
        .env("LC_ALL", "C")
        .stdin(if command.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(handle(&stdout)?)
        .stderr(handle(&stderr)?);
    if program == "kn" {
        process.env("KUBECONFIG", paths::ADMIN_CONF);
    }
    let mut child = process.spawn().map_err(start)?;
    if let (Some(input), Some(mut pipe)) = (&command.input, child.stdin.take()) {
        // A program that ends without reading says why by its status.
        let _ = pipe.write_all(input.as_bytes());
    }
    let status = child.wait().map_err(start)?;
    let text = |file: &mut File| {
        let mut bytes = Vec::new();
        file.rewind()
            .and_then(|()| file.read_to_end(&mut bytes))
            .map_err(start)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let ended = Ended {
        success: status.success(),
        code: status.code(),
        status: status.to_string(),
        stdout: text(&mut stdout)?,
        stderr: text(&mut stderr)?,
    };
    journal.log(&format!(
        "$ {command}\n{}{}({})",
        ended.stdout, ended.stderr, ended.status
    ));
    Ok(ended)
}

/// Runs a command that has to succeed; what it printed on stdout.
pub(crate) fn succeed(command: &Command, journal: &Journal) -> Result<String, Error> {
    let ended = run(command, journal)?;
    if ended.success {
        return Ok(ended.stdout);
    }
    Err(failed(command, ended))
}

/// The error of a command that did not succeed, with the end of what it said.
pub(super) fn failed(command: &Command, ended: Ended) -> Error {
    let said = if ended.stderr.trim().is_empty() {
        &ended.stdout
    } else {
        &ended.stderr
    };
    let lines: Vec<&str> = said.lines().collect();
    Error::Command {
        command: command.to_string(),
        output: lines[lines.len().saturating_sub(12)..].join("\n"),
        status: ended.status,
    }
}

/// Whether a command succeeds. One that is not there does not.
pub(super) fn succeeds(command: &Command, journal: &Journal) -> bool {
    run(command, journal).is_ok_and(|ended| ended.success)
}
