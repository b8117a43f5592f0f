//! Real programs: Debian's apt and dpkg put real packages into a world of its own, and the real containerd, runc, runsc and CNI
//! plugins run there as they were set up. Only what is published elsewhere comes from a stand-in for curl, with Debian's binaries in it.

use std::fs;
use std::path::Path;

use setup::checksum::sha256;
use setup::plan::{Fetch, Plan, Published};
use setup::verb::{Sandbox, Verb};

use crate::plans;
use crate::world::{World, archive};

/// What the test puts at an address: Debian's files in the place of those that are published.
fn publish(world: &World, fetch: &Fetch, from: &dyn Fn(&Path) -> String) {
    let file = |to: &Path| {
        let path = world.path(&from(to));
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let content = if fetch.files.iter().all(|file| file.member.is_none()) {
        file(&fetch.files[0].to)
    } else {
        let files = fetch.files.iter().map(|wanted| {
            (
                wanted.member.as_deref().unwrap_or_default(),
                file(&wanted.to),
            )
        });
        archive(&files.collect::<Vec<_>>())
    };
    if let Published::At(list) = &fetch.published {
        // As it is published alone, without a name.
        let digest = if list.ends_with("sha512") {
            sha512(world, &content)
        } else {
            sha256(&content)
        };
        world.serve(list, format!("{digest}\n").as_bytes());
    }
    world.serve(&fetch.url, &content);
}

fn sha512(world: &World, content: &[u8]) -> String {
    fs::write(world.path("/content"), content).expect("written");
    let output = world.shell("sha512sum /content");
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn said(world: &World, line: &str) -> String {
    let output = world.shell(line);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{line}: {text}");
    text
}

#[test]
fn a_node_is_set_up_with_real_packages_and_its_runtimes_run() {
    // There is no systemd in the world, and its kernel is everybody's.
    let world = World::connected(&[
        "systemctl",
        "curl",
        "modprobe",
        "sysctl",
        "swapon",
        "swapoff",
    ]);
    said(
        &world,
        "apt-get update -qq && cd /tmp && mkdir /debs && cd /debs && apt-get -o APT::Sandbox::User=root download -qq containerd runc containernetworking-plugins runsc && for deb in *.deb; do dpkg-deb -x $deb /debian; done",
    );
    let plan = |verb| {
        plans::plan(verb, Sandbox::Gvisor, &plans::debian(), &plans::options()).expect("it is one")
    };
    let debian = |to: &Path| {
        let name = to
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match (name.as_str(), to.parent()) {
            ("runc", _) => "/debian/usr/sbin/runc".to_owned(),
            (_, Some(folder)) if folder == Path::new("/opt/cni/bin") => {
                format!("/debian/usr/lib/cni/{name}")
            }
            _ => format!("/debian/usr/bin/{name}"),
        }
    };
    let plans: Vec<Plan> = vec![plan(Verb::InstallStock), plan(Verb::SetupGvisorRuntime)];
    for fetch in plans.iter().flat_map(Plan::fetches) {
        let to = fetch.files[0].to.to_string_lossy().into_owned();
        // Debian has no shim for runsc apart, nor kn.
        match to.as_str() {
            "/usr/local/bin/kn" | "/usr/local/bin/containerd-shim-runsc-v1" => {
                publish(&world, fetch, &|_| "/bin/true".to_owned());
            }
            to if to.starts_with("/etc/apt/keyrings") => {}
            _ => publish(&world, fetch, &debian),
        }
    }
    let address = "--node-ip 10.9.9.1";
    world.set_up(&format!("install_stock {address} --until containerd/unit"));
    world.set_up(&format!("install_stock {address} --from cni/plugins"));
    world.set_up(&format!("setup_gvisor_runtime {address}"));

    // The real containerd reads what was written for it, and what the component added.
    let config = said(&world, "/usr/local/bin/containerd config dump");
    assert!(config.contains("SystemdCgroup = true"), "{config}");
    assert!(
        config.contains("[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runsc]"),
        "{config}"
    );
    assert!(config.contains("bin_dir = \"/opt/cni/bin\""), "{config}");
    // It starts with it, and answers.
    let ctr = "containerd >/containerd.log 2>&1 & pid=$!; for try in $(seq 300); do ctr version >/version 2>/dev/null && break; sleep 0.1; done; cat /version; kill $pid; wait $pid; true";
    let version = said(&world, &format!("PATH=/usr/local/bin:$PATH; {ctr}"));
    assert!(
        version.contains("Server:"),
        "{version}{}",
        said(&world, "cat /containerd.log")
    );
    assert!(said(&world, "/usr/local/sbin/runc --version").starts_with("runc version"));
    assert!(said(&world, "/usr/local/bin/runsc --version").starts_with("runsc version"));
    let plugin = said(
        &world,
        "echo '{}' | CNI_COMMAND=VERSION /opt/cni/bin/bridge",
    );
    assert!(plugin.contains("supportedVersions"), "{plugin}");
    // dpkg says that the packages are there, and a second run that all is.
    assert!(said(&world, "dpkg-query -W -f '${db:Status-Abbrev}' conntrack").starts_with("ii"));
    let again = world.set_up(&format!("setup_gvisor_runtime {address}"));
    assert!(again.contains("nothing had to be changed"), "{again}");
    // Undone, dpkg has them no more.
    world.set_up("clean");
    assert!(
        !world
            .shell("dpkg-query -W -f '${db:Status-Abbrev}' conntrack | grep ^ii")
            .status
            .success()
    );
    assert!(!world.path("/usr/local/bin/containerd").exists());
}
