//! A node with functions that live, fail, and start at once.

use serde_json::Value;

use crate::look::{eventually, ready};
use crate::machine::{Machine, said};
use crate::{AT_ZERO, HELLO};

#[test]
fn a_function_lives_from_apply_to_delete() {
    let mut machine = Machine::new();
    machine.build_helloworld();
    machine.up();
    let applied = machine.apply("hello", HELLO, "autoscaling.knative.dev/window: 6s");
    assert!(applied.status.success(), "{}", said(&applied));
    assert_eq!(ready(&machine.object("services", "hello")).0, "True");
    assert!(
        machine
            .ok(&["invoke", "hello", "--data", "Ada"])
            .starts_with("Hello, Ada!")
    );
    assert!(
        machine
            .ok(&["invoke", "hello", "--http"])
            .contains("Hello, World!")
    );
    assert!(
        machine
            .ok(&["logs", "hello"])
            .contains("helloworld listens on port 50051")
    );
    assert!(machine.ok(&["describe", "hello"]).contains("hello-00001"));
    let revision = machine.ok(&["describe", "hello-00001"]);
    let (_, decisions) = revision.split_once("Decisions:").expect("decisions");
    assert!(
        decisions.contains("initial-scale: it has to show that it works"),
        "{revision}"
    );
    let autoscalers = machine.ok(&["get", "autoscalers", "-o", "wide"]);
    assert!(autoscalers.contains("hello-00001"), "{autoscalers}");

    eventually("scale to zero", || {
        machine.object("revisions", "hello-00001")["status"]["actualReplicas"] == 0
    });
    assert_eq!(
        ready(&machine.object("services", "hello")).0,
        "True",
        "ready at zero"
    );
    let woken = machine.run(&["invoke", "hello", "--explain"]);
    assert!(
        said(&woken).contains("boot") || said(&woken).contains("load"),
        "a cold start is explained: {}",
        said(&woken)
    );

    machine.ok(&["delete", "hello"]);
    eventually("all children gone", || {
        ["configurations", "routes", "revisions"]
            .iter()
            .all(|kind| {
                let list: Value =
                    serde_json::from_str(&machine.ok(&["get", kind, "-o", "json"])).expect("JSON");
                list["items"].as_array().is_some_and(Vec::is_empty)
            })
    });
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[test]
fn failing_functions_say_why_and_the_node_stays_well() {
    let mut machine = Machine::new();
    machine.build_helloworld();
    machine.build_box();
    machine.up();
    for (name, container, reason) in [
        (
            "missing",
            "image: dev.local/nothing",
            "Unable to fetch image",
        ),
        (
            "crash",
            "image: dev.local/box, args: [sh, -c, 'echo boom; exit 3']",
            "exited with code 3",
        ),
        (
            "absent",
            "image: dev.local/box, command: [/no/such/program]",
            "/no/such/program",
        ),
    ] {
        let applied = machine.apply(name, container, "");
        assert_eq!(applied.status.code(), Some(1), "{name}: {}", said(&applied));
        assert!(
            said(&applied).contains(reason),
            "{name}: {}",
            said(&applied)
        );
        let (status, message) = ready(&machine.object("services", name));
        assert_eq!(status, "False", "{name}");
        assert!(message.contains(reason), "{name}: {message}");
        let called = machine.run(&["invoke", name]);
        assert!(
            said(&called).contains("HTTP 503"),
            "{name}: {}",
            said(&called)
        );
        assert!(said(&called).contains(reason), "{name}: {}", said(&called));
    }
    let applied = machine.apply("well", HELLO, AT_ZERO);
    assert!(applied.status.success(), "{}", said(&applied));
    assert!(machine.ok(&["invoke", "well"]).starts_with("Hello, world!"));
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[test]
fn a_function_that_never_listens_is_told_what_to_do() {
    let mut machine = Machine::new();
    machine.build_box();
    machine.up();
    let silent = "image: dev.local/box, args: [sh, -c, 'echo I am up; sleep 1000']";
    let applied = machine.apply("silent", silent, "");
    assert_eq!(applied.status.code(), Some(1), "{}", said(&applied));
    for part in ["must listen on port 8080", "I am up"] {
        assert!(said(&applied).contains(part), "{part}: {}", said(&applied));
    }
    let revision = machine.object("revisions", "silent-00001");
    let mut conditions = revision["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    assert!(
        conditions.any(|it| it["type"] == "Ready" && it["reason"] == "NeverListened"),
        "{revision:#}"
    );
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[test]
fn ten_functions_answer_when_called_cold_at_the_same_time() {
    let mut machine = Machine::new();
    machine.build_helloworld();
    machine.up();
    let names: Vec<String> = (0..10).map(|index| format!("f-{index}")).collect();
    for name in &names {
        let applied = machine.apply(name, HELLO, AT_ZERO);
        assert!(applied.status.success(), "{}", said(&applied));
    }
    std::thread::scope(|scope| {
        let machine = &machine;
        for name in &names {
            scope.spawn(move || {
                assert!(
                    machine.ok(&["invoke", name]).starts_with("Hello, world!"),
                    "{name}"
                );
            });
        }
    });
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[test]
fn a_node_makes_the_image_of_the_sample_function_unless_there_is_one() {
    const NAME: &str = "dev.local/helloworld:latest";
    let mut machine = Machine::new();
    machine.build_box();
    machine.ok(&["image", "tag", "dev.local/box", NAME]);
    let of_the_user = machine.ok(&["image", "ls"]);
    machine.up();
    machine.stop();
    assert_eq!(machine.ok(&["image", "ls"]), of_the_user);
    machine.ok(&["image", "rm", NAME]);
    machine.up();
    let listed = machine.ok(&["image", "ls"]);
    assert!(listed.contains(NAME) && listed != of_the_user, "{listed}");
    machine.stop();
}
