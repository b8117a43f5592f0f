//! The stock containerd: all that is not a function runs in it.

use std::fmt::Write as _;

use crate::config::fill;
use crate::plan::{Action, Component, Fetch, Fetched, Published, Step, Target};

const CONFIG: &str = "/etc/containerd/config.toml";
/// Components add their part of the configuration here. Their files are joined to one: containerd's own `imports` replace, in some
/// versions, all that the file before said of a plugin.
const PARTS: &str = "/etc/containerd/parts.d";
const UNIT: &str = "containerd.service";
const UNIT_FILE: &str = "/etc/systemd/system/containerd.service";
const PROXY: &str = "/etc/systemd/system/containerd.service.d/proxy.conf";

pub(super) fn component(target: &Target) -> Component {
    let mut steps = vec![
        binaries(target),
        base("containerd/part"),
        joined("containerd/config"),
        Step::new(
            "containerd/unit-file",
            "it starts with the machine, and after a crash",
            Action::Write {
                path: UNIT_FILE.into(),
                content: include_str!("../../../../configs/systemd/containerd.service").to_owned(),
                mode: 0o644,
            },
        ),
    ];
    if let Some(content) = proxy(target) {
        steps.push(Step::new(
            "containerd/proxy",
            "images are pulled through the proxy that this was run with",
            Action::Write {
                path: PROXY.into(),
                content,
                mode: 0o600,
            },
        ));
    }
    steps.push(unit());
    super::component("containerd", &["packages", "stock-packages", "runc"], steps)
}

/// That it runs, alone.
pub(super) fn running() -> Component {
    super::component("containerd", &["reset"], vec![unit()])
}

fn unit() -> Step {
    Step::new(
        "containerd/unit",
        "it runs, and has read its configuration",
        Action::Unit {
            name: UNIT,
            reads: vec![CONFIG.into(), UNIT_FILE.into(), PROXY.into()],
        },
    )
}

/// A part of the configuration.
fn part(step: &'static str, why: &'static str, file: &str, content: &str) -> Step {
    Step::new(
        step,
        why,
        Action::Write {
            path: format!("{PARTS}/{file}").into(),
            content: content.to_owned(),
            mode: 0o644,
        },
    )
}

fn joined(step: &'static str) -> Step {
    Step::new(
        step,
        "containerd reads one file",
        Action::Join {
            folder: PARTS.into(),
            to: CONFIG.into(),
        },
    )
}

/// The part that all others add to.
fn base(step: &'static str) -> Step {
    part(
        step,
        "cgroups by systemd, as the kubelet does it",
        "00-base.toml",
        include_str!("../../../../configs/containerd/config.toml"),
    )
}

/// A part of the configuration that a component adds, until containerd has read it. The steps are named by the caller.
pub(super) fn with_part(
    steps: [&'static str; 4],
    why: &'static str,
    file: &str,
    content: &str,
) -> [Step; 4] {
    let reread = Step {
        name: steps[3].to_owned(),
        ..unit()
    };
    [
        base(steps[0]),
        part(steps[1], why, file, content),
        joined(steps[2]),
        reread,
    ]
}

fn binaries(target: &Target) -> Step {
    let system = &target.config.system;
    let version = system.containerd_version.as_str();
    let arch = target.facts.architecture.debian();
    let url = fill(
        &system.containerd_download_url_template,
        &[version, version, arch],
    );
    let files = ["containerd", "containerd-shim-runc-v2", "ctr"];
    Step::new(
        "containerd/binaries",
        "the kubelet's runtime; the distribution's is older than Kubernetes asks for",
        Action::Fetch(Fetch {
            published: Published::At(format!("{url}.sha256sum")),
            url,
            files: files
                .iter()
                .map(|name| Fetched {
                    member: Some(format!("bin/{name}")),
                    to: format!("/usr/local/bin/{name}").into(),
                    mode: 0o755,
                })
                .collect(),
        }),
    )
}

/// A drop-in with the proxies of whoever asked.
fn proxy(target: &Target) -> Option<String> {
    let proxies = &target.facts.proxies;
    if proxies.is_empty() {
        return None;
    }
    let mut content = "# Written by vhive setup.\n[Service]\n".to_owned();
    for (name, value) in proxies {
        let mut value = value.clone();
        if name.eq_ignore_ascii_case("no_proxy") {
            // What is inside the cluster is not outside.
            let inside = [
                ".svc",
                ".cluster.local",
                &target.config.kube.pod_network_cidr,
            ];
            for inside in inside {
                value.push(',');
                value.push_str(inside);
            }
        }
        // systemd.unit(5): a percent sign begins a specifier.
        let value = value.replace('%', "%%");
        let _ = writeln!(content, "Environment=\"{name}={value}\"");
    }
    Some(content)
}
