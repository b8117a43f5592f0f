//! Downloads: fetched by curl or out of a bundle, verified, pinned, unpacked.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use flate2::read::GzDecoder;

use super::Host;
use super::error::Error;
use super::{file, process, state};
use crate::checksum::{self, sha256, sha256_of};
use crate::paths::LOCK;
use crate::plan::{Command, Fetch, Published};

/// Whether its files are what was installed from this address.
pub(super) fn holds(host: &Host, fetch: &Fetch) -> bool {
    let state = host.store.look();
    let Some(installed) = state.fetched.get(&fetch.url) else {
        return false;
    };
    fetch.files.iter().all(|wanted| {
        file::has_mode(&wanted.to, wanted.mode, None)
            && installed
                .get(&wanted.to)
                .is_some_and(|digest| sha256_of(&wanted.to).is_ok_and(|found| found == *digest))
    })
}

/// Fetches, verifies and installs.
pub(super) fn act(host: &Host, fetch: &Fetch) -> Result<(), Error> {
    let folder = tempfile::tempdir().map_err(Error::file("create", "a folder for downloads"))?;
    let blob = verified(host, fetch, folder.path())?;
    let contents = contents(fetch, &blob)?;
    let mut installed = BTreeMap::new();
    for (wanted, content) in fetch.files.iter().zip(&contents) {
        file::write(&host.store, &wanted.to, content, wanted.mode, None)?;
        installed.insert(wanted.to.clone(), sha256(content));
    }
    host.store
        .change(|state| state.fetched.insert(fetch.url.clone(), installed))?;
    Ok(())
}

/// The download in a file, after its checksum was found right. From then on it is pinned.
pub(crate) fn verified(host: &Host, fetch: &Fetch, folder: &Path) -> Result<PathBuf, Error> {
    let url = &fetch.url;
    let blob = folder.join("download");
    get(host, url, &blob)?;
    let found = sha256_of(&blob).map_err(Error::file("read", &blob))?;
    let wrong = |expected: &str, by| Error::Checksum {
        url: url.clone(),
        expected: expected.to_owned(),
        found: found.clone(),
        by,
    };
    if let Some((pinned, by)) = pinned(host, url)? {
        return if pinned == found {
            Ok(blob)
        } else {
            Err(wrong(&pinned, by))
        };
    }
    if let Published::At(list) = &fetch.published {
        let file = folder.join("checksums");
        get(host, list, &file)?;
        let text = fs::read(&file).map_err(Error::file("read", &file))?;
        let name = url.rsplit('/').next().unwrap_or_default();
        let expected =
            checksum::published(&String::from_utf8_lossy(&text), name).ok_or_else(|| {
                Error::Unpublished {
                    list: list.clone(),
                    file: name.to_owned(),
                }
            })?;
        let right = checksum::matches(&blob, &expected).map_err(Error::file("read", &blob))?;
        if !right {
            return Err(wrong(&expected, "published"));
        }
    }
    pin(url, &found)?;
    Ok(blob)
}

fn get(host: &Host, url: &str, to: &Path) -> Result<(), Error> {
    if let Some(bundle) = &host.bundle {
        let from = bundle.join("files").join(sha256(url.as_bytes()));
        if !from.exists() {
            return Err(Error::NotInBundle {
                url: url.to_owned(),
            });
        }
        fs::copy(&from, to).map_err(Error::file("copy", &from))?;
        return Ok(());
    }
    let mut command = Command::line("curl -fsSL --retry 3 --connect-timeout 20 -o");
    command.words.push(to.to_string_lossy().into_owned());
    command.words.push(url.to_owned());
    process::succeed(&command, &host.journal).map(|_| ())
}

/// One at a time writes the lock file.
static PINS: Mutex<()> = Mutex::new(());

fn pins() -> Result<BTreeMap<String, String>, Error> {
    match fs::read(LOCK) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| Error::State {
            path: LOCK.into(),
            source,
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(source) => Err(Error::file("read", LOCK)(source)),
    }
}

/// The SHA-256 that an address is known to have, and by whom.
fn pinned(host: &Host, url: &str) -> Result<Option<(String, &'static str)>, Error> {
    if let Some(checksum) = host.pins.get(url).and_then(serde_json::Value::as_str) {
        return Ok(Some((checksum.to_owned(), "in checksums.json")));
    }
    let _one = PINS.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(pins()?
        .remove(url)
        .map(|checksum| (checksum, "what it had when it was first fetched here")))
}

fn pin(url: &str, checksum: &str) -> Result<(), Error> {
    let _one = PINS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pins = pins()?;
    pins.insert(url.to_owned(), checksum.to_owned());
    state::write(Path::new(LOCK), &pins)
}

/// What each wanted file has in it.
fn contents(fetch: &Fetch, blob: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let broken = |source| Error::File {
        what: "unpack",
        path: fetch.url.clone().into(),
        source,
    };
    let members: Vec<&str> = fetch
        .files
        .iter()
        .filter_map(|file| file.member.as_deref())
        .collect();
    let mut unpacked = BTreeMap::new();
    if !members.is_empty() {
        let mut archive = tar::Archive::new(GzDecoder::new(File::open(blob).map_err(broken)?));
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let path = entry.path().map_err(broken)?.to_string_lossy().into_owned();
            let path = path.trim_start_matches("./").to_owned();
            if members.contains(&path.as_str()) && entry.header().entry_type().is_file() {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).map_err(broken)?;
                unpacked.insert(path, content);
            }
        }
    }
    let wanted = fetch.files.iter().map(|wanted| match &wanted.member {
        None => fs::read(blob).map_err(broken),
        Some(member) => unpacked
            .get(member)
            .cloned()
            .ok_or_else(|| Error::NoMember {
                url: fetch.url.clone(),
                member: member.clone(),
            }),
    });
    wanted.collect()
}
