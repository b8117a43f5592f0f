//! What functions are made of, as it was when this binary was built: the folder `functions/`, and the manifests of the samples.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, anyhow};
use tempfile::TempDir;

use crate::exit::Outcome;

/// A path, whether it is a program, and its content.
pub(super) type File = (&'static str, bool, &'static [u8]);

/// Of `functions/`, all but helloworld, which is a program in this binary.
pub(super) static SOURCES: &[File] = include!(env!("VHIVE_FUNCTIONS"));
/// `configs/knative_workloads`.
static WORKLOADS: &[File] = include!(env!("VHIVE_WORKLOADS"));

/// The content of a file of `functions/`.
#[cfg(test)]
pub(super) fn source(path: &str) -> Option<&'static [u8]> {
    find(SOURCES, path)
}

/// The text of a manifest.
pub(super) fn workload(file: &str) -> Outcome<&'static str> {
    let content = find(WORKLOADS, file).ok_or_else(|| anyhow!("this binary has no {file}"))?;
    Ok(std::str::from_utf8(content).with_context(|| format!("{file} is no text"))?)
}

fn find(files: &'static [File], path: &str) -> Option<&'static [u8]> {
    let found = files.iter().find(|(name, ..)| *name == path);
    found.map(|(.., content)| *content)
}

/// Writes the sources into a folder of their own, which goes when this is dropped.
pub(super) fn unpack() -> Outcome<TempDir> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    for (path, program, content) in SOURCES {
        write(&folder.path().join(path), content, *program)?;
    }
    Ok(folder)
}

/// Writes a file, and the folders that it is in.
pub(super) fn write(path: &Path, content: &[u8], program: bool) -> Outcome {
    let describe = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(describe)?;
    }
    fs::write(path, content).with_context(describe)?;
    let mode = if program { 0o755 } else { 0o644 };
    fs::set_permissions(path, Permissions::from_mode(mode)).with_context(describe)?;
    Ok(())
}
