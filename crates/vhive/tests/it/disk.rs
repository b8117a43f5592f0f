//! A disk without space: what does not fit is refused by name, nothing half-written stays, and with room all goes on.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::look::eventually;
use crate::machine::{KERNEL_LOCK, Machine, said};
use crate::{AT_ZERO, HELLO};

/// Takes all space there is, until the file is removed.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("a file");
    let chunk = [0x5a; 4096];
    while file.write_all(&chunk).is_ok() {}
}

/// A folder elsewhere with a file that does not become smaller by compression.
fn noise(bytes: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut random = File::open("/dev/urandom")
        .expect("random bytes")
        .take(bytes);
    let mut file = File::create(folder.path().join("noise")).expect("a file");
    std::io::copy(&mut random, &mut file).expect("a large file");
    folder
}

/// A package of a kernel that is as large as `content` (deb(5)).
fn package(folder: &Path, content: &[u8]) -> PathBuf {
    let mut data = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    data.append_data(&mut header, "boot/vmlinuz-6.1.0-test", content)
        .expect("a tar");
    let data = data.into_inner().expect("a tar");
    let path = folder.join("linux-image.deb");
    let mut file = File::create(&path).expect("a file");
    let head = format!(
        "{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
        "data.tar",
        0,
        0,
        0,
        100_644,
        data.len()
    );
    file.write_all(b"!<arch>\n").expect("written");
    file.write_all(head.as_bytes()).expect("written");
    file.write_all(&data).expect("written");
    path
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[test]
fn what_does_not_fit_on_the_disk_is_refused_by_name_and_nothing_of_it_stays() {
    let machine = Machine::on_a_disk_of(12);
    machine.build_helloworld();
    let before = machine.ok(&["image", "ls"]);
    let noise = noise(16 << 20);
    let folder = noise.path().to_string_lossy().into_owned();
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let archive = elsewhere
        .path()
        .join("image.tar")
        .to_string_lossy()
        .into_owned();
    let other = elsewhere.path().join("data").to_string_lossy().into_owned();
    machine.ok(&[
        "image",
        "build",
        "dev.local/large",
        "--folder",
        &folder,
        "--data-dir",
        &other,
    ]);
    machine.ok(&[
        "image",
        "export",
        "dev.local/large",
        "-o",
        &archive,
        "--data-dir",
        &other,
    ]);
    let content = fs::read(noise.path().join("noise")).expect("readable");
    let package = package(elsewhere.path(), &content)
        .to_string_lossy()
        .into_owned();
    let kernels = machine
        .folder()
        .join("other")
        .to_string_lossy()
        .into_owned();

    let refused: [(&str, Vec<&str>); 3] = [
        (
            "build",
            vec!["image", "build", "dev.local/large", "--folder", &folder],
        ),
        ("image import", vec!["image", "import", &archive]),
        (
            "kernel import",
            vec!["kernel", "import", &package, "--data-dir", &kernels],
        ),
    ];
    for (name, arguments) in refused {
        let output = machine.run(&arguments);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {text}");
        assert!(text.contains("No space left on device"), "{name}: {text}");
        assert!(text.contains("next: make room there"), "{name}: {text}");
    }
    assert_eq!(machine.ok(&["image", "ls"]), before);
    let images = machine.data_dir().join("images");
    assert_eq!(files(&images.join("tmp")), Vec::<PathBuf>::new());
    let mut left = files(&machine.folder().join("other/kernels"));
    left.retain(|file| !file.ends_with(KERNEL_LOCK));
    assert_eq!(left, Vec::<PathBuf>::new());
    machine.ok(&["image", "gc"]);
    assert_eq!(
        files(&images.join("blobs/sha256")).len(),
        3,
        "only what the small image needs"
    );
    assert_eq!(machine.ok(&["image", "ls"]), before);
}

#[test]
fn a_node_on_a_full_disk_says_so_and_works_again_once_there_is_room() {
    let mut machine = Machine::on_a_disk_of(16);
    machine.build_helloworld();
    machine.up();
    let applied = machine.apply("sleeping", HELLO, AT_ZERO);
    assert!(applied.status.success(), "{}", said(&applied));
    // Larger than any room that the store may have left in its file.
    let manifest = tempfile::NamedTempFile::new().expect("a file");
    let long = "x".repeat(200_000);
    let text = format!(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: late, annotations: {{long: {long}}}}}\nspec: {{template: {{spec: {{containers: [{{{HELLO}}}]}}}}}}\n"
    );
    fs::write(manifest.path(), text).expect("a manifest");
    let manifest = manifest.path().to_string_lossy().into_owned();
    let ballast = machine.folder().join("ballast");
    fill(&ballast);

    let refused = machine.run(&["apply", "-f", &manifest]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(
        said(&refused).contains("no space left for the store"),
        "{}",
        said(&refused)
    );
    assert!(said(&refused).contains("make room"), "{}", said(&refused));
    let absent = machine.run(&["get", "services", "late"]);
    assert_eq!(absent.status.code(), Some(3), "{}", said(&absent));
    let called = machine.run(&["invoke", "sleeping"]);
    assert_eq!(called.status.code(), Some(1), "{}", said(&called));
    assert!(
        said(&called).contains("No space left on device"),
        "{}",
        said(&called)
    );

    fs::remove_file(&ballast).expect("removed");
    let applied = machine.run(&["apply", "-f", &manifest]);
    assert!(applied.status.success(), "{}", said(&applied));
    for name in ["late", "sleeping"] {
        eventually("the next try", || {
            machine.run(&["invoke", name]).status.success()
        });
    }
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}
