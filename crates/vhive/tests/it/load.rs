//! The deployer and the invoker under their own names, as the original's quickstart calls them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::machine::{Machine, said, vhive};
use crate::workloads::manifest;

/// A program of the original: a link to the binary, where `go build` would have put it.
fn program(folder: &Path, name: &str) -> PathBuf {
    let tool = folder.join("tools").join(name);
    fs::create_dir_all(&tool).expect("a folder");
    let program = tool.join(name);
    if !program.exists() {
        symlink(env!("CARGO_BIN_EXE_vhive"), &program).expect("a link");
    }
    program
}

/// Runs it in `folder`, in the environment of the tests.
fn called(folder: &Path, name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program(folder, name));
    command.current_dir(folder).args(arguments);
    for variable in ["VHIVE_DATA_DIR", "VHIVE_SERVER", "VHIVE_LOG", "KUBECONFIG"] {
        command.env_remove(variable);
    }
    command.output().expect("vhive starts")
}

/// The same against the machine's node.
fn against(machine: &Machine, name: &str, arguments: &[&str]) -> Output {
    let command = machine.command(arguments);
    let arguments: Vec<_> = command
        .get_args()
        .map(|it| it.to_str().expect("text"))
        .collect();
    called(machine.folder(), name, &arguments)
}

fn folder_of(manifest: &str) -> String {
    let folder = Path::new(manifest).parent().expect("a folder");
    folder.to_string_lossy().into_owned()
}

#[test]
fn functions_are_deployed_and_called_as_the_original_does_it() {
    let mut machine = Machine::new();
    machine.build_helloworld();
    machine.up();
    let folder = machine.folder().to_owned();
    let functions = json!({"functions": [
        {"name": "helloworld", "file": "helloworld.yaml", "count": 2},
        {"name": "absent", "file": "absent.yaml", "count": 1},
    ]});
    fs::write(folder.join("functions.json"), functions.to_string()).expect("a file");
    let workloads = folder_of(&manifest("helloworld.yaml"));
    let arguments = ["-funcPath", &workloads, "--jsonFile=functions.json"];

    // What cannot be deployed is told, and the others are there.
    let deployed = against(&machine, "deployer", &arguments);
    let words = said(&deployed);
    assert_eq!(deployed.status.code(), Some(1), "{words}");
    assert!(
        words.contains("Failed to deploy function absent-0: cannot read"),
        "{words}"
    );
    for nth in 0..2 {
        assert!(
            words.contains(&format!("Deployed function helloworld-{nth}\n")),
            "{words}"
        );
    }
    let port = machine.ingress().rsplit(':').next().expect("a port");
    let host = |nth| format!("helloworld-{nth}.default.127.0.0.1.sslip.io:{port}");
    let entry = |nth| {
        format!(
            "\t{{\n\t\t\"hostname\": \"{}\",\n\t\t\"eventing\": false,\n\t\t\"matchers\": null\n\t}}",
            host(nth)
        )
    };
    let endpoints = fs::read_to_string(folder.join("endpoints.json")).expect("the endpoints");
    assert_eq!(endpoints, format!("[\n{},\n{}\n]", entry(0), entry(1)));
    let service = machine.object("services", "helloworld-1");
    let annotations = &service["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["autoscaling.knative.dev/target"], "1");

    // Without the one that has no manifest, and with the kubeconfig of the node: nothing changes, and it is a success.
    let functions =
        json!({"functions": [{"name": "helloworld", "file": "helloworld.yaml", "count": 2}]});
    fs::write(folder.join("functions.json"), functions.to_string()).expect("a file");
    let kubeconfig = machine.ok(&["kubeconfig", "--path"]);
    let again = called(
        &folder,
        "deployer",
        &[
            &arguments[..],
            &[
                "--kubeconfig",
                kubeconfig.trim(),
                "-gatewayURL",
                "127.0.0.1.sslip.io",
            ],
        ]
        .concat(),
    );
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    let endpoints = fs::read_to_string(folder.join("endpoints.json")).expect("the endpoints");
    assert_eq!(
        endpoints,
        format!("[\n{},\n{}\n]", entry(0), entry(1)).replace(&format!(":{port}"), "")
    );

    let invoked = against(
        &machine,
        "invoker",
        &[
            "-port",
            port,
            "-rps",
            "10",
            "-time",
            "3",
            "-profile",
            // For a machine that has much else to do.
            "-grpcTimeout",
            "120",
            "-latf",
            "l.csv",
            "--out",
            "run",
        ],
    );
    let words = said(&invoked);
    assert_eq!(invoked.status.code(), Some(0), "{words}");
    assert!(
        words.contains("Issued / completed requests: 30, 30\n"),
        "{words}"
    );
    let real = words
        .split("Real / target RPS: ")
        .nth(1)
        .and_then(|rest| rest.split(" / 10\n").next())
        .expect("both rates");
    let lines = |file: &str| {
        let text = fs::read_to_string(folder.join(file)).expect(file);
        let numbers = text
            .lines()
            .map(|line| line.parse::<u64>().expect("a number"));
        numbers.count()
    };
    assert_eq!(lines(&format!("rps{real}_l.csv")), 30);
    assert_eq!(lines("dur.csv"), 30);
    let summary = fs::read_to_string(folder.join("run/summary.json")).expect("a summary");
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    let count = |of: &str| summary[of]["count"].as_u64().unwrap_or_default();
    assert_eq!(count("cold") + count("warm"), 30, "the gateway tells which");
    let endpoints = summary["endpoints"].as_array().expect("endpoints");
    assert!(endpoints.iter().all(|it| it["issued"] == 15));
    assert!(
        summary["seconds"][1]["instances"]
            .as_u64()
            .is_some_and(|it| it >= 1),
        "the API tells how many instances there are"
    );

    let over_http = against(
        &machine,
        "invoker",
        &[
            "-port",
            port,
            "-rps",
            "5",
            "-grpcTimeout",
            "120",
            "-time",
            "1",
            "--protocol",
            "http",
            "--arrivals",
            "poisson",
            "--warm-up",
            "1",
            "--out",
            "http",
        ],
    );
    assert_eq!(over_http.status.code(), Some(0), "{}", said(&over_http));
    let reported = vhive()
        .current_dir(&folder)
        .args(["report", "run", "http"])
        .output()
        .expect("vhive starts");
    assert!(reported.status.success(), "{}", said(&reported));
    let page = fs::read_to_string(folder.join("report.html")).expect("a page");
    assert!(page.contains("<td>run</td>") && page.contains("<td>http</td>"));
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[test]
fn when_every_request_fails_there_is_no_file_but_a_failure_that_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    // Bound, so that nobody else listens there; and not listening once it is dropped.
    let bound = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = bound.local_addr().expect("an address").port().to_string();
    drop(bound);
    let endpoints = json!([{"hostname": "f-0.default.127.0.0.1.sslip.io", "eventing": false, "matchers": null}]);
    fs::write(folder.path().join("endpoints.json"), endpoints.to_string()).expect("a file");
    let failed = called(
        folder.path(),
        "invoker",
        &["-port", &port, "-rps", "20", "-time", "1"],
    );
    let words = said(&failed);
    assert_eq!(failed.status.code(), Some(1), "{words}");
    assert!(
        words.contains("Issued / completed requests: 20, 0\n"),
        "{words}"
    );
    let row = words
        .lines()
        .find(|line| line.starts_with("connection refused"))
        .unwrap_or_default();
    let row: Vec<_> = row.split_whitespace().collect();
    assert_eq!(
        row[..4],
        [
            "connection",
            "refused",
            "20",
            "f-0.default.127.0.0.1.sslip.io"
        ],
        "{words}"
    );
    assert!(
        words.contains("error: all of 20 requests failed, so there is no latency to write"),
        "{words}"
    );
    let left: Vec<_> = fs::read_dir(folder.path())
        .expect("the folder")
        .map(|it| it.expect("an entry").file_name())
        .collect();
    assert_eq!(left.len(), 2, "the endpoints and the program: {left:?}");
}

#[test]
fn what_is_wrong_with_a_file_is_told_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let expect = |name: &str, arguments: &[&str], code, expected: &str| {
        let output = called(folder.path(), name, arguments);
        let words = said(&output);
        assert_eq!(output.status.code(), Some(code), "{words}");
        assert!(words.contains(expected), "{expected}: {words}");
    };
    expect("invoker", &[], 1, "error: cannot read endpoints.json");
    fs::write(folder.path().join("e.json"), "[]").expect("a file");
    let named = ["-endpointsFile", "e.json"];
    expect("invoker", &named, 1, "error: e.json has no endpoint in it");
    fs::write(folder.path().join("e.json"), "[{\"hostname\": \"a b\"}]").expect("a file");
    expect("invoker", &named, 1, "\"a b\" is not a host name");
    expect(
        "invoker",
        &["-rps", "0"],
        2,
        "not a number of requests a second",
    );
    expect(
        "invoker",
        &["--arrivals", "burst"],
        2,
        "is not constant, poisson or burst:SIZE",
    );
    expect(
        "deployer",
        &[],
        1,
        "error: cannot read ./tools/deployer/functions.json",
    );
    fs::write(folder.path().join("f.json"), "{\"functions\": []}").expect("a file");
    let named = ["-jsonFile", "f.json"];
    expect("deployer", &named, 1, "f.json has no function to deploy");
    let functions = json!({"functions": [{"name": "a", "file": "a.yaml", "count": 1}]});
    fs::write(folder.path().join("f.json"), functions.to_string()).expect("a file");
    let nowhere = ["-jsonFile", "f.json", "--kubeconfig", "absent"];
    expect("deployer", &nowhere, 1, "error: cannot read absent");
}
