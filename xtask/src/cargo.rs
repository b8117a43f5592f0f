//! Runs Cargo in the workspace.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs `cargo ARGUMENTS` with `environment` added; an exit code other than 0 is an error.
pub(crate) fn run<S: AsRef<OsStr>>(arguments: &[S], environment: &[(&str, &str)]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let words: Vec<_> = arguments
        .iter()
        .map(|word| word.as_ref().to_string_lossy())
        .collect();
    let line = words.join(" ");
    eprintln!("cargo {line}");
    let status = Command::new(cargo)
        .args(arguments)
        .envs(environment.iter().copied())
        .status()
        .with_context(|| format!("cannot start cargo {line}"))?;
    if !status.success() {
        bail!("cargo {line} failed ({status})");
    }
    Ok(())
}
