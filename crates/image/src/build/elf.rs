//! Whether a program runs where there is nothing but it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::Error;

const HEADER_LEN: usize = 64;
const PROGRAM_HEADER_LEN: usize = 56;
const MACHINE_X86_64: u16 = 62;
/// Names the dynamic loader, without which the kernel does not start the program.
const PT_INTERP: u32 = 3;

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Static,
    Dynamic,
    NoProgram(&'static str),
}

/// Refuses what is no statically linked program.
pub(super) fn check(path: &Path) -> Result<(), Error> {
    let inspected = File::open(path).and_then(|mut file| inspect(&mut file));
    let verdict = inspected.map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let path = path.to_owned();
    match verdict {
        Verdict::Static => Ok(()),
        Verdict::Dynamic => Err(Error::Dynamic { path }),
        Verdict::NoProgram(why) => Err(Error::NoProgram { path, why }),
    }
}

/// Reads the header and the program headers: System V ABI, "Object files", 64-bit.
fn inspect(file: &mut (impl Read + Seek)) -> io::Result<Verdict> {
    let mut header = [0; HEADER_LEN];
    if let Some(early) = read_or_end(file, &mut header)? {
        return Ok(early);
    }
    if header.starts_with(b"#!") {
        return Ok(Verdict::NoProgram("it is a script"));
    }
    if !header.starts_with(b"\x7fELF") {
        return Ok(Verdict::NoProgram("it is no ELF file"));
    }
    let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    if header[4] != 2 || header[5] != 1 || u16_at(18) != MACHINE_X86_64 {
        return Ok(Verdict::NoProgram("it is for another processor"));
    }
    if !matches!(u16_at(16), 2 | 3) {
        return Ok(Verdict::NoProgram("it is an object file"));
    }
    let mut offset = [0; 8];
    offset.copy_from_slice(&header[32..40]);
    if usize::from(u16_at(54)) != PROGRAM_HEADER_LEN || u16_at(56) == 0 {
        return Ok(Verdict::NoProgram("it has no program headers"));
    }
    file.seek(SeekFrom::Start(u64::from_le_bytes(offset)))?;
    for _ in 0..u16_at(56) {
        let mut program = [0; PROGRAM_HEADER_LEN];
        if let Some(early) = read_or_end(file, &mut program)? {
            return Ok(early);
        }
        if u32::from_le_bytes([program[0], program[1], program[2], program[3]]) == PT_INTERP {
            return Ok(Verdict::Dynamic);
        }
    }
    Ok(Verdict::Static)
}

fn read_or_end(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<Option<Verdict>> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Ok(Some(Verdict::NoProgram("it is cut off")))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(kinds: &[u32]) -> Vec<u8> {
        let mut file = vec![0; HEADER_LEN];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[16] = 3;
        file[18] = MACHINE_X86_64 as u8;
        file[32] = HEADER_LEN as u8;
        file[54] = PROGRAM_HEADER_LEN as u8;
        file[56] = kinds.len() as u8;
        for kind in kinds {
            let mut header = vec![0; PROGRAM_HEADER_LEN];
            header[..4].copy_from_slice(&kind.to_le_bytes());
            file.extend(header);
        }
        file
    }

    fn verdict(file: &[u8]) -> Verdict {
        inspect(&mut io::Cursor::new(file)).unwrap()
    }

    #[test]
    fn a_program_that_names_a_loader_is_dynamic() {
        assert_eq!(verdict(&program(&[6, PT_INTERP, 1])), Verdict::Dynamic);
        assert_eq!(verdict(&program(&[1, 1, 2])), Verdict::Static);
    }

    #[test]
    fn scripts_other_machines_and_stumps_are_no_programs() {
        let mut arm = program(&[1]);
        arm[18] = 183;
        let mut script = b"#!/bin/sh\n".to_vec();
        script.resize(100, b'#');
        let stump = &program(&[1, 1])[..100];
        for file in [&arm, &script, &vec![0; 100], &stump.to_vec(), &Vec::new()] {
            assert!(matches!(verdict(file), Verdict::NoProgram(_)), "{file:?}");
        }
    }
}
