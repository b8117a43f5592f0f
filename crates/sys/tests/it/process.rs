//! Real processes, ended by who they are.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sys::process::{Error, ProcessId};

const DEADLINE: Duration = Duration::from_secs(10);

/// A process that waits for its standard input, and ends with the test.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        let child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_killed_process_is_no_longer_alive_even_before_it_is_reaped() {
    let sleeper = Sleeper::start();
    let process = ProcessId::of(sleeper.0.id()).unwrap();
    assert!(process.alive());
    process.kill_and_wait(DEADLINE).unwrap();
    assert!(!process.alive());
}

#[test]
fn killing_what_is_gone_is_fine() {
    let mut sleeper = Sleeper::start();
    let process = ProcessId::of(sleeper.0.id()).unwrap();
    sleeper.0.kill().unwrap();
    sleeper.0.wait().unwrap();
    process.kill_and_wait(DEADLINE).unwrap();
    assert!(matches!(ProcessId::of(process.pid), Err(Error::Gone(_))));
}

#[test]
fn a_process_that_only_has_the_same_pid_is_left_alone() {
    let mut sleeper = Sleeper::start();
    let mut other = ProcessId::of(sleeper.0.id()).unwrap();
    other.start_time -= 1;
    assert!(!other.alive());
    other.kill_and_wait(DEADLINE).unwrap();
    assert!(sleeper.0.try_wait().unwrap().is_none());
}

#[test]
fn an_identity_survives_being_written_down() {
    let me = ProcessId::of(std::process::id()).unwrap();
    let text = serde_json::to_string(&me).unwrap();
    assert_eq!(serde_json::from_str::<ProcessId>(&text).unwrap(), me);
    assert!(me.alive());
}
