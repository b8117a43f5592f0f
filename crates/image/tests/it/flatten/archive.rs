//! Tar archives made byte by byte, so that they can also be wrong.

use std::fmt::Write;

use tar::Header;

const BLOCK: usize = 512;

/// A layer in the making.
#[derive(Default, Clone)]
pub(super) struct Archive {
    bytes: Vec<u8>,
}

/// One entry in the making.
#[derive(Clone)]
pub(super) struct Entry {
    path: Vec<u8>,
    class: u8,
    target: Vec<u8>,
    content: Vec<u8>,
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: u64,
    device: (u32, u32),
    pax: Vec<(Vec<u8>, Vec<u8>)>,
}

pub(super) fn entry(class: u8, path: impl AsRef<[u8]>) -> Entry {
    Entry {
        path: path.as_ref().to_vec(),
        class,
        target: Vec::new(),
        content: Vec::new(),
        mode: if class == b'5' { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        mtime: 1_700_000_000,
        device: (0, 0),
        pax: Vec::new(),
    }
}

pub(super) fn file(path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Entry {
    Entry {
        content: content.as_ref().to_vec(),
        ..entry(b'0', path)
    }
}

pub(super) fn folder(path: impl AsRef<[u8]>) -> Entry {
    entry(b'5', path)
}

pub(super) fn symlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
    Entry {
        target: target.as_ref().to_vec(),
        ..entry(b'2', path)
    }
}

pub(super) fn hard_link(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
    Entry {
        target: target.as_ref().to_vec(),
        ..entry(b'1', path)
    }
}

pub(super) fn device(class: u8, path: impl AsRef<[u8]>, major: u32, minor: u32) -> Entry {
    Entry {
        device: (major, minor),
        ..entry(class, path)
    }
}

impl Entry {
    pub(super) fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    pub(super) fn owner(self, uid: u64, gid: u64) -> Self {
        Self { uid, gid, ..self }
    }

    pub(super) fn mtime(self, mtime: u64) -> Self {
        Self { mtime, ..self }
    }

    pub(super) fn pax(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.pax
            .push((key.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    pub(super) fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax(format!("SCHILY.xattr.{name}"), value)
    }
}

impl Archive {
    pub(super) fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut archive = Self::default();
        for entry in entries {
            archive.add(entry);
        }
        archive
    }

    /// Appends an entry; what its header has no room for goes into PAX records.
    pub(super) fn add(&mut self, mut entry: Entry) {
        if entry.path.len() > 100 || entry.path.contains(&0) {
            entry.pax.push((b"path".to_vec(), entry.path.clone()));
            entry.path = b"long".to_vec();
        }
        if entry.target.len() > 100 || entry.target.contains(&0) {
            entry.pax.push((b"linkpath".to_vec(), entry.target.clone()));
            entry.target = b"long".to_vec();
        }
        if !entry.pax.is_empty() {
            let mut records = Vec::new();
            for (key, value) in &entry.pax {
                records.extend(record(key, value));
            }
            self.add_raw(b'x', b"pax", &records);
        }
        self.header(&entry);
        self.content(&entry.content);
    }

    /// A GNU entry whose name is in one before it.
    pub(super) fn add_with_gnu_long_name(&mut self, mut entry: Entry) {
        let name = std::mem::replace(&mut entry.path, b"long".to_vec());
        self.add_raw(b'L', b"././@LongLink", &[&name[..], b"\0"].concat());
        self.add(entry);
    }

    pub(super) fn add_raw(&mut self, class: u8, path: &[u8], content: &[u8]) {
        self.header(&Entry {
            content: content.to_vec(),
            ..entry(class, path)
        });
        self.content(content);
    }

    fn header(&mut self, entry: &Entry) {
        let mut header = Header::new_ustar();
        let old = header.as_old_mut();
        old.name[..entry.path.len()].copy_from_slice(&entry.path);
        old.linkname[..entry.target.len()].copy_from_slice(&entry.target);
        old.linkflag = [entry.class];
        header.set_mode(entry.mode);
        header.set_uid(entry.uid);
        header.set_gid(entry.gid);
        header.set_mtime(entry.mtime);
        header.set_size(entry.content.len() as u64);
        header.set_device_major(entry.device.0).unwrap();
        header.set_device_minor(entry.device.1).unwrap();
        header.set_cksum();
        self.bytes.extend(header.as_bytes());
    }

    fn content(&mut self, content: &[u8]) {
        self.bytes.extend(content);
        self.bytes
            .resize(self.bytes.len().next_multiple_of(BLOCK), 0);
    }

    /// The archive with its end mark.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [&self.bytes[..], &[0; 2 * BLOCK]].concat()
    }

    pub(super) fn without_end_mark(&self) -> &[u8] {
        &self.bytes
    }
}

fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut len = rest;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    let mut head = String::new();
    write!(head, "{len} ").unwrap();
    [head.as_bytes(), key, b"=", value, b"\n"].concat()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}
