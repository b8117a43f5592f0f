//! The kernel as an ELF file: can guests boot it, and which of its bytes do they need?

use object::elf::{EM_X86_64, FileHeader64, PT_LOAD, PT_NOTE, ProgramHeader64, SHN_UNDEF};
use object::endian::LittleEndian as LE;
use object::pod::bytes_of;
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::vmlinux::Error;

type Header = FileHeader64<LE>;
type Segment = ProgramHeader64<LE>;

/// `XEN_ELFNOTE_PHYS32_ENTRY` (Xen, public/elfnote.h): the physical address of the PVH entry.
const PVH_ENTRY: u32 = 18;
/// Where segments begin in the file is congruent to their addresses by this.
const PAGE: u64 = 4096;
const CLASS: usize = 4;
const CLASS_64: u8 = 2;
const ORDER: usize = 5;
const LITTLE_ENDIAN: u8 = 1;
const MACHINE: usize = 18;

/// A kernel that guests can boot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    /// The ELF file with what its program headers load, and nothing else.
    pub(super) file: Vec<u8>,
    /// As `uname -r` has it.
    pub(super) release: String,
}

/// Reads the kernel in an ELF file.
pub(super) fn read(file: &[u8]) -> Result<Kernel, Error> {
    if !file.starts_with(b"\x7fELF") {
        return Err(Error::NotElf);
    }
    let byte = |at: usize| file.get(at).copied().ok_or(Error::Truncated);
    let machine = u16::from_le_bytes([byte(MACHINE)?, byte(MACHINE + 1)?]);
    if byte(CLASS)? != CLASS_64 || byte(ORDER)? != LITTLE_ENDIAN || machine != EM_X86_64.0 {
        return Err(Error::NotX86 { machine });
    }
    let header = Header::parse(file).map_err(|_| Error::Truncated)?;
    let segments = header
        .program_headers(LE, file)
        .map_err(|_| Error::Truncated)?;
    let entry = pvh_entry(segments, file)?.ok_or(Error::NoPvh)?;
    let within = |segment: &Segment| {
        let start = segment.p_paddr.get(LE);
        (start..start.saturating_add(segment.p_memsz.get(LE))).contains(&entry)
    };
    if !loaded(segments).any(within) {
        return Err(Error::NoPvh);
    }
    let mut release = None;
    for segment in loaded(segments) {
        let data = segment.data(LE, file).map_err(|()| Error::Truncated)?;
        release = release.or_else(|| banner(data));
    }
    Ok(Kernel {
        file: trimmed(header, segments, file)?,
        release: release.ok_or(Error::NoRelease)?,
    })
}

fn loaded(segments: &[Segment]) -> impl Iterator<Item = &Segment> {
    segments
        .iter()
        .filter(|segment| segment.p_type(LE) == PT_LOAD)
}

fn pvh_entry(segments: &[Segment], file: &[u8]) -> Result<Option<u64>, Error> {
    for segment in segments {
        // `None` is a segment without notes.
        let Some(mut notes) = segment.notes(LE, file).map_err(|_| Error::Truncated)? else {
            continue;
        };
        while let Some(note) = notes.next().map_err(|_| Error::Truncated)? {
            if note.name() != b"Xen" || note.n_type(LE).0 != PVH_ENTRY {
                continue;
            }
            // Four bytes or eight, as the kernel's build has it.
            let mut address = [0; 8];
            if let Some(to) = address.get_mut(..note.desc().len()) {
                to.copy_from_slice(note.desc());
                return Ok(Some(u64::from_le_bytes(address)));
            }
        }
    }
    Ok(None)
}

/// The release in the kernel's banner, "Linux version RELEASE (…".
fn banner(data: &[u8]) -> Option<String> {
    const START: &[u8] = b"Linux version ";
    let mut rest = data;
    loop {
        let at = rest.windows(START.len()).position(|it| it == START)?;
        rest = rest.get(at + START.len()..)?;
        let release = rest.split(|byte| *byte == b' ').next()?;
        // It names a folder of the store; utsname(2) has 65 bytes for it.
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+~-".contains(byte);
        if release.len() < 65
            && release.first().is_some_and(u8::is_ascii_digit)
            && release.iter().all(plain)
        {
            return Some(String::from_utf8_lossy(release).into_owned());
        }
    }
}

/// Headers, what is loaded up to its last byte that is not zero, and the notes. Loaders zero the rest of a segment.
fn trimmed(header: &Header, segments: &[Segment], file: &[u8]) -> Result<Vec<u8>, Error> {
    let kept: Vec<&Segment> = loaded(segments)
        .chain(segments.iter().filter(|it| it.p_type(LE) == PT_NOTE))
        .collect();
    let mut header = *header;
    header.e_phoff.set(LE, size_of::<Header>() as u64);
    header.e_phnum.set(LE, kept.len() as u16);
    header.e_shoff.set(LE, 0);
    header.e_shnum.set(LE, 0);
    header.e_shstrndx.set(LE, SHN_UNDEF);
    let mut table: Vec<u8> = Vec::new();
    let mut content = vec![0; size_of::<Header>() + kept.len() * size_of::<Segment>()];
    for segment in kept {
        let mut data = segment.data(LE, file).map_err(|()| Error::Truncated)?;
        let mut out = *segment;
        if segment.p_type(LE) == PT_LOAD {
            let end = data.iter().rposition(|byte| *byte != 0);
            data = data
                .get(..end.map_or(0, |last| last + 1))
                .unwrap_or_default();
            out.p_align.set(LE, PAGE);
            let ahead = segment.p_vaddr.get(LE) % PAGE;
            let start = (content.len() as u64).next_multiple_of(PAGE) + ahead;
            content.resize(start as usize, 0);
        } else {
            content.resize(content.len().next_multiple_of(8), 0);
        }
        out.p_offset.set(LE, content.len() as u64);
        out.p_filesz.set(LE, data.len() as u64);
        content.extend(data);
        table.extend(bytes_of(&out));
    }
    let mut front = bytes_of(&header).to_vec();
    front.extend(table);
    if let Some(to) = content.get_mut(..front.len()) {
        to.copy_from_slice(&front);
    }
    Ok(content)
}
