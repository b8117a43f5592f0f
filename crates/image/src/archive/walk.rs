//! Entry by entry through a tar that is not trusted.

use std::cell::Cell;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use super::{Error, Refusal};

/// Of the headers of one entry together. The tar crate keeps long names and attributes of any size in
/// memory; this stops it.
const HEADER_MAX: u64 = 2 << 20;

/// What a walk may cost.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// An entry and its content.
pub(crate) type Entry<'a, R> = tar::Entry<'a, Guard<R>>;

/// Shows every entry with its path to `visit`, then gives the input back, which stands somewhere
/// behind the end of the archive.
pub(crate) fn walk<R: Read, E: From<Error>>(
    archive: &Path,
    input: R,
    bounds: Bounds,
    mut visit: impl FnMut(&[u8], &mut Entry<'_, R>) -> Result<(), E>,
) -> Result<R, E> {
    let damaged = |source: io::Error| damaged(archive, source);
    let meter = Rc::new(Meter {
        left: Cell::new(bounds.bytes),
        limit: bounds.bytes,
        header: Cell::new(None),
    });
    let mut tar = tar::Archive::new(Guard {
        input,
        meter: Rc::clone(&meter),
    });
    let mut entries = tar.entries().map_err(damaged)?;
    let mut count = 0;
    loop {
        meter.header.set(Some(HEADER_MAX));
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(damaged)?;
        meter.header.set(None);
        let path = entry.path_bytes().into_owned();
        count += 1;
        if count > bounds.entries {
            let limit = bounds.entries;
            return Err(refused(archive, &path, Refusal::TooMany { limit }).into());
        }
        visit(&path, &mut entry)?;
        // What was not read must not count as a header of the next entry.
        io::copy(&mut entry, &mut io::sink()).map_err(damaged)?;
    }
    Ok(tar.into_inner().input)
}

/// The archive cannot be read; a bound that was hit says so.
pub(crate) fn damaged(archive: &Path, source: io::Error) -> Error {
    match source.downcast::<Refusal>() {
        Ok(source) => refused(archive, b"", source),
        Err(source) => Error::Damaged {
            archive: archive.to_owned(),
            source,
        },
    }
}

pub(crate) fn refused(archive: &Path, entry: &[u8], source: Refusal) -> Error {
    Error::Refused {
        archive: archive.to_owned(),
        entry: String::from_utf8_lossy(entry).into_owned(),
        source,
    }
}

struct Meter {
    left: Cell<u64>,
    limit: u64,
    /// What the headers may still take, while headers are read.
    header: Cell<Option<u64>>,
}

/// The input, metered.
pub(crate) struct Guard<R> {
    input: R,
    meter: Rc<Meter>,
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let meter = &self.meter;
        if let Some(left) = meter.header.get() {
            let limit = HEADER_MAX;
            let left = left.checked_sub(count as u64);
            let left = left.ok_or_else(|| io::Error::other(Refusal::LargeHeader { limit }))?;
            meter.header.set(Some(left));
        }
        let limit = meter.limit;
        let left = meter.left.get().checked_sub(count as u64);
        let left = left.ok_or_else(|| io::Error::other(Refusal::TooLarge { limit }))?;
        meter.left.set(left);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        entries: 2,
        bytes: 64 << 20,
    };

    fn names(tar: &[u8], bounds: Bounds) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        walk(Path::new("a.tar"), tar, bounds, |path, _| {
            names.push(String::from_utf8_lossy(path).into_owned());
            Ok::<_, Error>(())
        })?;
        Ok(names)
    }

    fn tar(entries: &[(tar::EntryType, &str, usize)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, size) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(*size as u64);
            let content = vec![b'x'; *size];
            builder
                .append_data(&mut header, name, content.as_slice())
                .unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn content_that_nobody_reads_is_no_header() {
        let archive = tar(&[
            (tar::EntryType::Regular, "a", 3 << 20),
            (tar::EntryType::Regular, "b", 1),
        ]);
        assert_eq!(names(&archive, BOUNDS).unwrap(), ["a", "b"]);
    }

    #[test]
    fn a_name_of_megabytes_is_refused_before_it_is_kept() {
        let archive = tar(&[
            (tar::EntryType::GNULongName, "long", 3 << 20),
            (tar::EntryType::Regular, "b", 1),
        ]);
        let error = names(&archive, BOUNDS).unwrap_err();
        let Error::Refused { source, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(source, Refusal::LargeHeader { limit: HEADER_MAX });
    }

    #[test]
    fn too_many_entries_and_too_many_bytes_are_refused() {
        let file = |name| (tar::EntryType::Regular, name, 600);
        let archive = tar(&[file("a"), file("b"), file("c")]);
        let refusal = |bounds| match names(&archive, bounds) {
            Err(Error::Refused { source, .. }) => source,
            other => panic!("{other:?}"),
        };
        assert_eq!(refusal(BOUNDS), Refusal::TooMany { limit: 2 });
        let small = Bounds {
            entries: 9,
            bytes: 2048,
        };
        assert_eq!(refusal(small), Refusal::TooLarge { limit: 2048 });
    }

    #[test]
    fn what_is_no_tar_is_damaged() {
        let error = names(&[7; 2000], BOUNDS).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }
}
