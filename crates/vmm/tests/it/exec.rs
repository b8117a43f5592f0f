//! Commands that run in a guest beside its process.

use std::time::Duration;

use vmm::agent::protocol::{ExecEnd, Executed, Failed, Process};
use vmm::agent::{Command, Error, Events, Execution};

use crate::guest::{Running, boot, command, script};

/// What commands may write here.
const BOUND: usize = 64;

fn shell(script: &str) -> Command {
    run(&["/bin/busybox", "sh", "-c", script])
}

fn run(argv: &[&str]) -> Command {
    Command {
        argv: command(argv).argv,
        timeout: Some(Duration::from_secs(60)),
        max_output: BOUND,
        ..Command::default()
    }
}

/// Waits for the end of a command, and hears what else the guest says.
async fn ended(events: &mut Events, execution: Execution) -> Result<Executed, Error> {
    tokio::select! {
        ended = execution.ended() => ended,
        event = events.next() => panic!("{event:?} came first"),
    }
}

async fn exec(running: &mut Running, command: Command) -> Executed {
    let execution = running.commands.exec(command).await.unwrap();
    ended(&mut running.events, execution).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A process that does nothing, as an ordinary user with an environment of its own.
async fn idle() -> Running {
    let process = Process {
        env: vec![("A".into(), "1".into()), ("B".into(), "2".into())],
        cwd: "/home/app".into(),
        user: "app".into(),
        hostname: "hello-1".into(),
        ..script("echo $$ > /tmp/pid; exec sleep 1000")
    };
    boot().await.start(process).await.unwrap()
}

#[tokio::test]
async fn a_command_runs_as_the_process_does_and_its_outputs_and_code_come_back() {
    let mut running = idle().await;
    let facts = "echo $A $B $(pwd) $(id -u) $(hostname); echo aside >&2; exit 7";
    let executed = exec(&mut running, shell(facts)).await;
    assert_eq!(executed.end, ExecEnd::Exited { code: 7 });
    assert_eq!(text(&executed.stdout), "1 2 /home/app 1000 hello-1\n");
    assert_eq!(text(&executed.stderr), "aside\n");
    assert!(!executed.truncated);

    let other = Command {
        env: vec![("B".into(), "3".into())],
        cwd: "/etc".into(),
        user: "0".into(),
        ..shell("echo $A $B $(pwd) $(id -u); read -r line || echo empty; kill -9 $$")
    };
    let executed = exec(&mut running, other).await;
    assert_eq!(executed.end, ExecEnd::Signaled { signal: 9 });
    assert_eq!(text(&executed.stdout), "1 3 /etc 0\nempty\n");

    let groups = "cat /proc/self/cgroup /proc/$(cat /tmp/pid)/cgroup";
    let executed = exec(&mut running, shell(groups)).await;
    assert_eq!(text(&executed.stdout), "0::/\n0::/\n");
}

#[tokio::test]
async fn what_a_command_writes_is_kept_up_to_its_bound_and_does_not_hold_it_up() {
    let mut running = idle().await;
    let executed = exec(
        &mut running,
        shell("yes 0123456 | head -c 1000000; echo done >&2"),
    )
    .await;
    assert_eq!(executed.end, ExecEnd::Exited { code: 0 });
    assert_eq!(text(&executed.stdout), "0123456\n".repeat(BOUND / 8));
    assert_eq!(text(&executed.stderr), "done\n");
    assert!(executed.truncated);
    // What goes on writing in the background is not waited for.
    let executed = exec(&mut running, shell("yes >&2 & echo left")).await;
    assert_eq!(executed.end, ExecEnd::Exited { code: 0 });
    assert_eq!(text(&executed.stdout), "left\n");
}

#[tokio::test]
async fn a_command_is_killed_with_what_it_has_started_when_its_time_is_over_and_others_run_meanwhile()
 {
    let mut running = idle().await;
    let late = Command {
        timeout: Some(Duration::from_secs(5)),
        ..shell("echo begun; sh -c 'echo $$ > /tmp/late; exec sleep 1000' | cat")
    };
    let late = running.commands.exec(late).await.unwrap();
    let quick = exec(&mut running, shell("echo quick")).await;
    assert_eq!(text(&quick.stdout), "quick\n");
    let late = ended(&mut running.events, late).await.unwrap();
    assert_eq!(late.end, ExecEnd::TimedOut);
    // On a busy host it may not have got as far.
    assert!(["", "begun\n"].contains(&text(&late.stdout).as_str()));
    let gone = "while kill -0 $(cat /tmp/late); do :; done 2>/dev/null; echo gone";
    let left = exec(&mut running, shell(gone)).await;
    assert_eq!(text(&left.stdout), "gone\n", "what it had started");
}

#[tokio::test]
async fn a_command_that_cannot_be_started_says_why_and_the_process_runs_on() {
    let mut running = idle().await;
    let user = Command {
        user: "nobody".into(),
        ..shell("true")
    };
    for (command, stage, message) in [
        (
            run(&["/app/check"]),
            "exec",
            r#""/app/check": No such file or directory"#,
        ),
        (
            user,
            "user",
            r#"there is no user "nobody" in the image's /etc/passwd"#,
        ),
        (
            run(&[]),
            "exec",
            "there is no command: neither the function nor its image names one",
        ),
    ] {
        let executed = exec(&mut running, command).await;
        let expected = Failed {
            stage: stage.into(),
            message: message.into(),
        };
        assert_eq!(executed.end, ExecEnd::NotStarted(expected));
    }
    let fine = exec(&mut running, run(&["busybox", "true"])).await;
    assert_eq!(fine.end, ExecEnd::Exited { code: 0 });
}

#[tokio::test]
async fn whoever_waits_for_a_command_is_told_when_nobody_listens_to_its_guest_any_more() {
    let mut running = idle().await;
    let never = running.commands.exec(shell("sleep 1000")).await.unwrap();
    drop(running.events);
    let error = never.ended().await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error}");
}
