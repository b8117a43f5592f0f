//! Downloads the distribution's kernel package with `apt-get`; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Error;

/// Packages that depend on the newest kernel, the leanest first: Debian's, then Ubuntu's.
const META: &[&str] = &[
    "linux-image-cloud-amd64",
    "linux-image-amd64",
    "linux-image-virtual",
    "linux-image-generic",
];

/// Downloads into `folder` and returns the packages.
pub(super) fn download(folder: &Path, progress: &dyn Fn(&str)) -> Result<Vec<PathBuf>, Error> {
    let mut known = concrete(progress);
    if known.is_none() {
        progress("updating the package lists");
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        known = concrete(progress);
    }
    let concrete = known.ok_or_else(|| Error::Command {
        command: format!("apt-cache depends {}", META.join("|")),
        stderr: "no kernel package is known; is this Debian or Ubuntu, with its package sources?"
            .to_owned(),
    })?;
    // Ubuntu keeps the modules in a package of their own.
    let modules = concrete.replace("linux-image-", "linux-modules-");
    let mut packages = vec![concrete.clone()];
    if modules != concrete && run(Command::new("apt-cache").args(["show", &modules])).is_ok() {
        packages.push(modules);
    }
    progress(&format!("downloading {}", packages.join(" ")));
    let downloads = folder.join("packages");
    fs::create_dir(&downloads).map_err(Error::io("make", &downloads))?;
    run(Command::new("apt-get")
        .args(["download", "-qq", "-o", "APT::Sandbox::User=root"])
        .args(&packages)
        .current_dir(&downloads))?;
    let entries = fs::read_dir(&downloads).map_err(Error::io("read", &downloads))?;
    Ok(entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "deb"))
        .collect())
}

/// The package with the kernel itself that the first known meta package depends on.
fn concrete(progress: &dyn Fn(&str)) -> Option<String> {
    for meta in META {
        let Ok(text) = run(Command::new("apt-cache").args(["depends", "--important", meta])) else {
            continue;
        };
        let found = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .find(|name| {
                name.starts_with("linux-image-") && name.contains(|c: char| c.is_ascii_digit())
            });
        if let Some(found) = found {
            progress(&format!("{meta} is {found}"));
            return Some(found.to_owned());
        }
    }
    None
}

fn run(command: &mut Command) -> Result<String, Error> {
    let line = format!("{command:?}").replace('"', "");
    let failed = |stderr: String| Error::Command {
        command: line.clone(),
        stderr,
    };
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(failed(
        stderr
            .lines()
            .rev()
            .take(3)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join(" "),
    ))
}
