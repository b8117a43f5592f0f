//! vmlinuz → vmlinux: the compressed ELF inside a bzImage, found by the boot protocol's header (Linux,
//! Documentation/arch/x86/boot.rst), so that nothing is inflated in the guest.

use std::io::{self, Read};

use super::elf;

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
    /// The ELF file is for another processor.
    #[error("it is not for x86-64 (its machine is {machine} in the list of ELF)")]
    NotX86 {
        /// `e_machine` of its header.
        machine: u16,
    },
    /// It does not say which kernel it is.
    #[error("no release is written in it; is it Linux?")]
    NoRelease,
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

/// The kernel inside a `vmlinuz`, or in the file itself if it is ELF already.
pub(super) fn extract(image: &[u8]) -> Result<elf::Kernel, Error> {
    if image.starts_with(b"\x7fELF") {
        elf::read(image)
    } else {
        elf::read(&unpack(payload(image)?)?)
    }
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const ENTRY: u32 = 0x0100_0010;

    /// A kernel of one segment at 16 MiB, which ends in zeros, with sections that nobody loads behind it.
    fn elf() -> Vec<u8> {
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(16, 0);
        elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
        for word in [0x0100_0000u64, 64, 0x9000] {
            elf.extend(word.to_le_bytes());
        }
        for half in [0u16, 0, 64, 56, 2, 64, 9, 8] {
            elf.extend(half.to_le_bytes());
        }
        // Type, flags, offset, virtual and physical address, size in the file and in memory, alignment.
        for (kind, offset, at, file, memory) in [
            (1u32, 0x1000u64, 0x0100_0000u64, 0x4000u64, 0x6000u64),
            (4, 0x1100, 0x0100_0100, 20, 20),
        ] {
            elf.extend(kind.to_le_bytes());
            elf.extend(7u32.to_le_bytes());
            for word in [offset, at, at, file, memory, 4] {
                elf.extend(word.to_le_bytes());
            }
        }
        elf.resize(0x1100, 0);
        for word in [4u32, 4, 18] {
            elf.extend(word.to_le_bytes());
        }
        elf.extend(b"Xen\0");
        elf.extend(ENTRY.to_le_bytes());
        elf.extend(b"Linux version %s\0Linux version 6.1.0-9-cloud (builder) #1\n\0");
        elf.resize(0x5000, 0);
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
            assert_eq!(
                extract(&bz_image(&stream)).unwrap(),
                extract(&elf()).unwrap()
            );
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
        let changed = |at: usize, byte: u8| {
            let mut elf = elf();
            elf[at] = byte;
            extract(&elf)
        };
        // 32 bits, arm64, no note, an entry that is nowhere, a segment past the end, a banner of nothing.
        assert!(matches!(changed(4, 1), Err(Error::NotX86 { machine: 62 })));
        assert!(matches!(
            changed(18, 183),
            Err(Error::NotX86 { machine: 183 })
        ));
        assert!(matches!(changed(0x1108, 17), Err(Error::NoPvh)));
        assert!(matches!(changed(0x1113, 2), Err(Error::NoPvh)));
        assert!(matches!(changed(64 + 8 + 2, 0xff), Err(Error::Truncated)));
        assert!(matches!(changed(0x1133, b'x'), Err(Error::NoRelease)));
        assert!(matches!(extract(b"\x7fELF"), Err(Error::Truncated)));
    }

    #[test]
    fn what_is_not_loaded_is_left_out_and_what_is_left_is_the_same_kernel() {
        let kernel = extract(&elf()).unwrap();
        assert_eq!(kernel.release, "6.1.0-9-cloud");
        assert!(kernel.file.len() < 0x1400, "{:#x}", kernel.file.len());
        assert_eq!(extract(&kernel.file).unwrap(), kernel);
    }
}
