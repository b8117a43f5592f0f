//! `kn`, the client of Knative, which no distribution packages: built from its Go module, once per version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

/// Names its version: the newest that can be built as a module that another requires. Later ones replace modules of their own by
/// folders of their repository, and that holds only there.
const GO_MOD: &str = include_str!("../kn/go.mod");
const GO_SUM: &str = include_str!("../kn/go.sum");
/// What its go.mod asks for.
const GO: (u32, u32) = (1, 22);
/// Tests that run it.
pub(crate) const TESTS: &str = "kn::";

/// Builds it into the target folder, where the tests look for it, unless that was done before. An error is why it cannot be had.
pub(crate) fn install() -> Result<()> {
    let folder = std::path::absolute(target_dir().join("tools"))?;
    let program = folder.join("kn");
    // Of all that it is made of: a dependency may change without its version.
    let stamp = folder.join("kn.made-of");
    let made_of = [GO_MOD, GO_SUM].concat();
    if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|made| made == made_of) {
        return Ok(());
    }
    new_enough(&go_version()?)?;
    let version = version();
    eprintln!("building kn {version} (once; a few minutes)");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // In a copy: go writes what it has resolved into go.mod.
    for (name, text) in [("go.mod", GO_MOD), ("go.sum", GO_SUM)] {
        fs::write(folder.join(name), text)?;
    }
    let status = Command::new("go")
        .args(["build", "-o", "kn", "knative.dev/client/cmd/kn"])
        .current_dir(&folder)
        .env("GOFLAGS", "-mod=mod")
        .env("CGO_ENABLED", "0")
        .status()
        .context("cannot start go")?;
    if !status.success() {
        bail!("go could not build kn {version} ({status})");
    }
    fs::write(&stamp, made_of).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(())
}

/// As go.mod requires it.
fn version() -> &'static str {
    let required = GO_MOD.split_once("require knative.dev/client ");
    let version = required.and_then(|(_, rest)| rest.split_whitespace().next());
    version.unwrap_or("of unknown version")
}

fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    )
}

/// `go1.26.8`, as the toolchain names itself.
fn go_version() -> Result<String> {
    let output = Command::new("go")
        .args(["env", "GOVERSION"])
        .output()
        .context("there is no Go toolchain on PATH")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn new_enough(version: &str) -> Result<()> {
    let mut parts = version.trim_start_matches("go").split('.');
    let mut part = || parts.next()?.parse::<u32>().ok();
    let known = part().zip(part());
    match known {
        Some(known) if known >= GO => Ok(()),
        _ => Err(anyhow!(
            "Go is {version:?}, and kn {} needs {}.{}",
            self::version(),
            GO.0,
            GO.1
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_version_stands_in_its_go_mod() {
        let parts: Vec<u32> = version()
            .trim_start_matches('v')
            .split('.')
            .filter_map(|part| part.parse().ok())
            .collect();
        assert_eq!(parts.len(), 3, "{}", version());
    }

    #[test]
    fn a_toolchain_is_new_enough_by_number() {
        for version in ["go1.22", "go1.22.7", "go1.100.1", "go2.0"] {
            assert!(new_enough(version).is_ok(), "{version}");
        }
        for version in ["go1.19.8", "go1.9", "", "devel"] {
            assert!(new_enough(version).is_err(), "{version}");
        }
    }
}
