//! Unpacks what a guest needs out of a Debian package (deb(5): an `ar` archive with a `data.tar.*` in it).

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path};

use super::Error;

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// Unpacks `/boot/vmlinuz-*` and `/lib/modules` of a package into `root`.
pub(super) fn unpack(package: &Path, root: &Path) -> Result<(), Error> {
    let bad = |what: String| Error::Deb {
        path: package.to_owned(),
        what,
    };
    let mut file = BufReader::new(File::open(package).map_err(Error::io("open", package))?);
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
    for entry in tar::Archive::new(data).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        // Only plain names below the root: a package from elsewhere must not write outside.
        let path: std::path::PathBuf = path
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect();
        let text = path.to_string_lossy();
        let wanted = text.starts_with("boot/vmlinuz-")
            || text.starts_with("lib/modules/")
            || text.starts_with("usr/lib/modules/");
        if !wanted || !entry.header().entry_type().is_file() {
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
