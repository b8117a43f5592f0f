//! What commands say when something is wrong, and how they exit.

use std::collections::BTreeMap;
use std::net::TcpListener;

use crate::machine::{ANY_PORT, Machine, said, vhive};

#[test]
fn wrong_usage_exits_with_2() {
    let output = vhive().arg("frobnicate").output().expect("vhive starts");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_trace_is_played_without_a_node_and_written_as_values_and_as_a_plot() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let trace = "time_s,duration_s\n0.5,0.5\n20,0.5\n";
    std::fs::write(path("trace.csv"), trace).expect("a file");
    let play = |more: &[&str]| {
        vhive()
            .current_dir(folder.path())
            .args(["bench", "autoscale", "--trace", "trace.csv"])
            .args(["--csv", "seconds.csv", "--annotation", "window=6s"])
            .args(more)
            .output()
            .expect("vhive starts")
    };
    let played = play(&[]);
    assert!(played.status.success(), "{}", said(&played));
    let values = std::fs::read_to_string(path("seconds.csv")).expect("values");
    let reasons: Vec<&str> = values
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').nth(10))
        .collect();
    assert_eq!(
        (reasons.first(), reasons.last()),
        (Some(&"Waiting"), Some(&"Idle"))
    );
    let plot = std::fs::read_to_string(path("seconds.svg")).expect("a plot");
    assert_eq!(plot.matches("<polyline").count(), 4);

    let refused = play(&["--config", "stable-window=1s"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(
        said(&refused).contains("stable-window = 1s, must be in [6s; 1h0m0s] range"),
        "{}",
        said(&refused)
    );
}

#[test]
fn without_a_node_commands_say_how_to_start_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = vhive()
        .arg("--data-dir")
        .arg(folder.path())
        .arg("get")
        .output()
        .expect("vhive starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("next: start a node with `vhive up` first"),
        "{}",
        said(&output)
    );
}

#[test]
fn without_a_kernel_up_says_how_to_get_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = vhive()
        .arg("--data-dir")
        .arg(folder.path())
        .arg("up")
        .output()
        .expect("vhive starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("next: get one: vhive kernel fetch"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_taken_port_is_named_with_the_flag_to_change() {
    let machine = Machine::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let output = machine.run(&["up", "--api", ANY_PORT, "--ingress", &address]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(
        text.contains(&format!("cannot listen on {address} for the ingress"))
            && text.contains("--ingress"),
        "{text}"
    );
}

#[test]
fn a_damaged_store_is_named_and_left_alone() {
    let machine = Machine::new();
    let store = machine.data_dir().join("store.redb");
    std::fs::write(&store, "this is no database, whatever its name says").expect("a file");
    let output = machine.run(&["up", "--api", ANY_PORT, "--ingress", ANY_PORT]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("is damaged"), "{}", said(&output));
    assert_eq!(
        std::fs::read_to_string(&store).expect("still there"),
        "this is no database, whatever its name says"
    );
}

#[test]
fn a_second_node_and_bad_requests_are_refused_by_name() {
    let mut machine = Machine::new();
    machine.up();
    let second = machine.run(&["up", "--api", ANY_PORT, "--ingress", ANY_PORT]);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        said(&second).contains("in use by another process"),
        "{}",
        said(&second)
    );

    let unknown = machine.apply("x", "image: a, imagee: b", "");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        said(&unknown).contains("unknown field \"spec.template.spec.containers[0].imagee\""),
        "{}",
        said(&unknown)
    );

    let absent = machine.run(&["get", "services", "nothing"]);
    assert_eq!(absent.status.code(), Some(3));
    let kind = machine.run(&["get", "things"]);
    assert_eq!(kind.status.code(), Some(2));
    let no_manifest = machine.run(&["apply", "-f", "/no/such/manifest.yaml"]);
    assert_eq!(no_manifest.status.code(), Some(1));
    assert!(
        said(&no_manifest).contains("cannot read /no/such/manifest.yaml"),
        "{}",
        said(&no_manifest)
    );
    machine.stop();
}

#[test]
fn an_image_is_removed_by_its_own_name_and_by_no_other() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let program = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(program.path().join("server"), "x").expect("a file");
    let store = image::Store::open(&data.path().join("images")).expect("a store");
    let built = store.build(image::BuildSpec {
        name: "dev.local/fn:latest".parse().expect("a name"),
        source: image::Source::Folder(program.path().to_owned()),
        entrypoint: vec!["/server".to_owned()],
        cmd: Vec::new(),
        env: Vec::new(),
        workdir: String::new(),
        user: String::new(),
        ports: Vec::new(),
        labels: BTreeMap::new(),
    });
    let digest = built.expect("an image").digest;
    let by_digest = format!("dev.local/fn@{digest}");
    let remove = |name: &str| {
        let mut command = vhive();
        command.arg("--data-dir").arg(data.path());
        let output = command.args(["image", "rm", name]).output();
        output.expect("vhive starts")
    };

    let refused = remove(&by_digest);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert_eq!(
        said(&refused),
        format!(
            "error: {by_digest} is not the name of an image\n  \
             next: its content has another name: vhive image rm dev.local/fn:latest\n"
        )
    );

    store.pin(&digest, "a-revision").expect("a pin");
    let removed = remove("dev.local/fn:latest");
    assert!(removed.status.success(), "{}", said(&removed));
    let refused = remove(&by_digest);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert_eq!(
        said(&refused),
        format!(
            "error: {by_digest} has no name to remove; a revision keeps it\n  \
             next: delete the service or the revision; `vhive image gc` frees the image then\n"
        )
    );

    let unknown = remove("dev.local/fn:latest");
    assert_eq!(unknown.status.code(), Some(3), "{}", said(&unknown));
}

#[test]
fn a_user_gets_a_token_and_loses_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("pki")).expect("as a node makes it");
    let kubeconfig = |arguments: &[&str]| {
        let mut command = vhive();
        command.arg("--data-dir").arg(folder.path());
        command.arg("kubeconfig").args(arguments);
        command.output().expect("vhive starts")
    };
    let made = kubeconfig(&["--user", "ada", "--read-only"]);
    let text = String::from_utf8_lossy(&made.stdout);
    assert!(text.contains("token: ada."), "{}", said(&made));
    assert!(!text.contains("client-key-data"), "{text}");
    let written = kubeconfig(&["--user", "bob", "--path"]);
    assert!(
        String::from_utf8_lossy(&written.stdout).ends_with("kubeconfig-bob\n"),
        "{}",
        said(&written)
    );
    assert_eq!(kubeconfig(&["--revoke", "ada"]).status.code(), Some(0));
    let absent = kubeconfig(&["--revoke", "ada"]);
    assert_eq!(absent.status.code(), Some(3), "{}", said(&absent));
    let wrong = kubeconfig(&["--user", "../ada"]);
    assert_eq!(wrong.status.code(), Some(1), "{}", said(&wrong));
    assert_eq!(kubeconfig(&["--read-only"]).status.code(), Some(2));
}
