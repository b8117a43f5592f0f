//! Which QEMU there is.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Error;

const NAME: &str = "qemu-system-x86_64";

pub(super) fn find(explicit: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(path) = explicit {
        return Ok(path.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(NAME))
        .find(|file| file.is_file())
        .ok_or(Error::Missing)
}

pub(super) fn version(binary: &Path) -> Result<String, Error> {
    let output = Command::new(binary)
        .arg("--version")
        .output()
        .map_err(|source| Error::Binary {
            binary: binary.to_owned(),
            source,
        })?;
    let said = String::from_utf8_lossy(&output.stdout);
    parse(&said).ok_or_else(|| Error::Version {
        binary: binary.to_owned(),
        said: said.trim().to_owned(),
    })
}

/// The number in `QEMU emulator version 7.2.22 (Debian 1:7.2+…)`.
fn parse(said: &str) -> Option<String> {
    let (_, rest) = said.split_once("QEMU emulator version ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_with_and_without_a_package_version() {
        assert_eq!(
            parse("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright").as_deref(),
            Some("7.2.22")
        );
        assert_eq!(
            parse("QEMU emulator version 9.1.0\n").as_deref(),
            Some("9.1.0")
        );
        assert_eq!(parse("hello\n"), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_the_package() {
        let path = Path::new("/no/such/qemu");
        let error = version(&find(Some(path)).unwrap()).unwrap_err().to_string();
        assert!(
            error.contains("/no/such/qemu") && error.contains("apt-get install qemu-system-x86"),
            "{error}"
        );
    }

    #[test]
    fn a_program_that_is_no_qemu_is_refused() {
        let error = version(Path::new("/bin/echo")).unwrap_err();
        assert!(matches!(error, Error::Version { .. }), "{error}");
    }
}
