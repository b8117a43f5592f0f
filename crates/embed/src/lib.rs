//! Builds a static guest binary from a build script, so that the crate that needs it can embed it.
//!
//! Guest binaries run where there is no shared library, so they are linked statically
//! (`+crt-static`), in a target folder of their own: the outer Cargo holds the lock of its own
//! target folder while a build script runs.

use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds `package` of this workspace with the `guest` profile and returns the path of its binary.
///
/// Call it from a build script only. `sources` are the folders, relative to the workspace root,
/// whose change means a rebuild. Panics with Cargo's output if the build fails: a build script has no
/// better way to fail.
pub fn guest_binary(package: &str, sources: &[&str]) -> PathBuf {
    let root = workspace_root();
    for source in sources.iter().copied().chain(["Cargo.lock"]) {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let target_dir = guest_target_dir();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(&root)
        .args([
            "build",
            "--profile",
            "guest",
            "--target",
            TARGET,
            "--package",
            package,
        ])
        .arg("--target-dir")
        .arg(&target_dir)
        // The outer build's flags are for the outer target.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env(
            "RUSTFLAGS",
            "-C target-feature=+crt-static -C relocation-model=static",
        )
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "building the guest binary {package} failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("cannot run cargo to build the guest binary {package}: {error}"),
    }
    target_dir.join(TARGET).join("guest").join(package)
}

fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `<target>/guest`, shared by all profiles of the outer build, found from `OUT_DIR`, which is
/// `<target>/<profile>/build/<package>-<hash>/out`.
fn guest_target_dir() -> PathBuf {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    match out.ancestors().nth(4) {
        Some(target) if !target.as_os_str().is_empty() => target.join("guest"),
        _ => panic!("OUT_DIR is not set: guest_binary is called outside a build script"),
    }
}
