//! The manifests of `configs/knative_workloads`, applied as they are written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::look::eventually;
use crate::machine::{Machine, said};
use crate::site;

/// Stands for Node.js: serves its page on the port it is given, if it is called as the manifest says.
const NODE: &str = r#"#!/bin/busybox sh
[ "$1" = -e ] || exit 1
case "$2" in *createServer*) ;; *) exit 1 ;; esac
exec busybox httpd -f -p "$PORT" -h /www
"#;

pub(crate) fn manifest(name: &str) -> String {
    let folder = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../configs/knative_workloads"
    ));
    folder.join(name).to_string_lossy().into_owned()
}

fn build_node(machine: &Machine) {
    let root = machine.folder().join("node");
    for folder in ["bin", "www"] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    fs::copy(site::busybox(), root.join("bin/busybox")).expect("busybox");
    fs::write(root.join("www/index.html"), "Hello, World!").expect("a page");
    let node = root.join("bin/node");
    fs::write(&node, NODE).expect("a script");
    fs::set_permissions(&node, fs::Permissions::from_mode(0o755)).expect("a program");
    let name = "ghcr.io/stargz-containers/node:17.8.0-esgz";
    machine.ok(&["image", "build", name, "--folder", &root.to_string_lossy()]);
}

#[test]
fn the_workloads_are_deployed_by_their_manifests_as_written() {
    let mut machine = Machine::new();
    machine.up();
    let absent = machine.run(&["apply", "-f", &manifest("rnn_serving.yaml")]);
    assert_eq!(absent.status.code(), Some(1), "{}", said(&absent));
    for words in [
        "dev.local/rnn_serving:latest",
        "vhive image import",
        "vhive image build",
    ] {
        assert!(said(&absent).contains(words), "{words}: {}", said(&absent));
    }

    // An image that is here under the name is what counts; these stand for those that are not built here.
    machine.build_helloworld();
    machine.ok(&[
        "image",
        "tag",
        "dev.local/helloworld",
        "dev.local/rnn_serving",
    ]);
    build_node(&machine);
    eventually("the image that was missing", || {
        let again = machine.run(&["apply", "-f", &manifest("rnn_serving.yaml")]);
        again.status.success()
    });
    for file in ["helloworld.yaml", "stargz-node.yaml"] {
        let applied = machine.run(&["apply", "-f", &manifest(file)]);
        assert!(applied.status.success(), "{file}: {}", said(&applied));
    }
    // One manifest, many names.
    machine.ok(&["apply", "another", "-f", &manifest("helloworld.yaml")]);
    for (service, answer) in [
        ("helloworld", "Hello, world!"),
        ("another", "Hello, world!"),
        ("rnn-serving", "Hello, world!"),
        ("stargz-node", "Hello, World!"),
    ] {
        let said = machine.ok(&["invoke", service]);
        assert!(said.starts_with(answer), "{service}: {said}");
    }
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}
