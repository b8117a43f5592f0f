//! The real engine, in worlds where every program is stood in for.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use setup::plan::{Options, Plan};
use setup::verb::Verb;

use crate::plans;
use crate::world::{DEBIAN, FOLDER, UBUNTU, World};

/// What is set up on nodes of all kinds.
const SEQUENCES: [&[&str]; 4] = [
    &[
        "setup_node firecracker",
        "create_one_node_cluster firecracker",
        "setup_zipkin",
        "clean_fcctr",
    ],
    &[
        "setup_node gvisor",
        "create_multinode_cluster gvisor --nftables",
    ],
    &[
        "setup_node stock-only use-stargz",
        "create_multinode_cluster stock-only --kourier",
        "setup_nvidia_gpu",
    ],
    &[
        "setup_system",
        "install_stock",
        "install_pmutools",
        "setup_worker_kubelet stock-only",
        "join_cluster stock-only --master-key /key.yaml",
    ],
];

const KEY: &str = "ApiserverAdvertiseAddress: 10.9.9.1\nApiserverPort: 6443\nApiserverToken: abcdef.0123456789abcdef\nApiserverTokenHash: sha256:0011\n";

/// A world in which everything that any verb downloads can be had.
pub(crate) fn world(os_release: &str) -> World {
    let world = World::new(os_release);
    let mut all = plans::all(&plans::debian());
    let kourier = Options {
        kourier: true,
        ..plans::options()
    };
    all.extend(plans::plan(
        Verb::SetupMasterNode,
        setup::verb::Sandbox::StockOnly,
        &plans::debian(),
        &kourier,
    ));
    world.publish(all.iter().flat_map(Plan::fetches));
    fs::write(world.path("/key.yaml"), KEY).expect("written");
    world
}

/// What set-up is answerable for: not what the kernel keeps until it is started again.
fn lasting(world: &World) -> BTreeMap<PathBuf, String> {
    let kernel = [
        "standin-state/sysctl",
        "standin-state/kernel",
        "standin-state/universe",
        "sys/module",
        "usr/local/pmu-tools",
    ];
    let mut changes = world.changes();
    changes.retain(|path, _| !kernel.iter().any(|kernel| path.starts_with(kernel)));
    changes
}

/// That both worlds are the same, or in what they differ.
fn assert_same(
    found: &BTreeMap<PathBuf, String>,
    expected: &BTreeMap<PathBuf, String>,
    what: &str,
) {
    let differ = |a: &BTreeMap<PathBuf, String>, b: &BTreeMap<PathBuf, String>| -> Vec<String> {
        let differ = a
            .iter()
            .filter(|(path, found)| b.get(*path) != Some(*found));
        differ
            .map(|(path, found)| format!("{}: {found}", path.display()))
            .collect()
    };
    let (more, less) = (differ(found, expected), differ(expected, found));
    assert!(
        more.is_empty() && less.is_empty(),
        "{what}: found {more:#?} in the place of {less:#?}"
    );
}

/// Runs a line until it succeeds, and counts how often it did not.
fn insist(world: &World, line: &str) -> usize {
    for failures in 0.. {
        let output = world.setup(line);
        if output.status.success() {
            return failures;
        }
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        for part in ["error: ", "\n  because: ", "\n  next: see "] {
            assert!(said.contains(part), "{line}: {part:?} is missing in {said}");
        }
        assert!(failures < 300, "{line} never succeeds: {said}");
    }
    unreachable!("it ends by success or by failing too often")
}

#[test]
fn whatever_fails_once_the_next_run_goes_on_and_ends_where_one_that_nothing_failed_in_does() {
    for sequence in SEQUENCES {
        let (smooth, rough) = (world(DEBIAN), world(DEBIAN));
        rough.fail_once();
        let mut failures = 0;
        for line in sequence {
            smooth.set_up(line);
            failures += insist(&rough, line);
        }
        assert!(
            failures > 20,
            "{sequence:?}: only {failures} runs were made to fail"
        );
        assert_same(
            &rough.changes(),
            &smooth.changes(),
            &format!("{sequence:?}"),
        );
    }
}

#[test]
fn a_second_run_changes_nothing_and_all_of_it_is_undone() {
    for (sequence, os_release) in SEQUENCES.iter().zip([DEBIAN, UBUNTU, UBUNTU, DEBIAN]) {
        let world = world(os_release);
        let before = lasting(&world);
        for line in *sequence {
            world.set_up(line);
        }
        let first = world.changes();
        for line in *sequence {
            let said = world.set_up(line);
            assert!(
                said.contains(": nothing had to be changed"),
                "{line}: {said}"
            );
        }
        assert_same(&world.changes(), &first, &format!("{sequence:?}"));
        world.fail_once();
        insist(&world, "clean");
        assert_same(&lasting(&world), &before, &format!("{sequence:?}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_is_idempotent_and_every_undo_undoes(
        sandbox in prop::sample::select(vec!["stock-only", "gvisor", "firecracker"]),
        ubuntu: bool,
        verbs in prop::sample::subsequence(vec!["setup_system", "setup_node", "setup_worker_kubelet", "prepare_one_node_cluster", "setup_master_node", "setup_stargz"], 1..5).prop_shuffle(),
        flags in prop::sample::subsequence(vec!["--nftables", "--kourier", "--compat"], 0..=3),
        rough: bool,
    ) {
        let world = world(if ubuntu { UBUNTU } else { DEBIAN });
        let before = lasting(&world);
        // A cluster comes before what runs in it; all else may come in any order.
        let mut verbs = verbs;
        if let Some(at) = verbs.iter().position(|verb| *verb == "setup_master_node") {
            verbs.remove(at);
            verbs.extend(["prepare_one_node_cluster", "setup_master_node"]);
        }
        if sandbox == "gvisor" {
            verbs.retain(|verb| *verb != "setup_stargz");
        }
        let lines: Vec<String> = verbs.iter().map(|verb| {
            let sandbox = if *verb == "setup_system" { "" } else { sandbox };
            format!("{verb} {sandbox} {}", flags.join(" "))
        }).collect();
        if rough {
            world.fail_once();
        }
        for line in &lines {
            insist(&world, line);
        }
        if rough {
            world.fail_no_more();
        }
        let first = world.changes();
        for line in &lines {
            let said = world.set_up(line);
            prop_assert!(said.contains(": nothing had to be changed"), "{}: {}", line, said);
        }
        assert_same(&world.changes(), &first, "the second time");
        if rough {
            world.fail_once();
        }
        insist(&world, "clean");
        assert_same(&lasting(&world), &before, "undone");
    }
}

#[test]
fn a_fresh_cluster_takes_the_place_of_the_one_that_was_there() {
    let world = world(DEBIAN);
    world.set_up("setup_node firecracker");
    world.set_up("start_onenode_vhive_cluster firecracker");
    let first = world.changes();
    world.calls();
    world.set_up("start_onenode_vhive_cluster firecracker");
    let calls = world.calls();
    assert!(
        calls
            .iter()
            .any(|call| call.starts_with("kubeadm reset -f")),
        "{calls:?}"
    );
    assert!(
        calls.iter().any(|call| call.starts_with("kubeadm init")),
        "{calls:?}"
    );
    assert_eq!(world.changes(), first);
}

#[test]
fn a_dry_run_changes_nothing_and_shows_only_what_would_change() {
    let world = world(DEBIAN);
    let before = world.changes();
    let output = world.setup("setup_node firecracker --dry-run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("-/swapfile none swap sw 0 0\n+# vhive setup: /swapfile none swap sw 0 0\n"),
        "{text}"
    );
    assert_eq!(world.changes(), before);
    world.set_up("setup_node firecracker");
    let output = world.setup("setup_node firecracker --dry-run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let steps = text.matches("\n## ").count();
    assert_eq!(text.matches("\nalready so\n").count(), steps, "{text}");
}

#[test]
fn workers_join_by_what_the_master_prints_and_writes() {
    let world = world(DEBIAN);
    world.set_up("setup_node stock-only");
    // Nobody is there to answer.
    let tool = env!("CARGO_BIN_EXE_setup_tool");
    let output = world.shell(&format!(
        "cd {FOLDER} && {tool} create_multinode_cluster stock-only"
    ));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    let join = "Join cluster from worker nodes with command: sudo kubeadm join 10.9.9.1:6443 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash sha256:0011";
    assert!(said.contains(join), "{said}");
    assert!(
        said.contains(
            "All nodes need to be joined in the cluster. Have you joined all nodes? (y/n): "
        ),
        "{said}"
    );
    assert!(said.contains("step joined/ask failed\n  because: nobody answered: run it in a terminal, or with --yes once it is so"), "{said}");
    let key = fs::read_to_string(world.path("/node/masterKey.yaml")).expect("it is there");
    assert_eq!(key, KEY);
    world.calls();
    let output = world.shell(&format!(
        "cd {FOLDER} && printf 'n\\nwhat\\ny\\n' | {tool} create_multinode_cluster stock-only"
    ));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("cluster/init: done before"), "{said}");
    assert!(said.contains("Please answer yes or no (y/n): "), "{said}");
    assert!(
        !world
            .calls()
            .iter()
            .any(|call| call.starts_with("kubeadm init"))
    );
    for log in [
        "create_multinode_cluster_common.log",
        "create_multinode_cluster_error.log",
    ] {
        assert!(world.path("/node").join(log).exists(), "{log}");
    }
}

#[test]
fn a_download_that_is_not_what_was_published_is_refused_and_so_is_one_that_has_changed() {
    let world = world(DEBIAN);
    let plan = plans::all(&plans::debian());
    let runc = plan
        .iter()
        .flat_map(Plan::fetches)
        .find(|fetch| fetch.url.contains("/runc."))
        .expect("it is fetched");
    world.serve(&runc.url, b"something else");
    let output = world.setup("setup_node stock-only");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("step runc/binary failed") && said.contains("was published"),
        "{said}"
    );
    assert!(!world.path("/usr/local/sbin/runc").exists());
    world.publish(std::iter::once(runc));
    world.set_up("setup_node stock-only");
    // From now on it is known: what is published no longer counts.
    fs::remove_file(world.path("/usr/local/sbin/runc")).expect("removed");
    let other = setup::plan::Fetch {
        published: setup::plan::Published::Nowhere,
        ..runc.clone()
    };
    world.publish(std::iter::once(&other));
    world.set_up("setup_node stock-only");
    world.serve(&runc.url, b"something else");
    fs::remove_file(world.path("/usr/local/sbin/runc")).expect("removed");
    let output = world.setup("setup_node stock-only");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("was what it had when it was first fetched here"),
        "{said}"
    );
}

#[test]
fn a_check_finds_what_somebody_changed() {
    let world = world(DEBIAN);
    world.set_up("setup_node firecracker");
    world.set_up("create_one_node_cluster firecracker");
    let output = world.setup("check");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.starts_with("all "), "{said}");
    crate::world::append(&world.path("/etc/default/kubelet"), "# by hand\n");
    fs::remove_file(world.path("/standin-state/active/vhive-cri.service")).expect("removed");
    let output = world.setup("check");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("setup_node firecracker: vhive-cri/unit: is no longer so\n"),
        "{said}"
    );
    assert!(
        said.contains("create_one_node_cluster firecracker: kubelet/arguments: is no longer so\n"),
        "{said}"
    );
}

#[test]
fn what_happens_is_told_as_json_when_that_is_asked_for() {
    let world = world(UBUNTU);
    let output = world.setup("setup_system -o json");
    assert!(output.status.success());
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let events: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("it is JSON"))
        .collect();
    assert_eq!(events[0]["event"], "plan");
    let done = events
        .iter()
        .filter(|event| event["event"] == "done" && event["outcome"] == "changed")
        .count();
    assert!(done > 5, "{lines}");
}

#[test]
fn a_plan_is_begun_and_ended_where_one_says() {
    let world = world(DEBIAN);
    world.set_up("setup_system --until limits/file");
    assert!(world.path("/etc/security/limits.d/90-vhive.conf").exists());
    assert!(!world.path("/etc/sysctl.d/90-vhive.conf").exists());
    fs::remove_file(world.path("/etc/security/limits.d/90-vhive.conf")).expect("removed");
    world.set_up("setup_system --from sysctl/modules-at-boot");
    assert!(!world.path("/etc/security/limits.d/90-vhive.conf").exists());
    assert!(world.path("/etc/sysctl.d/90-vhive.conf").exists());
    let output = world.setup("setup_system --from nothing/such");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("setup_system has no step nothing/such; --dry-run shows their names"),
        "{said}"
    );
}

#[test]
fn words_that_do_not_fit_are_refused_before_anything_is_done() {
    let world = world(DEBIAN);
    let before = world.changes();
    for (line, said) in [
        (
            "setup_node",
            "setup_node needs a sandbox: setup_tool setup_node stock-only|gvisor|firecracker",
        ),
        (
            "setup_node gvisor use-stargz",
            "use-stargz goes with stock-only or firecracker",
        ),
        (
            "join_cluster stock-only",
            "join_cluster needs --master-key FILE",
        ),
        ("cluster firecracker", "cluster needs nodes"),
    ] {
        let output = world.setup(line);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{line}: {stderr}");
        assert!(stderr.contains(said), "{line}: {stderr}");
    }
    assert_same(&world.changes(), &before, "refused");
}

#[test]
fn a_proxy_reaches_whoever_pulls_and_stays_out_of_the_cluster() {
    let world = world(DEBIAN);
    let tool = env!("CARGO_BIN_EXE_setup_tool");
    let output = world.shell(&format!("cd {FOLDER} && http_proxy=http://proxy:3128 no_proxy=localhost {tool} setup_node stock-only"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text =
        fs::read_to_string(world.path("/etc/systemd/system/containerd.service.d/proxy.conf"))
            .expect("it is there");
    assert!(
        text.contains("Environment=\"http_proxy=http://proxy:3128\"\n"),
        "{text}"
    );
    assert!(
        text.contains("Environment=\"no_proxy=localhost,.svc,.cluster.local,192.168.0.0/16\"\n"),
        "{text}"
    );
}
