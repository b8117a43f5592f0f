//! Files with holes, and files that share their blocks.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// Holes could not be found or blocks not be shared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file's segments cannot be found.
    #[error("cannot look for data and holes from byte {offset} of a file on")]
    Seek {
        /// Where the search started.
        offset: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file system cannot share blocks, or not between these files.
    #[error(
        "these files cannot share blocks: they are not on one file system that can (XFS with reflink, Btrfs, bcachefs); copy instead"
    )]
    CannotShare(#[source] io::Error),
    /// The blocks were not shared for another reason.
    #[error("cannot share a file's blocks with another")]
    Reflink(#[source] io::Error),
}

/// The byte ranges of `file` that are not holes, in order. Moves the file's offset.
pub fn data_segments(file: impl AsFd) -> Result<Vec<Range<u64>>, Error> {
    let mut segments = Vec::new();
    let mut offset = 0;
    loop {
        let failed = |errno: Errno| Error::Seek {
            offset,
            source: errno.into(),
        };
        let start = match rustix::fs::seek(&file, SeekFrom::Data(offset)) {
            Ok(start) => start,
            // No data from here on.
            Err(Errno::NXIO) => return Ok(segments),
            Err(errno) => return Err(failed(errno)),
        };
        let end = rustix::fs::seek(&file, SeekFrom::Hole(start)).map_err(failed)?;
        segments.push(start..end);
        offset = end;
    }
}

/// Makes the empty file `to` a copy of `from` that shares its blocks until either is written (`FICLONE`).
pub fn reflink(from: impl AsFd, to: impl AsFd) -> Result<(), Error> {
    rustix::fs::ioctl_ficlone(to, from).map_err(|errno| match errno {
        Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY => {
            Error::CannotShare(errno.into())
        }
        _ => Error::Reflink(errno.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memfd;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    #[test]
    fn holes_are_between_the_segments() {
        let file = File::from(memfd::create("sparse", 16 * 4096).unwrap());
        assert_eq!(data_segments(&file).unwrap(), []);
        file.write_all_at(b"a", 4096).unwrap();
        file.write_all_at(b"b", 15 * 4096).unwrap();
        assert_eq!(
            data_segments(&file).unwrap(),
            [4096..2 * 4096, 15 * 4096..16 * 4096]
        );
    }

    #[test]
    fn a_reflink_has_the_same_bytes_or_says_that_it_cannot_be() {
        let folder = std::env::current_dir().unwrap();
        let from = tempfile::tempfile_in(&folder).unwrap();
        from.write_all_at(b"shared", 0).unwrap();
        let to = tempfile::tempfile_in(&folder).unwrap();
        match reflink(&from, &to) {
            Ok(()) => {
                let mut bytes = [0; 6];
                to.read_exact_at(&mut bytes, 0).unwrap();
                assert_eq!(&bytes, b"shared");
            }
            Err(error) => assert!(matches!(error, Error::CannotShare(_)), "{error:?}"),
        }
    }

    #[test]
    fn files_on_two_file_systems_cannot_share() {
        let from = File::from(memfd::create("from", 4096).unwrap());
        let to = tempfile::tempfile_in(std::env::current_dir().unwrap()).unwrap();
        assert!(matches!(reflink(&from, &to), Err(Error::CannotShare(_))));
    }
}
