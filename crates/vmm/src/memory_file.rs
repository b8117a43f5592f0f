//! A guest's memory, as a file with holes.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::{Pid, Whence, lseek};

/// Pages are kept or left out whole.
const PAGE: usize = 4096;

/// Read at once, in bytes.
const CHUNK: usize = 1 << 20;

/// Where a guest's memory can be read while the guest stands still.
#[derive(Debug)]
pub(crate) enum Source {
    /// In the file that the hypervisor shares with this process.
    File(File),
    /// In the hypervisor's own address space.
    Process {
        pid: u32,
        /// Address there.
        start: usize,
        /// Bytes.
        length: usize,
    },
}

/// Writes the memory to an empty file, without its zero pages. Returns how many bytes the others have.
pub(crate) fn write(source: &Source, target: &File) -> io::Result<u64> {
    match source {
        Source::File(file) => {
            let size = file.metadata()?.len();
            target.set_len(size)?;
            let mut copy = Copy::new(target);
            let mut offset = 0;
            while let Some(data) = next_data(file, offset)? {
                let mut at = data.start;
                while at < data.end {
                    let chunk = copy.chunk(data.end - at);
                    file.read_exact_at(chunk, at)?;
                    let length = chunk.len();
                    copy.write(at, length)?;
                    at += length as u64;
                }
                offset = data.end;
            }
            Ok(copy.written)
        }
        Source::Process { pid, start, length } => {
            target.set_len(*length as u64)?;
            let mut copy = Copy::new(target);
            let mut at = 0;
            while at < *length {
                let chunk = copy.chunk((*length - at) as u64);
                let length = read_process(*pid, start + at, chunk)?;
                copy.write(at as u64, length)?;
                at += length;
            }
            Ok(copy.written)
        }
    }
}

/// The next part of a file that is no hole, from `offset` on.
fn next_data(file: &File, offset: u64) -> io::Result<Option<std::ops::Range<u64>>> {
    let start = match lseek(file, offset as i64, Whence::SeekData) {
        Ok(start) => start,
        // There is none.
        Err(Errno::ENXIO) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let end = lseek(file, start, Whence::SeekHole)?;
    Ok(Some(start as u64..end as u64))
}

/// Reads what it can, but whole pages: a page that has to be fetched first may cut a read short.
fn read_process(pid: u32, address: usize, to: &mut [u8]) -> io::Result<usize> {
    let remote = RemoteIoVec {
        base: address,
        len: to.len(),
    };
    let read = process_vm_readv(
        Pid::from_raw(pid as i32),
        &mut [IoSliceMut::new(to)],
        &[remote],
    )?;
    match read / PAGE * PAGE {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        whole => Ok(whole),
    }
}

/// Writes what is not zero.
struct Copy<'a> {
    target: &'a File,
    buffer: Box<[u8]>,
    written: u64,
}

impl Copy<'_> {
    fn new(target: &File) -> Copy<'_> {
        Copy {
            target,
            buffer: vec![0; CHUNK].into_boxed_slice(),
            written: 0,
        }
    }

    /// Room for the next bytes, of which `left` are to come.
    fn chunk(&mut self, left: u64) -> &mut [u8] {
        let length = CHUNK.min(usize::try_from(left).unwrap_or(CHUNK));
        &mut self.buffer[..length]
    }

    /// Writes the first `length` bytes of the chunk, which belong at `offset`.
    fn write(&mut self, offset: u64, length: usize) -> io::Result<()> {
        let mut at = 0;
        let pages = self.buffer[..length].chunks(PAGE);
        // Neighbours that are both zero or both not are one run.
        for run in pages
            .map(|page| (page == &[0; PAGE][..page.len()], page.len()))
            .collect::<Vec<_>>()
            .chunk_by(|one, other| one.0 == other.0)
        {
            let bytes: usize = run.iter().map(|(_, length)| length).sum();
            if !run[0].0 {
                let run = &self.buffer[at..at + bytes];
                self.target.write_all_at(run, offset + at as u64)?;
                self.written += bytes as u64;
            }
            at += bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    const SIZE: usize = 8 << 20;

    /// Memory with data at the beginning, in the middle and at the end, and a page that was written with zeros.
    fn contents() -> Vec<u8> {
        let mut memory = vec![0; SIZE];
        memory[..PAGE].fill(1);
        memory[CHUNK - PAGE..CHUNK + 2 * PAGE].fill(2);
        memory[SIZE - 1] = 3;
        memory
    }

    const DATA: u64 = 5 * PAGE as u64;

    fn check(written: u64, target: &File) {
        assert_eq!(written, DATA);
        let mut read = vec![0; SIZE];
        target.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(target.metadata().unwrap().len(), SIZE as u64);
        assert!(read == contents());
        assert!(target.metadata().unwrap().blocks() * 512 < 4 * DATA);
    }

    #[test]
    fn a_file_is_copied_without_its_holes_and_zero_pages() {
        let memory = File::from(sys::memfd::create("memory", SIZE as u64).unwrap());
        for (page, bytes) in contents().chunks(PAGE).enumerate() {
            if bytes.iter().any(|byte| *byte != 0) || page == 7 {
                memory.write_all_at(bytes, (page * PAGE) as u64).unwrap();
            }
        }
        let target = tempfile::tempfile().unwrap();
        let written = write(&Source::File(memory), &target).unwrap();
        check(written, &target);
    }

    #[test]
    fn a_file_that_is_one_hole_becomes_one() {
        let memory = File::from(sys::memfd::create("memory", SIZE as u64).unwrap());
        let target = tempfile::tempfile().unwrap();
        assert_eq!(write(&Source::File(memory), &target).unwrap(), 0);
        let metadata = target.metadata().unwrap();
        assert_eq!((metadata.len(), metadata.blocks()), (SIZE as u64, 0));
    }

    #[test]
    fn memory_of_a_process_is_copied_without_its_zero_pages() {
        let contents = contents();
        let source = Source::Process {
            pid: std::process::id(),
            start: contents.as_ptr().addr(),
            length: SIZE,
        };
        let target = tempfile::tempfile().unwrap();
        let written = write(&source, &target).unwrap();
        check(written, &target);
    }

    #[test]
    fn memory_that_is_not_there_is_an_error() {
        let source = Source::Process {
            pid: std::process::id(),
            start: PAGE,
            length: PAGE,
        };
        let error = write(&source, &tempfile::tempfile().unwrap()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EFAULT as i32));
    }
}
