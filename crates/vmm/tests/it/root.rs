//! The root image of the guests: a shell, and what it takes to be a small distribution.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use image::flatten::{Layer, Limits, flatten};
use tar::{Builder, EntryType, Header};
use tempfile::NamedTempFile;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n";
const GROUP: &str = "root:x:0:\nstaff:x:50:app\napps:x:1001:\n";

/// The squashfs file, made once. Whoever makes it at the same time makes the same.
pub(crate) fn image() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let layer = NamedTempFile::new().unwrap();
        write_layer(layer.path());
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest.squashfs");
        let layer = Layer {
            path: layer.path().to_owned(),
            name: "test".into(),
        };
        flatten(&[layer], &root, &Limits::default()).unwrap();
        root
    })
}

fn write_layer(path: &Path) {
    let mut tar = Builder::new(File::create(path).unwrap());
    let busybox = std::fs::read(busybox()).unwrap();
    // A program for another machine: an ELF header of arm64.
    let mut arm = b"\x7fELF\x02\x01\x01".to_vec();
    arm.resize(18, 0);
    arm.extend([183, 0]);
    arm.resize(64, 0);
    for (name, mode, contents) in [
        ("bin/busybox", 0o755, busybox.as_slice()),
        ("bin/arm", 0o755, arm.as_slice()),
        ("bin/plain", 0o644, b"#!/bin/sh\n"),
        ("bin/lost", 0o755, b"#!/no/such/interpreter\n"),
        ("etc/passwd", 0o644, PASSWD.as_bytes()),
        ("etc/group", 0o644, GROUP.as_bytes()),
        ("etc/resolv.conf", 0o644, b"nameserver 192.0.2.1\n"),
    ] {
        let mut header = Header::new_gnu();
        header.set_mode(mode);
        header.set_size(contents.len() as u64);
        tar.append_data(&mut header, name, contents).unwrap();
    }
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_mode(0o777);
    header.set_size(0);
    tar.append_link(&mut header, "bin/sh", "busybox").unwrap();
    tar.finish().unwrap();
}

fn busybox() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let busybox = std::env::split_paths(&path)
        .map(|folder| folder.join("busybox"))
        .find(|file| file.is_file());
    busybox.expect("no busybox; install it: apt-get install busybox-static")
}
