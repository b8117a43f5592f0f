//! `vhive cri` as a node has it: the real binary, the real `crictl`, a real containerd, real microVMs. Besides what the other tests need,
//! these need the packages `containerd`, `runc` and `containernetworking-plugins`, and `crictl`, which `cargo xtask test` builds.

mod endpoint;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use endpoint::{Endpoint, LONG, WAIT};

/// What the web server of the sample pages answers at this port of a pod.
fn get(address: &str, port: u16, path: &str) -> String {
    let begun = Instant::now();
    loop {
        let answer = TcpStream::connect((address, port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(LONG))?;
            write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        // The program runs before it listens, and until then nothing does in the guest.
        match answer {
            Ok(answer) if !answer.is_empty() => return answer,
            _ if begun.elapsed() > LONG => panic!("no answer: {answer:?}"),
            _ => std::thread::sleep(WAIT),
        }
    }
}

/// A web server that says that it begins.
const SITE: &str = r#"{"metadata": {"name": "user-container"}, "image": {"image": "dev.local/site:latest"},
    "args": ["sh", "-c", "echo begins; exec busybox httpd -f -p 8080 -h /www"],
    "envs": [{"key": "PORT", "value": "8080"}, {"key": "WORD", "value": "given"}],
    "log_path": "user.log", "linux": {"resources": {"memory_limit_in_bytes": 134217728}}}"#;

#[test]
fn a_function_of_a_pod_runs_in_a_microvm_from_its_start_to_its_end() {
    let endpoint = Endpoint::start();
    let pod = endpoint.pod("web", "vhive");
    let id = endpoint.create(&pod, "web", SITE);
    endpoint.ok(&["start", &id]);
    let address = endpoint.address(&pod);
    assert!(get(&address, 8080, "/").ends_with("I am here"));
    let listed = endpoint.ok(&["ps", "--quiet", "--no-trunc", "--state", "running"]);
    assert_eq!(listed.trim(), id);
    assert!(endpoint.ok(&["pods"]).contains("vhive"));

    // As a kubelet runs probes.
    let said = endpoint.ok(&["exec", "--sync", &id, "busybox", "sh", "-c", "echo $WORD"]);
    assert_eq!(said.trim(), "given");
    let failed = endpoint.refused(&["exec", "--sync", &id, "busybox", "false"]);
    assert!(failed.contains("exited with 1"), "{failed}");
    // Through containerd, into the pod's network, and from there to the guest.
    let mut forward = endpoint.forward(&pod, 8080);
    assert!(get("127.0.0.1", forward.port, "/").ends_with("I am here"));
    forward.end();
    assert_eq!(endpoint.ok(&["logs", &id]), "begins\n");
    let listed = endpoint.json(&["stats", "--output", "json", "--id", &id]);
    let used = listed["stats"][0]["memory"]["workingSetBytes"]["value"].as_str();
    let used: u64 = used.expect("memory in use").parse().expect("a number");
    assert!(used > 1 << 20, "{used}");

    endpoint.ok(&["stop", "--timeout", "20", &id]);
    let status = endpoint.inspect(&id)["status"].clone();
    assert_eq!(status["state"], "CONTAINER_EXITED", "{status}");
    // The web server leaves SIGTERM as it is.
    assert_eq!(status["exitCode"], 143, "{status}");
    endpoint.ok(&["rm", &id]);
    endpoint.ok(&["stopp", &pod]);
    endpoint.ok(&["rmp", &pod]);
    assert_eq!(endpoint.ok(&["pods", "--quiet"]), "");
}

#[test]
fn a_machine_that_is_killed_is_an_end_and_so_is_that_of_the_endpoint_and_both_are_told() {
    let mut endpoint = Endpoint::start();
    let pod = endpoint.pod("web", "vhive");
    let first = endpoint.create(&pod, "web", SITE);
    endpoint.ok(&["start", &first]);
    let machine = endpoint.inspect(&first)["info"]["microVM"]["pid"].clone();
    endpoint::kill(&machine.to_string());
    let status = endpoint.exited(&first);
    assert_eq!(
        (&status["exitCode"], &status["reason"]),
        (&137.into(), &"HypervisorDied".into())
    );

    // As a kubelet starts it again.
    let attempt = |number: u32| {
        let name = r#""name": "user-container""#;
        SITE.replace(name, &format!(r#"{name}, "attempt": {number}"#))
    };
    let second = endpoint.create(&pod, "web", &attempt(1));
    endpoint.ok(&["start", &second]);
    endpoint.kill();
    endpoint.run();
    let status = endpoint.exited(&second);
    let message = status["message"].as_str().expect("a message");
    assert!(
        message.contains("ended with the vhive process"),
        "{message}"
    );
    let third = endpoint.create(&pod, "web", &attempt(2));
    endpoint.ok(&["start", &third]);
    assert!(get(&endpoint.address(&pod), 8080, "/").ends_with("I am here"));
    endpoint.ok(&["stopp", &pod]);
    endpoint.ok(&["rmp", &pod]);
}

#[test]
fn what_is_no_functions_is_containerds() {
    let endpoint = Endpoint::start();
    let pod = endpoint.pod("plain", "");
    let container = r#"{"metadata": {"name": "main"}, "image": {"image": "dev.local/box:latest"},
        "args": ["sh", "-c", "echo begins; exec /busybox sleep 1000"], "log_path": "main.log", "linux": {}}"#;
    let id = endpoint.create(&pod, "plain", container);
    endpoint.ok(&["start", &id]);
    // Streams are between the client and containerd, who says where.
    let said = endpoint.ok(&["exec", &id, "/busybox", "echo", "hello"]);
    assert_eq!(said, "hello\n");
    assert_eq!(endpoint.ok(&["logs", &id]), "begins\n");
    endpoint.ok(&["stop", "--timeout", "0", &id]);
    assert_eq!(endpoint.exited(&id)["exitCode"], 137);
    endpoint.ok(&["stopp", &pod]);
    endpoint.ok(&["rmp", &pod]);
}
