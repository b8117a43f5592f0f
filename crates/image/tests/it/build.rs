//! Images made from files.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use image::build::Error;
use image::{Image, Limits, Source};
use tempfile::TempDir;

use crate::samples::{Sample, assert_usable, spec};

/// The entries of the root file system: mode, owner and path.
fn listing(sample: &Sample, image: &Image) -> Vec<String> {
    let root = sample.store.root(image, &Limits::default()).unwrap();
    let mut unsquashfs = Command::new("unsquashfs");
    let output = unsquashfs.args(["-lln", "-d", ""]).arg(root.path).output();
    let output = output.expect("apt-get install squashfs-tools");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let path = words[5..].join(" ");
        format!("{} {} {}", words[0], words[1], path)
    };
    text.lines()
        .filter(|it| it.contains('/'))
        .map(line)
        .collect()
}

fn write(path: &Path, content: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_folder_becomes_the_root_owned_by_root() {
    let (sample, folder) = (Sample::new(), TempDir::new().unwrap());
    write(&folder.path().join("bin/run"), "#!/bin/sh\n", 0o755);
    write(&folder.path().join("data"), "x", 0o600);
    symlink("../data", folder.path().join("bin/link")).unwrap();
    std::os::unix::fs::chown(folder.path().join("data"), Some(1234), Some(99)).unwrap();
    fs::set_permissions(folder.path().join("bin"), Permissions::from_mode(0o711)).unwrap();

    let source = Source::Folder(folder.path().to_owned());
    let image = sample.store.build(spec("dev.local/fn", source)).unwrap();

    assert_eq!(
        listing(&sample, &image),
        [
            "drwxr-xr-x 0/0 ",
            "drwx--x--x 0/0 /bin",
            "lrwxrwxrwx 0/0 /bin/link -> ../data",
            "-rwxr-xr-x 0/0 /bin/run",
            "-rw------- 0/0 /data",
        ]
    );
}

#[test]
fn the_configuration_is_the_one_asked_for() {
    let sample = Sample::new();
    let image = sample.image("dev.local/fn", b"x");
    let config = &image.config;
    assert_eq!(config.entrypoint, ["/server"]);
    assert_eq!(config.cmd, ["--quick"]);
    assert_eq!(config.env, [("GREETING".to_owned(), "a=b".to_owned())]);
    assert_eq!(config.workdir, "/srv");
    assert_eq!(config.user, "65534:65534");
    assert_eq!(config.exposed_ports, [8080]);
    assert_eq!(config.labels["kind"], "sample");
}

#[test]
fn the_same_input_has_the_same_digest_wherever_and_whenever_it_is_built() {
    let digest = |order: &[&str]| {
        let (sample, folder) = (Sample::new(), TempDir::new().unwrap());
        for name in order {
            write(&folder.path().join(name), name, 0o644);
            fs::File::open(folder.path().join(name))
                .unwrap()
                .set_modified(std::time::SystemTime::now())
                .unwrap();
        }
        let source = Source::Folder(folder.path().to_owned());
        let mut spec = spec("dev.local/fn", source);
        for label in order {
            spec.labels.insert((*label).to_owned(), String::new());
        }
        sample.store.build(spec).unwrap().digest
    };
    let names = ["a/x", "a.b", "b", "a/y", "c"];
    let mut reversed = names;
    reversed.reverse();
    assert_eq!(digest(&names), digest(&reversed));
    assert_ne!(digest(&names), digest(&names[1..]));
}

#[test]
fn a_file_that_cannot_be_in_an_image_is_named() {
    let (sample, folder) = (Sample::new(), TempDir::new().unwrap());
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let source = Source::Folder(folder.path().to_owned());
    let error = sample
        .store
        .build(spec("dev.local/fn", source))
        .unwrap_err();
    assert!(
        matches!(&error, Error::Special { path } if *path == socket),
        "{error}"
    );
    assert_eq!(sample.unfinished(), Vec::<std::path::PathBuf>::new());
}

/// A program of one instruction sequence: exit(0).
fn static_program() -> Vec<u8> {
    let code = [0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];
    let mut file = vec![0; 64 + 56];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[16] = 2;
    file[18] = 62;
    file[20] = 1;
    file[24..32].copy_from_slice(&(0x0040_0078_u64).to_le_bytes());
    file[32] = 64;
    file[52] = 64;
    file[54] = 56;
    file[56] = 1;
    file[64] = 1;
    file[68] = 5;
    file[80..88].copy_from_slice(&(0x0040_0000_u64).to_le_bytes());
    for at in [96, 104] {
        file[at..at + 8].copy_from_slice(&(120_u64 + code.len() as u64).to_le_bytes());
    }
    file[112..120].copy_from_slice(&(0x1000_u64).to_le_bytes());
    file.extend(code);
    file
}

#[test]
fn a_static_binary_is_an_image_that_starts_it() {
    let (sample, folder) = (Sample::new(), TempDir::new().unwrap());
    let program = folder.path().join("hello");
    fs::write(&program, static_program()).unwrap();
    let mut spec = spec("dev.local/hello", Source::Binary(program.clone()));
    spec.entrypoint.clear();
    let image = sample.store.build(spec).unwrap();
    assert_eq!(image.config.entrypoint, ["/hello"]);
    assert_eq!(
        listing(&sample, &image),
        [
            "drwxr-xr-x 0/0 ",
            "drwxr-xr-x 0/0 /etc",
            "-rw-r--r-- 0/0 /etc/group",
            "-rw-r--r-- 0/0 /etc/passwd",
            "-rwxr-xr-x 0/0 /hello",
            "drwxrwxrwt 0/0 /tmp",
        ]
    );
}

#[test]
fn a_binary_that_needs_libraries_is_refused_with_what_to_do() {
    let sample = Sample::new();
    let program = fs::canonicalize("/bin/sh").unwrap();
    let error = sample
        .store
        .build(spec("dev.local/sh", Source::Binary(program)));
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Dynamic { .. }), "{error}");
    assert!(error.to_string().contains("link it statically"), "{error}");
}

#[test]
fn a_tar_is_kept_as_it_is_whatever_it_is_compressed_with() {
    let sample = Sample::new();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o640);
    header.set_uid(42);
    header.set_gid(43);
    header.set_mtime(1_700_000_000);
    tar.append_data(&mut header, "file", &b"text"[..]).unwrap();
    let plain = tar.into_inner().unwrap();
    let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();

    let build = |bytes: &[u8]| {
        let path = sample.folder.path().join("root.tar");
        fs::write(&path, bytes).unwrap();
        sample
            .store
            .build(spec("dev.local/tar", Source::Tar(path)))
            .unwrap()
    };
    let image = build(&plain);
    assert_eq!(listing(&sample, &image)[1..], ["-rw-r----- 42/43 /file"]);
    assert_eq!(build(&zstd).digest, image.digest);
    assert_usable(&sample.store, &image);
}

#[test]
fn what_is_no_tar_or_climbs_makes_no_image() {
    let sample = Sample::new();
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.as_mut_bytes()[..8].copy_from_slice(b"../climb");
    header.set_cksum();
    let mut climbing = header.as_bytes().to_vec();
    climbing.resize(512 * 3, 0);
    for bytes in [b"hello".to_vec(), vec![0; 4096], vec![1; 4096], climbing] {
        let path = sample.folder.path().join("root.tar");
        fs::write(&path, bytes).unwrap();
        let error = sample.store.build(spec("dev.local/tar", Source::Tar(path)));
        assert!(matches!(error, Err(Error::Archive(_))), "{error:?}");
    }
    assert!(sample.store.list().unwrap().is_empty());
}
