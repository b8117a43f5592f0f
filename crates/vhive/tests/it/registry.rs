//! Images from elsewhere: through a registry, and out of what `docker save` writes.

use image::Digest;
use serde_json::json;
use tar::{Builder, Header};
use testkit::registry::Registry;

use crate::machine::{Machine, said};

const GRPC: &str =
    "ports: [{name: h2c, containerPort: 50051}], resources: {limits: {memory: 128Mi}}";

fn add(tar: &mut Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content)
        .expect("a tar in memory");
}

/// What `docker save` writes of an image of one program.
fn docker_save(name: &str, program: &[u8]) -> Vec<u8> {
    let mut layer = Builder::new(Vec::new());
    add(&mut layer, "function", 0o755, program);
    let layer = layer.into_inner().expect("a tar in memory");
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/function"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    let mut archive = Builder::new(Vec::new());
    add(&mut archive, "layer.tar", 0o644, &layer);
    add(
        &mut archive,
        "config.json",
        0o644,
        config.to_string().as_bytes(),
    );
    add(
        &mut archive,
        "manifest.json",
        0o644,
        manifest.to_string().as_bytes(),
    );
    archive.into_inner().expect("a tar in memory")
}

#[test]
fn an_image_goes_through_a_registry_and_comes_out_of_docker_save() {
    let registry = Registry::start(&[], "").expect("a registry");
    let name = format!("{}/team/hello:v1", registry.address());
    let mut machine = Machine::new();
    machine.build_helloworld();
    let tagged = machine.ok(&["image", "tag", "dev.local/helloworld", &name]);
    assert_eq!(machine.ok(&["image", "push", &name]), tagged);
    let forget = || {
        machine.ok(&["image", "rm", &name]);
        machine.ok(&["image", "gc"]);
        assert_eq!(
            machine.ok(&["image", "ls"]).lines().count(),
            1,
            "only the header"
        );
    };
    machine.ok(&["image", "rm", "dev.local/helloworld"]);
    forget();
    assert_eq!(machine.ok(&["image", "pull", &name]), tagged);
    forget();

    let unknown = format!("{}/team/hello:v2", registry.address());
    for (arguments, code) in [
        (["image", "pull", &unknown], 3),
        (["image", "push", &unknown], 3),
        (["image", "rm", &unknown], 3),
        (["image", "pull", "dev.local/helloworld"], 1),
        (["image", "pull", "no:name:at:all"], 2),
    ] {
        let output = machine.run(&arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            said(&output)
        );
    }

    let archive = machine.folder().join("saved.tar");
    let program = std::fs::read(env!("VHIVE_HELLOWORLD")).expect("built before");
    let saved = docker_save("dev.local/saved:v1", &program);
    std::fs::write(&archive, saved).expect("an archive");
    assert_eq!(
        machine.ok(&["image", "import", &archive.to_string_lossy()]),
        "dev.local/saved:v1\n"
    );

    machine.up();
    // The node pulls what is not here by itself.
    for (service, image) in [("pulled", name.as_str()), ("saved", "dev.local/saved:v1")] {
        let applied = machine.apply(service, &format!("image: '{image}', {GRPC}"), "");
        assert!(applied.status.success(), "{service}: {}", said(&applied));
        assert!(
            machine
                .ok(&["invoke", service])
                .starts_with("Hello, world!"),
            "{service}"
        );
    }
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}
