//! vmlinuz → vmlinux: the compressed ELF inside a bzImage, found by the boot protocol's header (Linux,
//! Documentation/arch/x86/boot.rst), so that nothing is inflated in the guest.

use std::io::{self, Read};

/// Why a file is no kernel for guests.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has no boot header.
    #[error("it is not a bzImage")]
    NotBzImage,
    /// The header points outside the file.
    #[error("it is cut off")]
    Truncated,
    /// The payload is compressed in a way that is not known.
    #[error("its payload is compressed in an unknown way (it begins {0:02x?})")]
    UnknownCompression(Vec<u8>),
    /// The payload does not unpack.
    #[error("its payload does not unpack")]
    Unpack(#[source] io::Error),
    /// What is inside is not an ELF file.
    #[error("what is inside is not an ELF file")]
    NotElf,
    /// The kernel was built without PVH.
    #[error("it has no PVH entry (CONFIG_PVH), through which it is booted")]
    NoPvh,
}

const SETUP_SECTORS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;
/// No kernel is larger; a bomb would be.
const LARGEST: u64 = 512 << 20;
/// `XEN_ELFNOTE_PHYS32_ENTRY` of the note "Xen", whose presence says that PVH works.
const NOTE_TYPE: u32 = 18;

/// The ELF kernel inside a `vmlinuz`, or the file itself if it is ELF already.
pub(super) fn extract(image: &[u8]) -> Result<Vec<u8>, Error> {
    let elf = if image.starts_with(b"\x7fELF") {
        image.to_vec()
    } else {
        unpack(payload(image)?)?
    };
    if !elf.starts_with(b"\x7fELF") {
        return Err(Error::NotElf);
    }
    if !has_pvh_note(&elf) {
        return Err(Error::NoPvh);
    }
    Ok(elf)
}

fn payload(image: &[u8]) -> Result<&[u8], Error> {
    if image.get(MAGIC..MAGIC + 4) != Some(b"HdrS") {
        return Err(Error::NotBzImage);
    }
    let sectors = match image.get(SETUP_SECTORS) {
        Some(0) => 4,
        Some(sectors) => usize::from(*sectors),
        None => return Err(Error::Truncated),
    };
    let start =
        (sectors + 1) * SECTOR + word(image, PAYLOAD_OFFSET).ok_or(Error::Truncated)? as usize;
    let length = word(image, PAYLOAD_LENGTH).ok_or(Error::Truncated)? as usize;
    start
        .checked_add(length)
        .and_then(|end| image.get(start..end))
        .ok_or(Error::Truncated)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn unpack(payload: &[u8]) -> Result<Vec<u8>, Error> {
    // The build appends the inflated size, 4 bytes, behind the compressed stream; but for gzip, whose own trailer has it.
    let stream = payload
        .get(..payload.len().saturating_sub(4))
        .unwrap_or_default();
    let mut out = Vec::new();
    let result = match payload {
        [0x1f, 0x8b, ..] => flate2::read::GzDecoder::new(payload)
            .take(LARGEST)
            .read_to_end(&mut out),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => liblzma::read::XzDecoder::new(stream)
            .take(LARGEST)
            .read_to_end(&mut out),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd::Decoder::new(stream)
            .and_then(|decoder| decoder.take(LARGEST).read_to_end(&mut out)),
        [0x02, 0x21, 0x4c, 0x18, ..] => lz4_flex::frame::FrameDecoder::new(stream)
            .take(LARGEST)
            .read_to_end(&mut out),
        _ => {
            return Err(Error::UnknownCompression(
                payload.iter().take(4).copied().collect(),
            ));
        }
    };
    result.map(|_| out).map_err(Error::Unpack)
}

/// Looks for the note: name size 4, type 18, name "Xen".
fn has_pvh_note(elf: &[u8]) -> bool {
    let mut name_and_type = [0; 8];
    name_and_type[..4].copy_from_slice(&NOTE_TYPE.to_le_bytes());
    name_and_type[4..].copy_from_slice(b"Xen\0");
    elf.windows(8).any(|window| window == name_and_type)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn elf() -> Vec<u8> {
        let mut elf = b"\x7fELF".to_vec();
        elf.extend([0; 60]);
        elf.extend(4u32.to_le_bytes());
        elf.extend(4u32.to_le_bytes());
        elf.extend(NOTE_TYPE.to_le_bytes());
        elf.extend(b"Xen\0");
        elf.extend((0..4096u32).flat_map(u32::to_le_bytes));
        elf
    }

    fn bz_image(stream: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * SECTOR];
        image[SETUP_SECTORS] = 1;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&8u32.to_le_bytes());
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4]
            .copy_from_slice(&(stream.len() as u32 + 4).to_le_bytes());
        image.extend([0; 8]);
        image.extend(stream);
        image.extend((elf().len() as u32).to_le_bytes());
        image
    }

    #[test]
    fn every_compression_of_distributions_unpacks() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&elf()).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&elf()).unwrap();
        let zstd = zstd::encode_all(elf().as_slice(), 1).unwrap();
        for stream in [gzip.finish().unwrap(), xz.finish().unwrap(), zstd] {
            assert!(extract(&bz_image(&stream)).unwrap() == elf());
        }
    }

    #[test]
    fn what_is_no_kernel_is_refused_by_name() {
        assert!(matches!(extract(b"#!/bin/sh"), Err(Error::NotBzImage)));
        assert!(matches!(
            extract(&bz_image(b"????")),
            Err(Error::UnknownCompression(_))
        ));
        assert!(matches!(
            extract(&bz_image(&[0x1f, 0x8b, 0])),
            Err(Error::Unpack(_))
        ));
        let mut cut = bz_image(&[0; 64]);
        cut.truncate(1040);
        assert!(matches!(extract(&cut), Err(Error::Truncated)));
        let mut plain = b"\x7fELF".to_vec();
        plain.extend([0; 100]);
        assert!(matches!(extract(&plain), Err(Error::NoPvh)));
    }
}
