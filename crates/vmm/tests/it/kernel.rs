//! How kernels are taken in, from packages made here.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use object::Endianness;
use object::build::elf::{Builder, SectionData};
use tempfile::TempDir;
use vmm::kernel::{Error, Kernel, KernelStore, Source};

const RELEASE: &str = "6.1.0-10-cloud";
const BUILT_IN: &str = "kernel/drivers/virtio/virtio_ring.ko\nkernel/drivers/virtio/virtio.ko\n\
    kernel/drivers/virtio/virtio_mmio.ko\nkernel/drivers/net/virtio_net.ko\n\
    kernel/drivers/block/virtio_blk.ko\nkernel/fs/squashfs/squashfs.ko\nkernel/fs/overlayfs/overlay.ko\n";

/// An ELF file for x86-64 of one segment, which has a PVH entry and a banner.
fn vmlinux(release: &str) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [0x0100_0000u64, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    for half in [0u16, 0, 64, 56, 2, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    for (kind, offset, at, size) in [
        (1u32, 0x1000u64, 0x0100_0000u64, 0x1000u64),
        (4, 0x1000, 0x0100_0000, 20),
    ] {
        elf.extend(kind.to_le_bytes());
        elf.extend(7u32.to_le_bytes());
        for word in [offset, at, at, size, size, 4] {
            elf.extend(word.to_le_bytes());
        }
    }
    elf.resize(0x1000, 0);
    for word in [4u32, 4, 18] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(b"Xen\0");
    elf.extend(0x0100_0000u32.to_le_bytes());
    elf.extend(format!("Linux version {release} (builder)\n").as_bytes());
    elf.resize(0x2000, 0);
    elf
}

/// A module that was built for `release`: an ELF file that says so and does nothing.
fn module(release: &str) -> Vec<u8> {
    let mut elf = Builder::new(Endianness::Little, true);
    elf.header.e_type = object::elf::ET_REL;
    elf.header.e_machine = object::elf::EM_X86_64;
    let modinfo = elf.sections.add();
    modinfo.name = b".modinfo".as_slice().into();
    modinfo.sh_type = object::elf::SHT_PROGBITS;
    modinfo.sh_addralign = 1;
    let text = format!("depends=\0vermagic={release} SMP \0");
    modinfo.data = SectionData::Data(text.into_bytes().into());
    let names = elf.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = object::elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut file = Vec::new();
    elf.write(&mut file).unwrap();
    file
}

/// What a package holds: names below its root, and contents.
fn kernel_files(release: &str) -> Vec<(String, Vec<u8>)> {
    let modules = format!("lib/modules/{release}");
    vec![
        (format!("boot/vmlinuz-{release}"), vmlinux(release)),
        (format!("{modules}/modules.builtin"), BUILT_IN.into()),
        (format!("{modules}/kernel/fs/other.ko"), b"other".to_vec()),
    ]
}

fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, contents) in files {
        let mut header = tar::Header::new_gnu();
        // Written as it is: the crate would refuse the names that a package must not have.
        let raw = &mut header.as_old_mut().name;
        raw[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        header.set_size(contents.len() as u64);
        header.set_cksum();
        tar.append(&header, contents.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn deb(member: &str, data: &[u8]) -> Vec<u8> {
    let mut deb = b"!<arch>\n".to_vec();
    for (name, content) in [
        ("debian-binary", b"2.0\n".as_slice()),
        ("control.tar", b"odd"),
        (member, data),
    ] {
        deb.extend(
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                0,
                0,
                0,
                644,
                content.len()
            )
            .as_bytes(),
        );
        deb.extend(content);
        if content.len() % 2 == 1 {
            deb.push(b'\n');
        }
    }
    deb
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(data).unwrap();
    gzip.finish().unwrap()
}

/// A store, and packages beside it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn store(&self) -> KernelStore {
        KernelStore::open(&self.folder()).unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().join("kernels")
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn import(&self, package: &[u8]) -> Result<Kernel, Error> {
        let package = self.file("linux-image.deb", package);
        self.store().import(Source::Deb(vec![package]), &|_| {})
    }

    /// What is in the store, but for its locks.
    fn left(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".importing" && name != ".publishing")
            .collect();
        names.sort();
        names
    }
}

/// The error and its causes, as they are told.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[test]
fn packages_of_every_compression_are_taken_in() {
    let data = tar(&kernel_files(RELEASE));
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&data).unwrap();
    for (member, data) in [
        ("data.tar", data.clone()),
        ("data.tar.gz", gzip(&data)),
        ("data.tar.xz", xz.finish().unwrap()),
        (
            "data.tar.zst",
            zstd::encode_all(data.as_slice(), 1).unwrap(),
        ),
    ] {
        let place = Place::new();
        let kernel = place.import(&deb(member, &data)).unwrap();
        assert_eq!(kernel.release, RELEASE);
        assert_eq!(place.store().list().unwrap(), [kernel]);
        assert_eq!(place.left(), [RELEASE]);
    }
}

#[test]
fn damaged_and_cut_off_packages_are_refused_and_leave_nothing() {
    let whole = deb("data.tar.gz", &gzip(&tar(&kernel_files(RELEASE))));
    let place = Place::new();
    for (package, expected) in [
        (Vec::new(), "it is empty"),
        (b"#!/bin/sh\n".to_vec(), "it does not begin as one"),
        (whole[..150].to_vec(), "it has no data.tar"),
        (whole[..whole.len() - 30].to_vec(), "it is cut off"),
        (
            deb("data.tar.lzma", b"?"),
            "data.tar.lzma is compressed in an unknown way",
        ),
        (deb("data.tar.gz", b"damaged"), "cannot unpack"),
        (deb("data.tar.xz", b"damaged"), "cannot unpack"),
        (deb("data.tar.zst", b"damaged"), "cannot unpack"),
    ] {
        let error = place.import(&package).unwrap_err();
        let text = told(&error);
        assert!(
            text.contains(expected) && text.contains("linux-image.deb"),
            "{text}"
        );
    }
    assert!(place.left().is_empty(), "{:?}", place.left());
}

#[test]
fn a_package_cannot_write_outside() {
    for name in [
        "../lib/modules/x/kernel/evil.ko",
        "/boot/vmlinuz-evil",
        "boot/../../evil",
    ] {
        let place = Place::new();
        let data = tar(&[(name.to_owned(), b"evil".to_vec())]);
        let text = told(&place.import(&deb("data.tar", &data)).unwrap_err());
        assert!(text.contains("leads out of the package"), "{text}");
        assert!(place.left().is_empty());
    }
}

#[test]
fn a_link_is_no_kernel_and_no_module() {
    for name in ["boot/vmlinuz-6.1", "lib/modules/6.1/kernel/overlay.ko"] {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, name, "/etc/shadow").unwrap();
        let place = Place::new();
        let package = deb("data.tar", &tar.into_inner().unwrap());
        let text = told(&place.import(&package).unwrap_err());
        assert!(
            text.contains(name) && text.contains("it is no file"),
            "{text}"
        );
    }
}

#[test]
fn a_package_without_a_kernel_or_without_modules_is_named() {
    let place = Place::new();
    let kernel = kernel_files(RELEASE)[..1].to_vec();
    for files in [
        kernel,
        vec![("usr/bin/hello".to_owned(), b"hello".to_vec())],
    ] {
        let error = place.import(&deb("data.tar", &tar(&files))).unwrap_err();
        assert!(matches!(error, Error::NoKernelInPackages { .. }), "{error}");
        assert!(error.to_string().contains("linux-image.deb"), "{error}");
    }
    assert!(place.left().is_empty());
}

#[test]
fn a_kernel_and_its_modules_may_come_in_two_packages() {
    let place = Place::new();
    let files = kernel_files(RELEASE);
    let kernel = place.file("image.deb", &deb("data.tar", &tar(&files[..1])));
    let modules = place.file("modules.deb", &deb("data.tar", &tar(&files[1..])));
    let source = Source::Deb(vec![kernel, modules]);
    assert_eq!(
        place.store().import(source, &|_| {}).unwrap().release,
        RELEASE
    );
}

#[test]
fn the_newest_kernel_of_a_package_is_taken_by_its_number() {
    let mut files = kernel_files("6.1.0-9-cloud");
    files.extend(kernel_files("6.1.0-10-cloud"));
    let place = Place::new();
    let kernel = place.import(&deb("data.tar", &tar(&files))).unwrap();
    assert_eq!(kernel.release, "6.1.0-10-cloud");
}

#[test]
fn kernels_are_listed_by_number_and_the_last_one_taken_in_is_booted() {
    let place = Place::new();
    for release in ["6.1.0-10-cloud", "6.1.0-9-cloud"] {
        place
            .import(&deb("data.tar", &tar(&kernel_files(release))))
            .unwrap();
    }
    let releases: Vec<_> = place
        .store()
        .list()
        .unwrap()
        .into_iter()
        .map(|it| it.release)
        .collect();
    assert_eq!(releases, ["6.1.0-9-cloud", "6.1.0-10-cloud"]);
    assert_eq!(
        place.store().latest().unwrap().unwrap().release,
        "6.1.0-9-cloud"
    );
    place.store().remove("6.1.0-9-cloud").unwrap();
    assert_eq!(place.left(), ["6.1.0-10-cloud"]);
    assert!(matches!(
        place.store().remove("6.1.0-9-cloud"),
        Err(Error::NoSuchKernel { .. })
    ));
}

#[test]
fn modules_of_another_release_are_refused_by_name() {
    let place = Place::new();
    let modules = place.folder.path().join("modules");
    fs::create_dir_all(modules.join("kernel")).unwrap();
    fs::write(
        modules.join("modules.builtin"),
        BUILT_IN.replace("kernel/fs/overlayfs/overlay.ko", ""),
    )
    .unwrap();
    fs::write(modules.join("kernel/overlay.ko"), module("6.1.0-9-cloud")).unwrap();
    let import = |release: &str| {
        let vmlinuz = place.file("vmlinuz", &vmlinux(release));
        let modules = modules.clone();
        place
            .store()
            .import(Source::Files { vmlinuz, modules }, &|_| {})
    };
    let text = told(&import(RELEASE).unwrap_err());
    assert!(
        text.contains("6.1.0-10-cloud") && text.contains("6.1.0-9-cloud"),
        "{text}"
    );
    assert!(place.left().is_empty());
    assert_eq!(import("6.1.0-9-cloud").unwrap().release, "6.1.0-9-cloud");
}

#[test]
fn what_a_killed_import_left_is_swept_but_not_what_a_live_one_makes() {
    let place = Place::new();
    let package = deb("data.tar", &tar(&kernel_files(RELEASE)));
    let left = place.folder().join(".import-killed/root");
    fs::create_dir_all(&left).unwrap();
    // Opened while an import is under way, the store leaves both alone.
    let during = |_: &str| {
        place.store();
        assert_eq!(
            place
                .left()
                .iter()
                .filter(|it| it.starts_with(".import-"))
                .count(),
            2
        );
    };
    let path = place.file("linux-image.deb", &package);
    let store = KernelStore::open(&place.folder()).unwrap();
    fs::create_dir_all(&left).unwrap();
    store.import(Source::Deb(vec![path]), &during).unwrap();
    assert!(left.exists());
    place.store();
    assert_eq!(place.left(), [RELEASE]);
}

#[test]
fn imports_at_the_same_time_do_not_damage_each_other() {
    let place = Place::new();
    let package = place.file(
        "linux-image.deb",
        &deb("data.tar", &tar(&kernel_files(RELEASE))),
    );
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let source = Source::Deb(vec![package.clone()]);
                    let kernel = place.store().import(source, &|_| {}).unwrap();
                    whole(&kernel);
                }
            });
        }
    });
    whole(&place.store().latest().unwrap().unwrap());
    assert_eq!(place.left(), [RELEASE]);
}

/// At no moment is a kernel of the store missing, or half of one.
fn whole(kernel: &Kernel) {
    for path in [&kernel.vmlinux, &kernel.initramfs] {
        let size = File::open(path).unwrap().metadata().unwrap().len();
        assert!(size > 0, "{}", Path::display(path));
    }
}
