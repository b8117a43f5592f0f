//! Commands beside a function, for probes and for whoever asks; and clones that are asked before they are ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agent::protocol::{ExecEnd, Executed, ToGuest, ToHost};
use sandbox::{Command, ExecError, Probe, Reason, Spec, State};
use testkit::guest::{Guest, Link, answer, well_behaved};
use testkit::hypervisor::FakeHypervisor;
use tokio::sync::{Semaphore, mpsc};

use crate::node::{LONG, Node, assert_failure, failure, ready, saved_as, stopped};

fn executed(id: u64, code: i32) -> ToHost {
    ToHost::Executed(Executed {
        id,
        end: ExecEnd::Exited { code },
        stdout: format!("said {id}").into_bytes(),
        stderr: Vec::new(),
        truncated: false,
    })
}

/// Waits for the next command, and returns its number and what it runs; `None` when the guest is to end.
async fn asked(link: &mut Link) -> anyhow::Result<Option<(u64, Vec<String>)>> {
    loop {
        match link.receive().await? {
            Some(ToGuest::Exec(exec)) => return Ok(Some((exec.id, exec.argv))),
            Some(ToGuest::Shutdown(_)) | None => return Ok(None),
            Some(_) => {}
        }
    }
}

fn command(name: &str) -> Command {
    Command {
        argv: vec![name.to_owned()],
        timeout: Some(LONG),
        max_output: 100,
        ..Command::default()
    }
}

#[tokio::test]
async fn a_probe_by_command_succeeds_with_exit_code_0_once_the_port_accepts() {
    static LISTEN: Semaphore = Semaphore::const_new(0);
    let (ran, mut runs) = mpsc::unbounded_channel();
    let node = Node::new(move |guest: Guest| {
        let ran = ran.clone();
        async move {
            let (mut link, _) = guest.start().await?;
            LISTEN.acquire().await?.forget();
            let _listener = guest.listen(8080)?;
            let mut codes = [1, 127].into_iter();
            while let Some((id, argv)) = asked(&mut link).await? {
                ran.send(argv)?;
                link.send(&executed(id, codes.next().unwrap_or(0))).await?;
            }
            Ok(())
        }
    })
    .await;
    let argv = vec!["/bin/check".to_owned(), "deep".to_owned()];
    let instance = node.sandbox.start(Spec {
        probe: Probe::Exec {
            command: argv.clone(),
            port: Some(8080),
        },
        ..node.spec("hello")
    });
    LISTEN.add_permits(1);
    ready(&instance).await;
    for _ in 0..3 {
        assert_eq!(runs.recv().await.unwrap(), argv);
    }
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn any_number_of_commands_run_at_once_and_each_gets_its_own_end() {
    let node = Node::new(|guest: Guest| async move {
        let (mut link, _) = guest.start().await?;
        let _listener = guest.listen(8080)?;
        // The first to come is the last to end.
        let mut under_way = Vec::new();
        while let Some((id, argv)) = asked(&mut link).await? {
            under_way.push((id, argv[0].parse()?));
            if under_way.len() == 2 {
                while let Some((id, code)) = under_way.pop() {
                    // One that nobody asked for is nobody's.
                    link.send(&executed(id + 1000, 9)).await?;
                    link.send(&executed(id, code)).await?;
                }
            }
        }
        Ok(())
    })
    .await;
    let instance = node.start("hello");
    ready(&instance).await;
    let (one, two) = tokio::join!(instance.exec(command("1")), instance.exec(command("2")));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.end, ExecEnd::Exited { code: 1 });
    assert_eq!(two.end, ExecEnd::Exited { code: 2 });
    assert_ne!(one.stdout, two.stdout);
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn no_command_runs_in_an_instance_without_a_function_nor_is_one_waited_for_when_it_ends() {
    let (ran, mut runs) = mpsc::unbounded_channel();
    let node = Node::new(move |guest: Guest| {
        let ran = ran.clone();
        async move {
            let (mut link, _) = guest.start().await?;
            let _listener = guest.listen(8080)?;
            while asked(&mut link).await?.is_some() {
                ran.send(())?;
            }
            link.exited(0).await
        }
    })
    .await;
    let instance = node.start("hello");
    let early = instance.exec(command("early")).await.unwrap_err();
    assert!(matches!(early, ExecError::NotRunning), "{early}");
    ready(&instance).await;
    let unanswered = tokio::spawn({
        let instance = instance.clone();
        async move { instance.exec(command("never")).await }
    });
    runs.recv().await.unwrap();
    instance.stop(LONG);
    stopped(&instance).await;
    unanswered.await.unwrap().unwrap_err();
    let late = instance.exec(command("late")).await.unwrap_err();
    assert!(matches!(late, ExecError::NotRunning), "{late}");
}

/// A node whose clones answer with a 503 until they have permits, and count what they are asked.
async fn with_clones(
    permits: &'static Semaphore,
    asked: &Arc<AtomicUsize>,
    within: Duration,
) -> Node {
    let node = Node::new(well_behaved).await;
    node.take_snapshot().await;
    let asked = asked.clone();
    let hypervisor = FakeHypervisor::new(move |guest: Guest| {
        let asked = asked.clone();
        async move {
            if !guest.restored {
                return well_behaved(guest).await;
            }
            let (mut link, _) = guest.resume().await?;
            let listener = guest.listen(8080)?;
            let serve = async {
                loop {
                    let (stream, _) = listener.accept().await?;
                    asked.fetch_add(1, Ordering::SeqCst);
                    let status = match permits.try_acquire() {
                        Ok(_) => "200 OK",
                        Err(_) => "503 Service Unavailable",
                    };
                    answer(stream, status, "").await?;
                }
            };
            tokio::select! {
                served = serve => served,
                told = link.shutdown() => told.map(drop),
            }
        }
    });
    node.succeeded_by(hypervisor, |config| config.boot_deadline = within)
        .await
}

fn clone_that_is_asked(node: &Node) -> Spec {
    Spec {
        probe: Probe::Http {
            port: 8080,
            path: "/".to_owned(),
            headers: Vec::new(),
        },
        snapshot: Some(saved_as("key", sandbox::Memory::File)),
        ..node.spec("clone")
    }
}

#[tokio::test]
async fn a_clone_whose_readiness_is_more_than_listening_is_ready_when_it_says_so_itself() {
    static PERMITS: Semaphore = Semaphore::const_new(0);
    let asked = Arc::default();
    let node = with_clones(&PERMITS, &asked, LONG).await;
    let clone = node.sandbox.start(clone_that_is_asked(&node));
    while asked.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(clone.state(), State::Starting);
    PERMITS.add_permits(1);
    ready(&clone).await;
    let phases: Vec<_> = clone.phases().iter().map(|phase| phase.name).collect();
    assert_eq!(
        phases,
        ["pool", "bind", "load", "resume", "agent", "function"]
    );
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_clone_of_which_only_a_connection_is_wanted_is_asked_nothing() {
    static PERMITS: Semaphore = Semaphore::const_new(0);
    let asked = Arc::default();
    let node = with_clones(&PERMITS, &asked, LONG).await;
    let clone = node.start_saveable("clone");
    ready(&clone).await;
    assert!(clone.snapshot().is_some());
    clone.stop(LONG);
    stopped(&clone).await;
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_clone_that_does_not_become_ready_loses_its_snapshot_and_says_what_was_expected() {
    static PERMITS: Semaphore = Semaphore::const_new(0);
    let node = with_clones(&PERMITS, &Arc::default(), Duration::from_secs(2)).await;
    let clone = node.sandbox.start(clone_that_is_asked(&node));
    assert_failure(
        &failure(&clone).await,
        Reason::RestoreFailed,
        &["was not ready within", "GET / on port 8080"],
    );
    assert!(
        node.sandbox
            .snapshot_of(&clone_that_is_asked(&node))
            .is_none()
    );
}
