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

/// How many lines of a failed command are told.
const LAST_LINES: usize = 3;

/// Runs a command and returns what it printed.
type Run<'a> = &'a mut dyn FnMut(&mut Command) -> Result<String, Error>;

/// Downloads into `folder` and returns the packages.
pub(super) fn download(folder: &Path, progress: &dyn Fn(&str)) -> Result<Vec<PathBuf>, Error> {
    download_by(folder, progress, &mut run)
}

fn download_by(
    folder: &Path,
    progress: &dyn Fn(&str),
    run: Run<'_>,
) -> Result<Vec<PathBuf>, Error> {
    let known = packages(progress, run);
    if let Some(packages) = &known {
        match fetch(packages, &folder.join("packages"), progress, run) {
            // Lists may be older than the archive, and name versions that are gone from it.
            Err(Error::Command { command, stderr }) => {
                progress(&format!("`{command}` failed: {stderr}"));
            }
            result => return result,
        }
    }
    progress("updating the package lists");
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    let packages = packages(progress, run).ok_or_else(|| Error::Command {
        command: format!("apt-cache depends {}", META.join("|")),
        stderr: "no kernel package is known; is this Debian or Ubuntu, with its package sources?"
            .to_owned(),
    })?;
    fetch(&packages, &folder.join("updated"), progress, run)
}

fn fetch(
    packages: &[String],
    folder: &Path,
    progress: &dyn Fn(&str),
    run: Run<'_>,
) -> Result<Vec<PathBuf>, Error> {
    progress(&format!("downloading {}", packages.join(" ")));
    fs::create_dir(folder).map_err(Error::io("make", folder))?;
    run(Command::new("apt-get")
        .args(["download", "-qq", "-o", "APT::Sandbox::User=root"])
        .args(packages)
        .current_dir(folder))?;
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    Ok(entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "deb"))
        .collect())
}

/// The package of the kernel, and on Ubuntu that of its modules.
fn packages(progress: &dyn Fn(&str), run: Run<'_>) -> Option<Vec<String>> {
    let kernel = concrete(progress, run)?;
    let modules = kernel.replace("linux-image-", "linux-modules-");
    let mut packages = vec![kernel];
    if run(Command::new("apt-cache").args(["show", &modules])).is_ok() {
        packages.push(modules);
    }
    Some(packages)
}

/// The package with the kernel itself that the first known meta package depends on.
fn concrete(progress: &dyn Fn(&str), run: Run<'_>) -> Option<String> {
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
        // What is said is read by us, not by the user in the user's language.
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = stderr.lines().collect();
    let last = lines.len().saturating_sub(LAST_LINES);
    Err(failed(lines.get(last..).unwrap_or_default().join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: &str = "linux-image-6.1.0-9-cloud-amd64";
    const CURRENT: &str = "linux-image-6.1.0-10-cloud-amd64";

    /// A distribution whose archive has `CURRENT` alone. Before an update its lists name `known`.
    fn distribution(known: Option<&str>) -> (Result<Vec<PathBuf>, Error>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let mut known = known.map(str::to_owned);
        let mut said = Vec::new();
        let mut run = |command: &mut Command| {
            let words: Vec<String> = std::iter::once(command.get_program())
                .chain(command.get_args())
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            let line = words.join(" ");
            said.push(words.iter().take(2).cloned().collect::<Vec<_>>().join(" "));
            let failed = |stderr: &str| {
                Err(Error::Command {
                    command: line.clone(),
                    stderr: stderr.to_owned(),
                })
            };
            match said.last().map_or("", String::as_str) {
                "apt-cache depends" => match &known {
                    Some(known) => Ok(format!("meta\n  Depends: {known}\n")),
                    None => failed("No packages found"),
                },
                "apt-get update" => {
                    known = Some(CURRENT.to_owned());
                    Ok(String::new())
                }
                "apt-get download" if line.contains(CURRENT) => {
                    let to = command.get_current_dir().unwrap();
                    fs::write(to.join(format!("{CURRENT}.deb")), "").unwrap();
                    Ok(String::new())
                }
                "apt-get download" => failed("404  Not Found"),
                _ => failed("nothing of this name"),
            }
        };
        let packages = download_by(folder.path(), &|_| {}, &mut run);
        said.retain(|it| it.starts_with("apt-get"));
        (packages, said)
    }

    #[test]
    fn lists_are_updated_only_if_they_are_of_no_use() {
        let (packages, said) = distribution(Some(CURRENT));
        assert_eq!(packages.unwrap().len(), 1);
        assert_eq!(said, ["apt-get download"]);
        let (packages, said) = distribution(None);
        assert_eq!(packages.unwrap().len(), 1);
        assert_eq!(said, ["apt-get update", "apt-get download"]);
    }

    #[test]
    fn a_version_that_is_gone_is_looked_up_anew_once() {
        let (packages, said) = distribution(Some(STALE));
        let names: Vec<_> = packages.unwrap();
        assert!(
            names
                .iter()
                .all(|path| path.ends_with(format!("{CURRENT}.deb")))
        );
        let expected = ["apt-get download", "apt-get update", "apt-get download"];
        assert_eq!(said, expected);
    }

    #[test]
    fn a_command_that_fails_is_told_with_its_last_lines_and_what_to_do() {
        let mut command = Command::new("sh");
        command.args(["-c", "for i in 1 2 3 4; do echo line $i >&2; done; exit 1"]);
        let error = run(&mut command).unwrap_err().to_string();
        assert!(
            error.contains("line 2 line 3 line 4") && !error.contains("line 1 "),
            "{error}"
        );
        assert!(error.contains("vhive kernel import FILE.deb"), "{error}");
    }
}
