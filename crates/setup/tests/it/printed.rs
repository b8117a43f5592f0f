//! Every plan as a dry run prints it, on a host on which nothing was done yet.
//!
//! A step is printed where it comes first, and named afterwards. After a change that is meant, `INSTA_UPDATE=always cargo test -p
//! setup printed` writes them anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use setup::dry_run::{self, View};
use setup::facts::{Architecture, KNOWN};
use setup::plan::{Action, Plan};
use setup::verb::Verb;

use crate::plans;

const FSTAB: &str = "/dev/vda / ext4 defaults 0 1\n/swapfile none swap sw 0 0\n";

fn text(step: &setup::plan::Step) -> String {
    let view = View {
        file: &|path| (path == Path::new("/etc/fstab")).then(|| FSTAB.to_owned()),
        holds: &|_| false,
    };
    dry_run::step(step, &view)
}

#[test]
fn every_verb_with_every_sandbox_on_every_distribution() {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut pages: BTreeMap<String, String> = BTreeMap::new();
    for plan in plans::all(&plans::debian()) {
        let page = pages.entry(plan.verb.name()).or_default();
        let _ = writeln!(page, "# {}, Debian 12, amd64", plan.title);
        for note in &plan.notes {
            let _ = writeln!(page, "{note}");
        }
        for step in plan.steps() {
            let text = text(step);
            if let Some(first) = seen.get(&text) {
                let _ = writeln!(page, "{} (as in {first})", step.name);
            } else {
                page.push_str(&text);
                seen.insert(text, plan.title.clone());
            }
        }
        elsewhere(page, &plan);
        page.push('\n');
    }
    for (verb, page) in pages {
        insta::assert_snapshot!(verb, page);
    }
}

/// What is different on other hosts.
fn elsewhere(page: &mut String, plan: &Plan) {
    let here: Vec<String> = plan.steps().map(text).collect();
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (family, release) in KNOWN {
        for architecture in [Architecture::Amd64, Architecture::Arm64] {
            let host = format!("{family:?} {release} {}", architecture.debian());
            let others = plans::all(&plans::facts(family, release, architecture));
            let mut difference = String::new();
            match others.iter().find(|other| other.title == plan.title) {
                None => difference.push_str("refused\n"),
                Some(other) => {
                    let there: Vec<String> = other.steps().map(text).collect();
                    for step in here.iter().filter(|step| !there.contains(step)) {
                        let _ = writeln!(
                            difference,
                            "without {}",
                            step.lines().next().unwrap_or_default()
                        );
                    }
                    for step in there.iter().filter(|step| !here.contains(step)) {
                        difference.push_str(step);
                    }
                }
            }
            told.entry(difference).or_default().push(host);
        }
    }
    for (difference, hosts) in told {
        let _ = write!(
            page,
            "--- {}: {}",
            hosts.join(", "),
            if difference.is_empty() {
                "the same\n"
            } else {
                "\n"
            }
        );
        page.push_str(&difference);
    }
}

#[test]
fn the_needs_of_a_component_come_before_it_and_its_steps_have_names_of_their_own() {
    for (family, release) in KNOWN {
        for plan in plans::all(&plans::facts(family, release, Architecture::Amd64)) {
            let names: Vec<&str> = plan
                .components
                .iter()
                .map(|component| component.name)
                .collect();
            for (at, component) in plan.components.iter().enumerate() {
                for need in component.needs {
                    let before = names.iter().position(|name| name == need);
                    assert!(
                        before.is_none_or(|before| before < at),
                        "{}: {} needs {need}",
                        plan.title,
                        component.name
                    );
                }
            }
            let mut steps: Vec<&str> = plan.steps().map(|step| step.name.as_str()).collect();
            let all = steps.len();
            steps.sort_unstable();
            steps.dedup();
            assert_eq!(steps.len(), all, "{}: a name is used twice", plan.title);
        }
    }
}

#[test]
fn every_plan_of_the_seed_is_there() {
    let names: Vec<String> = Verb::plans().map(Verb::name).collect();
    for name in [
        "create_multinode_cluster",
        "create_one_node_cluster",
        "prepare_one_node_cluster",
        "setup_master_node",
        "setup_worker_kubelet",
        "setup_node",
        "start_onenode_vhive_cluster",
        "setup_nvidia_gpu",
        "setup_zipkin",
        "setup_system",
        "setup_gvisor_runtime",
        "setup_firecracker_containerd",
        "setup_stargz",
        "install_stock",
        "install_pmutools",
        "create_docker_image",
        "create_devmapper",
        "clean_fcctr",
    ] {
        assert!(names.contains(&name.to_owned()), "{name}");
    }
}

#[test]
fn packages_have_no_spaces_and_files_are_named_from_the_root() {
    for plan in plans::all(&plans::debian()) {
        for step in plan.steps() {
            match &step.action {
                Action::Write { path, .. } => assert!(path.is_absolute(), "{}", step.name),
                Action::Packages { names, .. } => {
                    assert!(
                        names.iter().all(|name| !name.contains(' ')),
                        "{}",
                        step.name
                    );
                }
                _ => {}
            }
        }
    }
}
