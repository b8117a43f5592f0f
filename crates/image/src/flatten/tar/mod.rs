//! Tar archives as layers have them: ustar, GNU and PAX.
//!
//! The fields of a header are the tar crate's. Its archive reader is not used, as it keeps long
//! names of any size in memory, takes a newline in a PAX value (capabilities are binary) for the end
//! of the record, and reads PAX sparse files as if they were plain ones. Where writers disagree, the
//! reading is the one of Go's `archive/tar`, which container engines unpack with.

mod number;
mod pax;
mod sparse;

use std::collections::BTreeMap;
use std::io::{self, Read};

use ::tar::Header;

use super::refusal::{Refusal, Trouble};
use super::spool::Incoming;
use number::number;
use pax::Pax;
use sparse::Segment;

const BLOCK: usize = 512;
/// Of PAX records and of GNU long names; the same bound as in Go.
const EXTENSION_MAX: u64 = 1 << 20;

/// An entry, before anything about it has been believed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: i64,
    pub(super) gid: i64,
    /// Seconds since 1970.
    pub(super) mtime: i64,
    /// By name, prefix included.
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Debug)]
pub(super) enum Kind {
    File {
        len: u64,
        segments: Option<Vec<Segment>>,
    },
    Folder,
    Symlink {
        target: Vec<u8>,
    },
    HardLink {
        target: Vec<u8>,
    },
    CharDevice {
        major: i64,
        minor: i64,
    },
    BlockDevice {
        major: i64,
        minor: i64,
    },
    Fifo,
}

/// Reads entry after entry.
pub(super) struct Entries<R> {
    input: R,
    /// Bytes of the current entry's content that have not been read.
    body: u64,
    /// Bytes behind them, up to a full block.
    padding: u64,
}

impl<R: Read> Entries<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            body: 0,
            padding: 0,
        }
    }

    /// The next entry; `None` at the end of the archive, when all that follows the end mark has been
    /// read too, so that a damaged tail of the compressed stream is noticed. An archive that stops
    /// between two entries without a mark is at its end, as some writers leave the mark out.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Trouble> {
        let mut pax = Pax::default();
        let mut long_name = None;
        let mut long_link = None;
        let mut extended = false;
        loop {
            let Some(header) = self.header()? else {
                if extended {
                    return Err(Refusal::Damaged("an extension has no entry").into());
                }
                return Ok(None);
            };
            match header.entry_type().as_byte() {
                b'x' => {
                    pax = Pax::parse(&self.extension()?)?;
                }
                b'L' => long_name = Some(until_nul(self.extension()?)),
                b'K' => long_link = Some(until_nul(self.extension()?)),
                // Defaults for all entries: comments, in practice. Container engines pass over them.
                b'g' => {
                    self.extension()?;
                    continue;
                }
                _ => return self.entry(&header, pax, long_name, long_link).map(Some),
            }
            extended = true;
        }
    }

    /// Copies the current entry's content, which is `kind`'s.
    pub(super) fn copy(
        &mut self,
        len: u64,
        segments: Option<&[Segment]>,
        target: &mut Incoming,
    ) -> Result<(), Trouble> {
        let Some(segments) = segments else {
            target.copy(&mut self.input, len)?;
            self.body -= len;
            return Ok(());
        };
        let mut at = 0;
        for segment in segments {
            target.zeros(segment.offset - at).map_err(Trouble::Spool)?;
            target.copy(&mut self.input, segment.len)?;
            self.body -= segment.len;
            at = segment.offset + segment.len;
        }
        target.zeros(len - at).map_err(Trouble::Spool)
    }

    fn entry(
        &mut self,
        header: &Header,
        pax: Pax,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, Trouble> {
        let old = header.as_old();
        let mut path = match pax.path {
            Some(path) => path,
            None => header.path_bytes().into_owned(),
        };
        let mut target = match pax.link_path {
            Some(path) => path,
            None => header.link_name_bytes().unwrap_or_default().into_owned(),
        };
        if let Some(name) = long_name {
            path = name;
        }
        if let Some(link) = long_link {
            target = link;
        }

        let device = || -> Result<(i64, i64), Refusal> {
            let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
                (Some(ustar), _) => (&ustar.dev_major, &ustar.dev_minor),
                (_, Some(gnu)) => (&gnu.dev_major, &gnu.dev_minor),
                _ => return Err(Refusal::Damaged("a device has no number")),
            };
            Ok((number(major)?, number(minor)?))
        };
        let kind = match header.entry_type().as_byte() {
            // Before there was a type for them, folders were files with a slash at the end.
            0 if path.ends_with(b"/") => Kind::Folder,
            0 | b'0' | b'7' => {
                self.begin_body(header, pax.size)?;
                let (len, segments) = match pax.sparse {
                    Some(sparse) => {
                        if let Some(name) = sparse.name.clone() {
                            path = name;
                        }
                        let (len, segments) = sparse.resolve(|| self.body_block())?;
                        (len, Some(segments))
                    }
                    None => (self.body, None),
                };
                self.file(len, segments)?
            }
            b'S' => {
                self.begin_body(header, pax.size)?;
                let (len, segments) = sparse::gnu(header, || self.block())?;
                self.file(len, Some(segments))?
            }
            b'1' => Kind::HardLink { target },
            b'2' => Kind::Symlink { target },
            b'3' => {
                let (major, minor) = device()?;
                Kind::CharDevice { major, minor }
            }
            b'4' => {
                let (major, minor) = device()?;
                Kind::BlockDevice { major, minor }
            }
            b'5' => Kind::Folder,
            b'6' => Kind::Fifo,
            other => return Err(Refusal::UnknownType(char::from(other)).into()),
        };
        Ok(Entry {
            path,
            kind,
            mode: (number(&old.mode)? & 0o7777) as u32,
            uid: pax.uid.map_or_else(|| number(&old.uid), Ok)?,
            gid: pax.gid.map_or_else(|| number(&old.gid), Ok)?,
            mtime: pax.mtime.map_or_else(|| number(&old.mtime), Ok)?,
            xattrs: pax.xattrs,
        })
    }

    /// A file whose segments have been checked against what the archive holds of it.
    fn file(&self, len: u64, segments: Option<Vec<Segment>>) -> Result<Kind, Refusal> {
        if let Some(segments) = &segments {
            sparse::check(len, segments, self.body)?;
        }
        Ok(Kind::File { len, segments })
    }

    fn begin_body(&mut self, header: &Header, pax_size: Option<u64>) -> Result<(), Refusal> {
        let size = match pax_size {
            Some(size) => size,
            None => u64::try_from(number(&header.as_old().size)?)
                .map_err(|_| Refusal::Damaged("a size is negative"))?,
        };
        self.body = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        Ok(())
    }

    /// The content of an extension header that has just been read.
    fn extension(&mut self) -> Result<Vec<u8>, Trouble> {
        if self.body > EXTENSION_MAX {
            return Err(Refusal::Damaged("an extended header is larger than 1 MiB").into());
        }
        let mut bytes = vec![0; self.body as usize];
        self.read_exact(&mut bytes)?;
        self.body = 0;
        Ok(bytes)
    }

    /// The next header that is not part of the end mark.
    fn header(&mut self) -> Result<Option<Header>, Trouble> {
        self.skip(self.body + self.padding)?;
        (self.body, self.padding) = (0, 0);
        let mut header = Header::new_old();
        if !self.fill(header.as_mut_bytes())? {
            return Ok(None);
        }
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            let mut second = [0; BLOCK];
            if self.fill(&mut second)? && second.iter().any(|byte| *byte != 0) {
                return Err(Refusal::Damaged("an empty block among the entries").into());
            }
            io::copy(&mut self.input, &mut io::sink())?;
            return Ok(None);
        }
        check_sum(&header)?;
        if matches!(header.entry_type().as_byte(), b'x' | b'g' | b'L' | b'K') {
            self.begin_body(&header, None)?;
        }
        Ok(Some(header))
    }

    /// A block that follows a header and is part of it.
    fn block(&mut self) -> Result<[u8; BLOCK], Trouble> {
        let mut block = [0; BLOCK];
        self.read_exact(&mut block)?;
        Ok(block)
    }

    /// A block at the start of the content.
    fn body_block(&mut self) -> Result<[u8; BLOCK], Trouble> {
        self.body = self
            .body
            .checked_sub(BLOCK as u64)
            .ok_or(Refusal::Damaged("a sparse map is cut off"))?;
        self.block()
    }

    fn skip(&mut self, count: u64) -> Result<(), Trouble> {
        let skipped = io::copy(&mut (&mut self.input).take(count), &mut io::sink())?;
        if skipped < count {
            return Err(Refusal::Damaged("it ends within a file").into());
        }
        Ok(())
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), Trouble> {
        match self.fill(buffer)? {
            true => Ok(()),
            false if buffer.is_empty() => Ok(()),
            false => Err(Refusal::Damaged("it ends within a header").into()),
        }
    }

    /// Fills the buffer; `false` if the input is at its end.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, Trouble> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(Refusal::Damaged("it ends within a header").into()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

/// The sum of all bytes of the header, those of the sum itself taken as spaces. Some old writers
/// added signed bytes.
fn check_sum(header: &Header) -> Result<(), Refusal> {
    let bytes = header.as_bytes();
    let stored = number(&header.as_old().cksum)?;
    let summed = || bytes[..148].iter().chain(&[b' '; 8]).chain(&bytes[156..]);
    let unsigned: i64 = summed().map(|byte| i64::from(*byte)).sum();
    let signed: i64 = summed().map(|byte| i64::from(byte.cast_signed())).sum();
    if stored != unsigned && stored != signed {
        return Err(Refusal::Damaged("a header does not match its checksum"));
    }
    Ok(())
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}
