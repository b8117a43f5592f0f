//! Installs what the host lacks, after asking.

use std::io::{IsTerminal, Write};
use std::process::Stdio;

use anyhow::{Context, anyhow};
use tokio::process::Command;

use crate::exit::{Code, Failure, Outcome};

/// The package of Debian and Ubuntu that brings QEMU.
pub(crate) const QEMU: &str = "qemu-system-x86";

/// Asks a yes/no question on the terminal. Without a terminal the answer is no.
pub(crate) fn confirm(question: &str) -> Outcome<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("{question} [Y/n] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(matches!(
        answer.trim().to_lowercase().as_str(),
        "" | "y" | "yes"
    ))
}

/// Installs a package with `apt-get`.
pub(crate) async fn install(package: &str) -> Outcome {
    apt_get(&["update", "-qq"]).await?;
    apt_get(&["install", "-y", "-qq", "--no-install-recommends", package]).await
}

async fn apt_get(arguments: &[&str]) -> Outcome {
    let line = format!("apt-get {}", arguments.join(" "));
    let output = Command::new("apt-get")
        .args(arguments)
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot start {line}"))
        .map_err(|error| {
            Failure::new(Code::Failed, error)
                .hint("install QEMU with this system's own package manager, then run this again")
        })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr
        .lines()
        .rev()
        .take(5)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect::<Vec<_>>()
        .join("\n");
    Err(Failure::new(
        Code::Failed,
        anyhow!("{last}").context(format!("{line} failed ({})", output.status)),
    )
    .hint(format!("run `{line}` by hand and mend what it says")))
}
