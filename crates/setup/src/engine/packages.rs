//! Packages of the distribution, by apt.

use std::collections::BTreeMap;

use super::Host;
use super::error::Error;
use super::process;
use super::state::Restore;
use crate::paths;
use crate::plan::Command;

/// A package as dpkg knows it.
struct Known {
    installed: bool,
    held: bool,
    version: String,
}

/// Whether all are installed, in their version, and held if they are to be.
pub(super) fn holds(host: &Host, names: &[String], hold: bool) -> Result<bool, Error> {
    let known = known(host, names)?;
    Ok(names.iter().all(|name| {
        let (name, version) = split(name);
        known.get(name).is_some_and(|found| {
            found.installed
                && version.is_none_or(|version| version == found.version)
                && (found.held || !hold)
        })
    }))
}

/// Installs them.
pub(super) fn act(host: &Host, names: &[String], hold: bool) -> Result<(), Error> {
    let known = known(host, names)?;
    let plain: Vec<String> = names.iter().map(|name| split(name).0.to_owned()).collect();
    let new = plain
        .iter()
        .filter(|name| !known.get(*name).is_some_and(|found| found.installed));
    let new: Vec<String> = new.cloned().collect();
    if !new.is_empty() {
        host.store.restore_later(Restore::Packages(new))?;
    }
    let mut install = apt(
        host,
        &[
            "install",
            "-y",
            "--no-install-recommends",
            "--allow-change-held-packages",
        ],
    );
    if hold {
        // Nodes of one version: also where a newer one came from elsewhere.
        install.words.push("--allow-downgrades".to_owned());
    }
    install.words.extend(names.iter().cloned());
    // Lists that are too old, or not there yet, show by what is not found.
    if !process::succeeds(&install, &host.journal) {
        process::succeed(&apt(host, &["update"]), &host.journal)?;
        process::succeed(&install, &host.journal)?;
    }
    if hold {
        let mut command = Command::line("apt-mark hold");
        command.words.extend(plain);
        process::succeed(&command, &host.journal)?;
    }
    Ok(())
}

/// Removes them, but for those that are gone already.
pub(super) fn remove(host: &Host, names: &[String]) -> Result<(), Error> {
    let known = known(host, names)?;
    let there = names
        .iter()
        .filter(|name| known.get(*name).is_some_and(|found| found.installed));
    let there: Vec<&str> = there.map(String::as_str).collect();
    if there.is_empty() {
        return Ok(());
    }
    let mut command = apt(host, &["remove", "-y", "--allow-change-held-packages"]);
    command.words.extend(there.into_iter().map(str::to_owned));
    process::succeed(&command, &host.journal).map(|_| ())
}

/// `NAME=VERSION`, taken apart.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once('=') {
        Some((name, version)) => (name, Some(version)),
        None => (name, None),
    }
}

fn known(host: &Host, names: &[String]) -> Result<BTreeMap<String, Known>, Error> {
    let mut command = Command::words([
        "dpkg-query",
        "-W",
        "-f",
        "${db:Status-Abbrev}|${Package}|${Version}\\n",
    ]);
    command
        .words
        .extend(names.iter().map(|name| split(name).0.to_owned()));
    // It ends with 1 when it does not know one of them, and tells of the others; with 2 when it cannot tell: dpkg-query(1).
    let ended = process::run(&command, &host.journal)?;
    if !matches!(ended.code, Some(0 | 1)) {
        return Err(process::failed(&command, ended));
    }
    let lines = ended.stdout.lines().filter_map(|line| {
        let mut fields = line.split('|');
        let (status, name, version) = (fields.next()?, fields.next()?, fields.next()?);
        let known = Known {
            installed: status.trim_end().ends_with('i'),
            held: status.starts_with('h'),
            version: version.to_owned(),
        };
        Some((name.to_owned(), known))
    });
    Ok(lines.collect())
}

/// `apt-get`, patient with others who hold its lock; with a bundle, of its packages alone.
fn apt(host: &Host, words: &[&str]) -> Command {
    let mut command = Command::line("apt-get -o DPkg::Lock::Timeout=300");
    if host.bundle.is_some() {
        for option in [
            format!("Dir::Etc::SourceList={}/bundle.list", paths::BUNDLE),
            "Dir::Etc::SourceParts=-".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            // The lists of the other sources are still there afterwards.
            format!("Dir::State::Lists={}/lists", paths::BUNDLE),
        ] {
            command.words.extend(["-o".to_owned(), option]);
        }
    }
    command
        .words
        .extend(words.iter().map(|word| (*word).to_owned()));
    command
}
