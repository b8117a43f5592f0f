//! Builds, from a build script, what another crate embeds: static guest binaries, and the library that is
//! preloaded into QEMU; and lists files that are embedded as they are.
//!
//! Guest binaries run where there is no shared library, so they are linked statically
//! (`+crt-static`); a library that is loaded into a program of the host's cannot be. Both are built in target
//! folders of their own: the outer Cargo holds the lock of its own target folder while a build script runs.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds `package` of this workspace with the `guest` profile and returns the path of its binary.
///
/// Call it from a build script only. `sources` are the folders, relative to the workspace root,
/// whose change means a rebuild. Panics with Cargo's output if the build fails: a build script has no
/// better way to fail.
pub fn guest_binary(package: &str, sources: &[&str]) -> PathBuf {
    let flags = "-C target-feature=+crt-static -C relocation-model=static";
    build(package, sources, &target_dir("guest"), flags).join(package)
}

/// Builds `package` of this workspace, a `cdylib`, with the `guest` profile for programs of this host, and returns the
/// path of its library. The rest is as with [`guest_binary`].
pub fn preload_library(package: &str, sources: &[&str]) -> PathBuf {
    let library = format!("lib{}.so", package.replace('-', "_"));
    build(package, sources, &target_dir("preload"), "").join(library)
}

/// Returns the folder in which the build's result is.
fn build(package: &str, sources: &[&str], target_dir: &Path, flags: &str) -> PathBuf {
    let root = workspace_root();
    for source in sources.iter().copied().chain(["Cargo.lock"]) {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
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
        .arg(target_dir)
        // The outer build's flags are for the outer target.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env("RUSTFLAGS", flags)
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "building {package} failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("cargo could not be started to build {package}: {error}"),
    }
    target_dir.join(TARGET).join("guest")
}

/// Writes a Rust expression, a slice of `(path, is a program, content)` for each file under `folder` of this workspace that is `wanted` by its
/// path below it, and returns where it is, for `include!`. The paths are in order.
///
/// Call it from a build script only. Panics if a file cannot be read.
pub fn files(name: &str, folder: &str, wanted: impl Fn(&str) -> bool) -> PathBuf {
    let folder = workspace_root().join(folder);
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut found = Vec::new();
    collect(&folder, &mut found);
    let mut entries = Vec::new();
    for path in found {
        let below = path.strip_prefix(&folder).unwrap_or(&path);
        let below = below.display().to_string();
        if wanted(&below) {
            let mode = std::fs::metadata(&path).map_or(0, |it| it.permissions().mode());
            let program = mode & 0o111 != 0;
            entries.push(format!(
                "({below:?}, {program}, include_bytes!({:?}).as_slice())",
                path.display().to_string()
            ));
        }
    }
    entries.sort();
    let out =
        PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join(format!("{name}.rs"));
    let text = format!("&[{}]", entries.join(",\n"));
    if let Err(error) = std::fs::write(&out, text) {
        panic!("cannot write {}: {error}", out.display());
    }
    out
}

/// Adds all files in a folder, but for what programs leave there.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => panic!("cannot read {}: {error}", folder.display()),
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "__pycache__" && name != "target" {
            collect(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `<target>/<name>`, shared by all profiles of the outer build, found from `OUT_DIR`, which is
/// `<target>/<profile>/build/<package>-<hash>/out`.
fn target_dir(name: &str) -> PathBuf {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    match out.ancestors().nth(4) {
        Some(target) if !target.as_os_str().is_empty() => target.join(name),
        _ => panic!("OUT_DIR is not set: embed is called outside a build script"),
    }
}
