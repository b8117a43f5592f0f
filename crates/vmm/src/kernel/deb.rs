//! Unpacks what a guest needs out of a Debian package (deb(5): an `ar` archive with a `data.tar.*` in it).

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::Error;

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;
/// Bytes of an unpacked package. Kernels with all modules have a tenth; a bomb would have more.
const LARGEST: u64 = 4 << 30;

/// Unpacks `/boot/vmlinuz-*` and `/lib/modules` of a package into `root`.
pub(super) fn unpack(package: &Path, root: &Path) -> Result<(), Error> {
    let bad = |what: String| Error::Deb {
        path: package.to_owned(),
        what,
    };
    let file = File::open(package).map_err(Error::io("open", package))?;
    let length = file.metadata().map_err(Error::io("read", package))?.len();
    let mut file = BufReader::new(file);
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic)
        .map_err(|_| bad("it is empty".to_owned()))?;
    if magic != *MAGIC {
        return Err(bad("it does not begin as one".to_owned()));
    }
    loop {
        let mut header = [0; HEADER];
        file.read_exact(&mut header)
            .map_err(|_| bad("it has no data.tar".to_owned()))?;
        let text = String::from_utf8_lossy(&header).into_owned();
        let name = text
            .get(..16)
            .unwrap_or_default()
            .trim()
            .trim_end_matches('/')
            .to_owned();
        let size: u64 = text
            .get(48..58)
            .and_then(|size| size.trim().parse().ok())
            .ok_or_else(|| bad("a header in it is damaged".to_owned()))?;
        if name.starts_with("data.tar") {
            let start = file.stream_position().map_err(Error::io("read", package))?;
            if start.saturating_add(size) > length {
                return Err(bad("it is cut off".to_owned()));
            }
            let data = file.take(size);
            return match name.as_str() {
                "data.tar.xz" => extract(liblzma::read::XzDecoder::new(data), root),
                "data.tar.zst" => zstd::Decoder::new(data).and_then(|data| extract(data, root)),
                "data.tar.gz" => extract(flate2::read::GzDecoder::new(data), root),
                "data.tar" => extract(data, root),
                other => return Err(bad(format!("{other} is compressed in an unknown way"))),
            }
            .map_err(Error::io("unpack", package));
        }
        // Members begin at even offsets.
        let skip = i64::try_from(size.next_multiple_of(2))
            .map_err(|_| bad("a size in it is absurd".to_owned()))?;
        file.seek(SeekFrom::Current(skip))
            .map_err(Error::io("read", package))?;
    }
}

fn extract(data: impl Read, root: &Path) -> io::Result<()> {
    for entry in tar::Archive::new(data.take(LARGEST)).entries()? {
        let mut entry = entry?;
        let path = plain(&entry.path()?)?;
        let text = path.to_string_lossy();
        let wanted = text.starts_with("boot/vmlinuz-")
            || text.starts_with("lib/modules/")
            || text.starts_with("usr/lib/modules/");
        let kind = entry.header().entry_type();
        if !wanted || kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            // Such as the link `build` to a folder of headers. None is made, so none leads anywhere; where a kernel or
            // a module is expected there must be a file.
            if text.starts_with("boot/") || text.contains(".ko") {
                return Err(refused(&path, "it is no file"));
            }
            continue;
        }
        let target = root.join(&path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        io::copy(&mut entry, &mut File::create(&target)?)?;
    }
    Ok(())
}

/// A path below the root. A package from elsewhere must not write outside, and one that tries is not trusted further.
fn plain(path: &Path) -> io::Result<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(refused(path, "it leads out of the package"));
            }
        }
    }
    Ok(plain)
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{} is refused: {why}", path.display()),
    )
}
