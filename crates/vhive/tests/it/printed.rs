//! What commands print, to the letter, and the codes they exit with.
//!
//! After a change that is meant, `INSTA_UPDATE=always cargo test -p vhive printed::every` writes the new help; `cargo insta review`
//! shows the rest.

use std::process::Stdio;

use insta::assert_snapshot;
use serde_json::Value;

use crate::machine::{Machine, said, vhive};
use crate::{AT_ZERO, HELLO};

fn help(words: &[&str]) -> String {
    let output = vhive()
        .env_remove("VHIVE_LOG")
        .args(words)
        .arg("--help")
        .output()
        .expect("vhive starts");
    assert_eq!(output.status.code(), Some(0), "{words:?}");
    assert!(output.stderr.is_empty(), "{words:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// Every command below `words`, depth first.
fn commands(words: &[String], out: &mut Vec<Vec<String>>) {
    out.push(words.to_vec());
    let borrowed: Vec<&str> = words.iter().map(String::as_str).collect();
    let text = help(&borrowed);
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed: Vec<&str> = listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    for name in listed {
        commands(&[words, &[name.to_owned()]].concat(), out);
    }
}

/// With one port of the ingress for all runs, of the same length.
fn settled(machine: &Machine, text: &str) -> String {
    let port = machine.ingress().rsplit(':').next().unwrap_or_default();
    text.replace(port, &"P".repeat(port.len()))
}

/// Blanks what is another at every run, wherever it is.
fn blank(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match name.as_str() {
                    "uid" | "creationTimestamp" | "lastTransitionTime" | "resourceVersion" => {
                        *field = Value::from("…");
                    }
                    _ => blank(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(blank),
        _ => {}
    }
}

#[test]
fn every_command_explains_itself() {
    let mut all = Vec::new();
    commands(&[], &mut all);
    let texts = all.iter().map(|words| {
        let borrowed: Vec<&str> = words.iter().map(String::as_str).collect();
        format!(
            "$ vhive {}\n{}",
            [&borrowed[..], &["--help"]].concat().join(" "),
            help(&borrowed)
        )
    });
    assert_snapshot!("help", texts.collect::<Vec<_>>().join("\n"));
}

#[test]
fn lists_and_exit_codes_are_as_promised() {
    let mut machine = Machine::new();
    machine.build_helloworld();
    machine.up();
    let applied = machine.apply("hello", HELLO, AT_ZERO);
    assert_snapshot!(settled(&machine, &said(&applied)), @r"
    service hello created
    ready at http://hello.default.127.0.0.1.sslip.io:PPPPP
    ");
    let show = |arguments: &[&str]| settled(&machine, &machine.ok(arguments));
    assert_snapshot!(show(&["get"]), @r"
    NAME    URL                                             LATESTCREATED   LATESTREADY   READY   REASON
    hello   http://hello.default.127.0.0.1.sslip.io:PPPPP   hello-00001     hello-00001   True
    ");
    assert_snapshot!(show(&["get", "ksvc", "hello", "-o", "wide"]), @r"
    NAME    URL                                             LATESTCREATED   LATESTREADY   READY   REASON   MESSAGE
    hello   http://hello.default.127.0.0.1.sslip.io:PPPPP   hello-00001     hello-00001   True
    ");
    assert_snapshot!(show(&["get", "revisions", "-A"]), @r"
    NAMESPACE   NAME          CONFIG NAME   GENERATION   READY   REASON   ACTUAL REPLICAS   DESIRED REPLICAS
    default     hello-00001   hello         1            True             0                 0
    ");
    assert_snapshot!(show(&["get", "routes"]), @r"
    NAME    URL                                             READY   REASON
    hello   http://hello.default.127.0.0.1.sslip.io:PPPPP   True
    ");
    assert_snapshot!(show(&["get", "configurations"]), @r"
    NAME    LATESTCREATED   LATESTREADY   READY   REASON
    hello   hello-00001     hello-00001   True
    ");
    let described = show(&["describe", "hello"]);
    let (described, events) = described.split_once("\n\nEvents:\n").expect("events");
    assert!(
        events.starts_with("LAST SEEN   TYPE     REASON"),
        "{events}"
    );
    assert!(events.contains("ServiceReady"), "{events}");
    assert_snapshot!(described, @r"
    Name:       hello
    Namespace:  default
    URL:        http://hello.default.127.0.0.1.sslip.io:PPPPP
    Image:      dev.local/helloworld

    Conditions:
    TYPE                  STATUS   REASON   MESSAGE
    ConfigurationsReady   True
    Ready                 True
    RoutesReady           True

    Traffic:
    PERCENT   REVISION      TAG   URL
    100%      hello-00001

    Revisions:
    NAME          CONFIG NAME   GENERATION   READY   REASON   ACTUAL REPLICAS   DESIRED REPLICAS   MESSAGE
    hello-00001   hello         1            True             0                 0
    ");
    let mut service = machine.object("services", "hello");
    blank(&mut service);
    let json = serde_json::to_string_pretty(&service["status"]).expect("JSON");
    assert_snapshot!(settled(&machine, &json), @r#"
    {
      "address": {
        "url": "http://hello.default.svc.cluster.local"
      },
      "conditions": [
        {
          "lastTransitionTime": "…",
          "status": "True",
          "type": "ConfigurationsReady"
        },
        {
          "lastTransitionTime": "…",
          "status": "True",
          "type": "Ready"
        },
        {
          "lastTransitionTime": "…",
          "status": "True",
          "type": "RoutesReady"
        }
      ],
      "latestCreatedRevisionName": "hello-00001",
      "latestReadyRevisionName": "hello-00001",
      "observedGeneration": 1,
      "traffic": [
        {
          "latestRevision": true,
          "percent": 100,
          "revisionName": "hello-00001"
        }
      ],
      "url": "http://hello.default.127.0.0.1.sslip.io:PPPPP"
    }
    "#);
    assert_snapshot!(show(&["get", "services", "-n", "empty", "-o", "json"]), @r#"
    {
      "apiVersion": "v1",
      "items": [],
      "kind": "List"
    }
    "#);
    for (arguments, header) in [
        (["image", "ls"], "REFERENCE DIGEST SIZE ROOT"),
        (["kernel", "ls"], "RELEASE DIGEST"),
    ] {
        let listed = machine.ok(&arguments);
        let first = listed.lines().next().unwrap_or_default();
        let words: Vec<&str> = first.split_whitespace().collect();
        assert_eq!(words.join(" "), header);
        assert_eq!(listed.lines().count(), 2, "{listed}");
        assert_eq!(listed.matches("sha256:").count(), 1, "{listed}");
    }

    let nothing = machine.run(&["get", "instances"]);
    assert!(nothing.stdout.is_empty() && nothing.status.success());
    assert_snapshot!(said(&nothing), @"no instances found");

    for (arguments, code) in [
        (&["--version"][..], 0),
        (&["apply", "-f", "/no/such/file"], 1),
        (&["invoke", "hello", "--timeout=-1"], 2),
        (&["image", "rm"], 2),
        (&["get", "services", "absent"], 3),
        (&["describe", "absent"], 3),
        (&["delete", "absent"], 3),
        (&["invoke", "absent"], 3),
        (&["logs", "absent"], 3),
        (
            &["image", "export", "dev.local/absent", "-o", "/no/such/file"],
            3,
        ),
        (&["kernel", "rm", "absent"], 3),
        (&["invoke", "hello", "--timeout", "0.001"], 124),
    ] {
        let output = machine.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            said(&output)
        );
    }
    let absent = machine.run(&["describe", "absent"]);
    assert_snapshot!(said(&absent), @r#"
    error: services.serving.knative.dev "absent" not found
      next: `vhive get services -n default` shows all
    "#);
    // It never listens, so that it is not ready however long that takes here.
    machine.build_box();
    let silent = machine.manifest("silent", "image: dev.local/box, args: [sleep, '1000']", "");
    let late = machine.run(&["apply", "-f", &silent, "--wait-timeout", "1"]);
    assert_eq!(late.status.code(), Some(124), "{}", said(&late));
    assert_snapshot!(said(&late), @r"
    service silent created
    error: service silent is not ready after 1 s
      next: look at `vhive describe silent -n default`
    ");

    // A reader that has seen enough is no error.
    let mut listing = machine
        .command(&["get", "services", "-o", "yaml"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("vhive starts");
    drop(listing.stdout.take());
    assert!(listing.wait().expect("it ends").success());
    machine.stop();
}
