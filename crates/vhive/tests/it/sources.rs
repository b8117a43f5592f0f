//! Functions that take variables and files from `ConfigMaps` and Secrets.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::look::{eventually, get};
use crate::machine::{Machine, said};
use crate::site;

/// As users write it: modes in octal, the function before what it needs.
const FUNCTION: &str = r#"
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: given}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/window: 6s}}
    spec:
      containers:
        - image: dev.local/site
          args: [httpd, -f, -p, "$(PORT_OF_MINE)", -h, /www]
          env:
            - {name: PORT_OF_MINE, value: "8080"}
            - {name: WORD, valueFrom: {configMapKeyRef: {name: settings, key: word}}}
          envFrom: [{secretRef: {name: keys}}]
          securityContext: {runAsUser: 1000}
          resources: {limits: {memory: 128Mi}}
          volumeMounts:
            - {name: config, mountPath: /config}
            - {name: secret, mountPath: /secret}
            - {name: scratch, mountPath: /scratch}
      volumes:
        - {name: config, configMap: {name: settings}}
        - name: secret
          secret: {secretName: keys, defaultMode: 0440, items: [{key: TOKEN, path: deep/token, mode: 0400}]}
        - {name: scratch, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
"#;

const KEYS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {TOKEN: s3cret}
";

fn settings(word: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{word: {word}}}\n"
    )
}

fn apply(machine: &Machine, documents: &[&str]) -> Output {
    let path = machine.folder().join("sources.yaml");
    fs::write(&path, documents.join("---\n")).expect("a manifest");
    machine.run(&["apply", "-f", &path.to_string_lossy()])
}

/// What the function says that it was given.
fn told(machine: &Machine) -> Vec<String> {
    const ABOUT: [&str; 5] = ["variables", "config", "secret", "scratch", "user"];
    let answer = get(machine.ingress(), "given", "/cgi-bin/given").expect("an answer");
    let lines = answer.lines();
    lines
        .filter(|line| ABOUT.iter().any(|about| line.starts_with(about)))
        .map(ToOwned::to_owned)
        .collect()
}

fn expected(variable: &str, file: &str) -> Vec<String> {
    vec![
        format!("variables {variable} s3cret"),
        format!("config {file} 644"),
        "secret s3cret 400".to_owned(),
        "scratch written".to_owned(),
        "user 1000".to_owned(),
        "config closed".to_owned(),
    ]
}

fn snapshots(machine: &Machine) -> usize {
    let list: Value =
        serde_json::from_str(&machine.ok(&["snapshot", "ls", "-o", "json"])).expect("JSON");
    list["items"].as_array().map_or(0, Vec::len)
}

/// Waits until there is no instance, and returns how the next that a request wakes begins.
fn woken(machine: &Machine) -> String {
    eventually("scale to zero", || {
        machine.object("revisions", "given-00001")["status"]["actualReplicas"] == 0
    });
    let output = machine.run(&["invoke", "given", "--http", "--explain"]);
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

#[test]
fn a_function_has_variables_and_files_of_configmaps_and_secrets() {
    let mut machine = Machine::new();
    site::build(&machine);
    machine.up();
    let applied = apply(&machine, &[FUNCTION, &settings("one")]);
    assert_eq!(applied.status.code(), Some(1), "{}", said(&applied));
    let missing = "Secret \"keys\" does not exist in namespace \"default\"";
    assert!(said(&applied).contains(missing), "{}", said(&applied));
    let described = machine.ok(&["describe", "given"]);
    for part in ["CreateContainerConfigError", missing] {
        assert!(described.contains(part), "{part}: {described}");
    }

    let applied = apply(&machine, &[FUNCTION, KEYS]);
    assert!(applied.status.success(), "{}", said(&applied));
    assert_eq!(told(&machine), expected("one", "one"));
    told(&machine);
    eventually("a snapshot", || snapshots(&machine) == 1);
    for shown in [
        machine.ok(&["describe", "given"]),
        machine.ok(&["get", "secrets", "-o", "wide"]),
        machine.ok(&["get", "revisions", "-o", "json"]),
        machine.ok(&["get", "instances", "-o", "json"]),
    ] {
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(!shown.contains("czNjcmV0"), "{shown}");
    }

    // A clone has all of it.
    let phases = woken(&machine);
    assert!(phases.contains("load"), "{phases}");
    assert_eq!(told(&machine), expected("one", "one"));
    // It sees files change, and keeps its variables.
    let applied = apply(&machine, &[&settings("two")]);
    assert!(applied.status.success(), "{}", said(&applied));
    eventually("a changed file", || {
        told(&machine) == expected("one", "two")
    });
    assert_eq!(snapshots(&machine), 0, "of what holds no more");
    // The next one begins with what there is now, and so do its clones.
    let phases = woken(&machine);
    assert!(phases.contains("boot"), "{phases}");
    assert_eq!(told(&machine), expected("two", "two"));
    eventually("a snapshot", || snapshots(&machine) == 1);
    let phases = woken(&machine);
    assert!(phases.contains("load"), "{phases}");
    assert_eq!(told(&machine), expected("two", "two"));
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}
