//! Which file a process's first argument names, and why it cannot be executed.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("there is no command: neither the function nor its image names one")]
    NoCommand,
    #[error("{name:?} is in no folder of PATH ({path})")]
    NotInPath { name: String, path: String },
    #[error("{path:?} is no program for this machine: it is {found}")]
    Format { path: PathBuf, found: String },
    #[error(
        "{path:?}: the file is there, but the interpreter or dynamic loader it names is not in the image"
    )]
    NoInterpreter { path: PathBuf },
    #[error("{path:?}")]
    Exec { path: PathBuf, source: io::Error },
}

impl Error {
    /// Why executing `path` failed.
    pub(super) fn exec(path: PathBuf, source: io::Error) -> Error {
        if source.kind() == io::ErrorKind::NotFound && path.exists() {
            return Error::NoInterpreter { path };
        }
        Error::Exec { path, source }
    }
}

/// The file that `name` means: a path if it has a slash, else the first executable file in `path`.
pub(super) fn find(name: &str, path: &str) -> Result<PathBuf, Error> {
    if name.is_empty() {
        return Err(Error::NoCommand);
    }
    let found = if name.contains('/') {
        PathBuf::from(name)
    } else {
        path.split(':')
            // An empty element of PATH means the working directory.
            .map(|folder| Path::new(if folder.is_empty() { "." } else { folder }).join(name))
            .find(|file| access(file, AccessFlags::X_OK).is_ok() && file.is_file())
            .ok_or_else(|| Error::NotInPath {
                name: name.to_owned(),
                path: path.to_owned(),
            })?
    };
    // The C library hands a file of unknown format to the shell, which makes no sense of it and blames the
    // contents. What cannot be opened is left to exec, which knows why.
    let mut start = Vec::with_capacity(HEADER as usize);
    if let Ok(file) = File::open(&found)
        && file.take(HEADER).read_to_end(&mut start).is_ok()
        && let Some(problem) = format_problem(&start)
    {
        return Err(Error::Format {
            path: found,
            found: problem,
        });
    }
    Ok(found)
}

/// Enough of a file to know an ELF program's machine.
const HEADER: u64 = 20;

/// What is wrong with a program that starts like this, by elf(5).
fn format_problem(start: &[u8]) -> Option<String> {
    if start.starts_with(b"#!") {
        return None;
    }
    if !start.starts_with(b"\x7fELF") {
        return Some("neither an ELF file nor a script that starts with #!".to_owned());
    }
    let machine = u16::from_le_bytes([*start.get(18)?, *start.get(19)?]);
    match machine {
        // EM_386, EM_X86_64
        3 | 62 => None,
        40 => Some("built for 32-bit Arm".to_owned()),
        183 => Some("built for arm64".to_owned()),
        243 => Some("built for RISC-V".to_owned()),
        other => Some(format!("built for another machine (ELF machine {other})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chain;

    fn elf(machine: u8) -> Vec<u8> {
        let mut header = b"\x7fELF\x02\x01\x01".to_vec();
        header.resize(18, 0);
        header.extend([machine, 0]);
        header
    }

    #[test]
    fn programs_of_this_machine_and_scripts_pass() {
        assert_eq!(format_problem(&elf(62)), None);
        assert_eq!(format_problem(b"#!/bin/sh\n"), None);
    }

    #[test]
    fn programs_of_another_machine_are_named() {
        assert_eq!(
            format_problem(&elf(183)).as_deref(),
            Some("built for arm64")
        );
        assert!(
            format_problem(b"echo hello\n")
                .unwrap()
                .starts_with("neither")
        );
        assert!(format_problem(b"").is_some());
    }

    #[test]
    fn a_name_is_looked_up_in_path_and_a_path_is_not() {
        assert_eq!(find("sh", "/nowhere:/bin").unwrap(), Path::new("/bin/sh"));
        assert_eq!(find("/no/such", "/bin").unwrap(), Path::new("/no/such"));
        let error = find("no-such-program", "/nowhere:/bin").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#""no-such-program" is in no folder of PATH (/nowhere:/bin)"#
        );
        assert!(matches!(find("", "/bin"), Err(Error::NoCommand)));
    }

    #[test]
    fn a_failed_exec_names_the_file_and_the_reason() {
        let missing = Error::exec("/app/server".into(), io::Error::from_raw_os_error(2));
        assert_eq!(
            chain(&missing),
            r#""/app/server": No such file or directory"#
        );
        let there = Error::exec("/bin/sh".into(), io::Error::from_raw_os_error(2));
        assert!(matches!(there, Error::NoInterpreter { .. }), "{there}");
    }
}
