//! Working-set files on a disk.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};

use memory::working_set::{self, Binding, FormatError, ReadError, WriteError};
use memory::{PageSet, Prefetch, PrefetchError};

use crate::snapshot::{SNAPSHOT, Snapshot, content, data_pages};

fn read_error(snapshot: &Snapshot, binding: &Binding) -> ReadError {
    match Prefetch::start(&snapshot.working_set(), binding).unwrap_err() {
        PrefetchError::Read(error) => error,
        other => panic!("{other:?}"),
    }
}

/// All content, in the order of the pages.
fn read_all(snapshot: &Snapshot) -> Vec<(u64, Vec<u8>)> {
    let prefetch = Prefetch::start(&snapshot.working_set(), &SNAPSHOT).unwrap();
    let mut pages = Vec::new();
    while let Some(chunk) = prefetch.next() {
        let chunk = chunk.unwrap();
        for (run, content) in chunk.pieces() {
            pages.extend(run.range().zip(content.chunks(4096).map(<[u8]>::to_vec)));
        }
        prefetch.recycle(chunk);
    }
    pages.sort();
    pages
}

#[test]
fn a_working_set_holds_its_pages_and_no_zeros() {
    let snapshot = Snapshot::new(4096);
    let runs = [(1, 1), (100, 1500), (2000, 2000)];
    let stored = snapshot.record(&runs);
    let expected: Vec<_> = runs
        .into_iter()
        .flat_map(|(first, pages)| first..first + pages)
        .map(|page| (page, content(page)))
        .filter(|(_, content)| content.iter().any(|byte| *byte != 0))
        .collect();
    assert_eq!(stored.data_pages, expected.len() as u64);
    assert_eq!(
        stored.data_pages,
        data_pages(expected.iter().map(|(page, _)| *page))
    );
    assert!(read_all(&snapshot) == expected);
    // Cold, it is read round the page cache.
    let file = fs::File::open(snapshot.working_set()).unwrap();
    sys::page_cache::evict(&file).unwrap();
    assert!(read_all(&snapshot) == expected);

    let metadata = file.metadata().unwrap();
    assert_eq!(metadata.len(), stored.bytes);
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_header_of_many_runs_is_read_too() {
    // More runs than the first read holds.
    let snapshot = Snapshot::hollow(64 << 10);
    let mut set = PageSet::new(snapshot.pages);
    for page in (0..snapshot.pages).step_by(2) {
        set.insert(page);
    }
    working_set::write(&snapshot.working_set(), &SNAPSHOT, &set, &snapshot.memory).unwrap();
    let prefetch = Prefetch::start(&snapshot.working_set(), &SNAPSHOT).unwrap();
    assert!(prefetch.header().content_offset() > 64 << 10);
    assert_eq!(prefetch.header().pages(), set);
}

#[test]
fn a_working_set_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
    let snapshot = Snapshot::new(64);
    snapshot.record(&[(0, 10)]);
    snapshot.record(&[(20, 3)]);
    let pages: Vec<_> = read_all(&snapshot)
        .into_iter()
        .map(|(page, _)| page)
        .collect();
    assert_eq!(
        pages,
        [20, 21, 22]
            .into_iter()
            .filter(|page| data_pages([*page]) == 1)
            .collect::<Vec<_>>()
    );
    let mut names: Vec<_> = fs::read_dir(snapshot.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["memory", "working-set"]);
}

#[test]
fn a_working_set_of_another_snapshot_is_refused_by_name() {
    let snapshot = Snapshot::new(64);
    snapshot.record(&[(0, 10)]);
    let error = read_error(&snapshot, &Binding([1; 32]));
    assert!(
        matches!(error, ReadError::OtherSnapshot { .. }),
        "{error:?}"
    );
}

#[test]
fn a_file_that_was_cut_off_or_is_none_is_refused_by_name() {
    let snapshot = Snapshot::new(64);
    let bytes = snapshot.record(&[(0, 10)]).bytes;
    let file = fs::File::options()
        .write(true)
        .open(snapshot.working_set())
        .unwrap();
    for cut in [bytes - 1, bytes - 4096, 4096] {
        file.set_len(cut).unwrap();
        let error = read_error(&snapshot, &SNAPSHOT);
        assert!(
            matches!(
                error,
                ReadError::Format {
                    source: FormatError::Length { .. },
                    ..
                }
            ),
            "{cut}: {error:?}"
        );
    }
    for cut in [100, 0] {
        file.set_len(cut).unwrap();
        let error = read_error(&snapshot, &SNAPSHOT);
        assert!(
            matches!(error, ReadError::Format { .. }),
            "{cut}: {error:?}"
        );
    }
    fs::remove_file(snapshot.working_set()).unwrap();
    let error = read_error(&snapshot, &SNAPSHOT);
    assert!(matches!(error, ReadError::Io { .. }), "{error:?}");
}

#[test]
fn a_set_of_another_memory_is_not_written() {
    let snapshot = Snapshot::new(64);
    let set = PageSet::new(65);
    let error =
        working_set::write(&snapshot.working_set(), &SNAPSHOT, &set, &snapshot.memory).unwrap_err();
    assert!(
        matches!(error, WriteError::OtherMemory { pages: 65, .. }),
        "{error:?}"
    );
    assert!(!snapshot.working_set().exists());
}

#[test]
fn after_a_chunk_that_rotted_nothing_more_comes() {
    let snapshot = Snapshot::new(4096);
    snapshot.record(&[(0, 4096)]);
    let file = fs::File::options()
        .write(true)
        .open(snapshot.working_set())
        .unwrap();
    let end = file.metadata().unwrap().len();
    file.write_all_at(b"rot", end - 3).unwrap();
    let prefetch = Prefetch::start(&snapshot.working_set(), &SNAPSHOT).unwrap();
    let error = loop {
        match prefetch.next() {
            Some(Ok(chunk)) => prefetch.recycle(chunk),
            Some(Err(error)) => break error,
            None => panic!("the rot was not found"),
        }
    };
    assert!(
        matches!(error, PrefetchError::Read(ReadError::Checksum { .. })),
        "{error:?}"
    );
    assert!(prefetch.next().is_none());
}

#[test]
fn reading_ahead_may_be_dropped_at_any_time() {
    let snapshot = Snapshot::new(4096);
    snapshot.record(&[(0, 4096)]);
    let prefetch = Prefetch::start(&snapshot.working_set(), &SNAPSHOT).unwrap();
    assert!(prefetch.next().unwrap().is_ok());
    prefetch.end();
    while let Some(chunk) = prefetch.next() {
        chunk.unwrap();
    }
}
