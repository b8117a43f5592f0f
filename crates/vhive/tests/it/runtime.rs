//! What a function finds that is written as Knative's users write it, from the manifest into the guest: see docs/knative-conformance.md.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::look::{eventually, get};
use crate::machine::{Machine, said};
use crate::site::busybox;

/// Writes down what it finds, and serves it.
const FACTS: &str = r#"#!/bin/busybox sh
busybox mkdir -p /tmp/bin
busybox --install -s /tmp/bin
PATH=/tmp/bin
mkdir -p /tmp/www/cgi-bin
{
    echo knative $K_SERVICE $K_CONFIGURATION $K_REVISION $PORT
    echo arguments $1, $2
    echo folder $(pwd)
    echo user $(id -u) $(id -g)
    for name in full null random tty urandom zero; do stat -c "%n %F" /dev/$name; done
    [ -c /dev/ptmx ] && echo /dev/ptmx
    for name in fd stdin stdout stderr; do echo /dev/$name $(readlink /dev/$name); done
    [ -d /proc/self/fd ] && for number in 0 1 2; do [ -e /proc/self/fd/$number ] && echo open $number; done
    stat -c "%n %F %a" /tmp /etc/resolv.conf
    [ -e /dev/console ] || echo no console
    for name in memory.max cpu.max cpu.weight; do echo $name $(cat /sys/fs/cgroup/$name); done
    (echo max > /sys/fs/cgroup/memory.max) 2>/dev/null || echo read-only
} > /tmp/www/facts 2>&1
printf '#!/tmp/bin/sh\nrm /tmp/well\nprintf "Content-Type: text/plain\\r\\n\\r\\n"\n' > /tmp/www/cgi-bin/sicken
chmod 755 /tmp/www/cgi-bin/sicken
touch /tmp/well
exec httpd -f -p $PORT -h /tmp/www
"#;

/// The image's user is `app`, its folder `/data`.
const PASSWD: &str = "root:x:0:0::/:/bin/sh\napp:x:1234:1235::/data:/bin/sh\n";

const SERVICES: &str = r#"
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: plain}
spec:
  template:
    spec:
      containers:
        - {image: dev.local/facts, resources: {limits: {memory: 128Mi}}}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: own}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/window: 6s}}
    spec:
      containers:
        - image: dev.local/facts
          args: ["one $(WORD)", "of $(K_SERVICE) $(NOBODY) $$(WORD)"]
          env: [{name: WORD, value: word}]
          workingDir: /made/for/it
          ports: [{containerPort: 9000}]
          securityContext: {runAsUser: 1000, runAsGroup: 1001}
          resources: {limits: {memory: 128Mi, cpu: "1"}, requests: {cpu: 125m}}
          startupProbe:
            exec: {command: [/bin/busybox, test, -f, /tmp/well]}
            periodSeconds: 1
            timeoutSeconds: 30
            failureThreshold: 60
          readinessProbe:
            exec: {command: [/bin/busybox, sh, -c, 'test "$WORD $K_SERVICE" = "$(WORD) own" -a $(busybox id -u) = 1000']}
            periodSeconds: 5
            timeoutSeconds: 30
          livenessProbe:
            exec: {command: [/bin/busybox, test, -f, /tmp/well]}
            periodSeconds: 1
            timeoutSeconds: 30
"#;

/// What all functions find.
const FURNITURE: &[&str] = &[
    "/dev/full character special file",
    "/dev/null character special file",
    "/dev/random character special file",
    "/dev/tty character special file",
    "/dev/urandom character special file",
    "/dev/zero character special file",
    "/dev/ptmx",
    "/dev/fd /proc/self/fd",
    "/dev/stdin /proc/self/fd/0",
    "/dev/stdout /proc/self/fd/1",
    "/dev/stderr /proc/self/fd/2",
    "open 0",
    "open 1",
    "open 2",
    "/tmp directory 1777",
    "/etc/resolv.conf regular file 644",
    "no console",
];

fn build(machine: &Machine) {
    let root = machine.folder().join("facts");
    for folder in ["bin", "etc", "data"] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    fs::copy(busybox(), root.join("bin/busybox")).expect("busybox");
    fs::write(root.join("etc/passwd"), PASSWD).expect("a file");
    let facts = root.join("bin/facts");
    fs::write(&facts, FACTS).expect("a script");
    fs::set_permissions(&facts, fs::Permissions::from_mode(0o755)).expect("a program");
    let folder = root.to_string_lossy();
    let flags = [
        "--entrypoint",
        "/bin/facts",
        "--user",
        "app",
        "--workdir",
        "/data",
    ];
    let build = ["image", "build", "dev.local/facts", "--folder", &folder];
    machine.ok(&[&build[..], &flags].concat());
}

fn facts(machine: &Machine, name: &str) -> Vec<String> {
    let answer = get(machine.ingress(), name, "/facts").expect("an answer");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    body.lines().map(ToOwned::to_owned).collect()
}

fn expected(about: &[&str], limits: &[&str]) -> Vec<String> {
    let all = [about, FURNITURE, limits, &["read-only"]].concat();
    all.into_iter().map(ToOwned::to_owned).collect()
}

fn list(machine: &Machine, kind: &[&str]) -> Vec<Value> {
    let list = machine.ok(&[kind, &["-o", "json"]].concat());
    let list: Value = serde_json::from_str(&list).expect("JSON");
    list["items"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_function_finds_what_the_runtime_contract_and_its_manifest_promise_and_is_probed_by_command() {
    let mut machine = Machine::new();
    build(&machine);
    machine.up();
    let manifest = machine.folder().join("facts.yaml");
    fs::write(&manifest, SERVICES).expect("a manifest");
    let applied = machine.run(&["apply", "-f", &manifest.to_string_lossy()]);
    assert!(applied.status.success(), "{}", said(&applied));

    let plain = [
        "knative plain plain plain-00001 8080",
        "arguments ,",
        "folder /data",
        "user 1234 1235",
    ];
    let limits = [
        "memory.max 134217728",
        "cpu.max max 100000",
        "cpu.weight 100",
    ];
    assert_eq!(facts(&machine, "plain"), expected(&plain, &limits));

    let own = [
        "knative own own own-00001 9000",
        "arguments one word, of own $(NOBODY) $(WORD)",
        "folder /made/for/it",
        "user 1000 1001",
    ];
    let limits = [
        "memory.max 134217728",
        "cpu.max 100000 100000",
        "cpu.weight 5",
    ];
    assert_eq!(facts(&machine, "own"), expected(&own, &limits));
    facts(&machine, "own");
    eventually("a snapshot", || {
        !list(&machine, &["snapshot", "ls"]).is_empty()
    });
    eventually("scale to zero", || {
        machine.object("revisions", "own-00001")["status"]["actualReplicas"] == 0
    });

    // A clone is asked, too, before it serves and after.
    let woken = machine.run(&["invoke", "own", "--http", "--path", "/facts", "--explain"]);
    let phases = said(&woken);
    assert!(
        phases.contains("load") && phases.contains("function"),
        "{phases}"
    );
    assert_eq!(facts(&machine, "own"), expected(&own, &limits));
    let sickened = get(machine.ingress(), "own", "/cgi-bin/sicken");
    sickened.expect("an answer");
    eventually("a failed liveness probe", || {
        let pods = list(&machine, &["get", "pods"]);
        pods.iter()
            .any(|pod| pod["status"]["reason"] == "Unhealthy")
    });
    assert_eq!(facts(&machine, "own"), expected(&own, &limits));
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}
