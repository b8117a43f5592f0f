//! An instance that does what it should.

use std::time::Duration;

use agent::protocol::Stream;
use sandbox::{Probe, Reason, State};
use testkit::guest::{greet, well_behaved};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::node::{LONG, Node, assert_failure, failure, ready, settled, stopped};

#[tokio::test]
async fn an_instance_becomes_ready_answers_stops_when_asked_and_leaves_nothing() {
    let node = Node::new(well_behaved).await;
    let instance = node.start("hello-1");
    assert_eq!(instance.id(), "hello-1");
    ready(&instance).await;
    assert_eq!(node.sandbox.instances().len(), 1);
    let pid = instance.pid().unwrap();
    assert!(sys::process::ProcessId::of(pid).unwrap().alive());

    let mut stream = instance.connect().await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");

    instance.stop(LONG);
    assert_eq!(stopped(&instance).await, State::Stopped);
    assert!(node.sandbox.instances().is_empty());
    assert!(sys::process::ProcessId::of(pid).is_err());
    assert!(!node.folder("hello-1").exists());
    assert!(node.namespaces().is_empty());
    assert_eq!(
        instance.connect().await.unwrap_err().kind(),
        std::io::ErrorKind::NotConnected
    );
}

#[tokio::test]
async fn the_states_come_in_their_order() {
    let node = Node::new(well_behaved).await;
    let instance = node.start("hello");
    let mut states = instance.watch();
    let mut seen = vec![states.borrow_and_update().clone()];
    let stop = instance.clone();
    while !seen.last().unwrap().is_terminal() {
        states.changed().await.unwrap();
        seen.push(states.borrow_and_update().clone());
        if seen.last() == Some(&State::Ready) {
            stop.stop(LONG);
        }
    }
    seen.dedup();
    assert_eq!(
        seen,
        [
            State::Pending,
            State::Starting,
            State::Ready,
            State::Draining,
            State::Stopped
        ]
    );
}

#[tokio::test]
async fn every_phase_of_the_start_is_timed_and_no_time_is_missing() {
    let node = Node::new(well_behaved).await;
    let before = std::time::Instant::now();
    let instance = node.start("hello");
    ready(&instance).await;
    let whole = before.elapsed();
    let phases = instance.phases();
    let names: Vec<_> = phases.iter().map(|phase| phase.name).collect();
    assert_eq!(
        names,
        ["network", "hypervisor", "boot", "agent", "function"]
    );
    assert!(phases.iter().all(|phase| phase.duration > Duration::ZERO));
    assert!(phases.iter().map(|phase| phase.duration).sum::<Duration>() <= whole);
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn the_guest_is_told_what_to_run_and_what_time_it_is() {
    let (told, mut tell) = mpsc::unbounded_channel();
    let node = Node::new(move |guest| {
        let told = told.clone();
        async move {
            let (mut link, process) = guest.start().await?;
            told.send(process)?;
            let _listener = guest.listen(8080)?;
            link.shutdown().await?;
            Ok(())
        }
    })
    .await;
    let now = jiff::Timestamp::now().as_microsecond().unsigned_abs();
    ready(&node.start("hello")).await;
    let process = tell.recv().await.unwrap();
    assert_eq!(process.argv, ["/app/server"]);
    assert_eq!(process.env, [("PORT".to_owned(), "8080".to_owned())]);
    assert!(process.time_unix_us >= now);
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn many_instances_with_the_same_addresses_live_side_by_side() {
    let node = Node::new(|guest| async move {
        let (mut link, _) = guest.start().await?;
        let listener = guest.listen(8080)?;
        tokio::select! {
            result = greet(listener) => result,
            result = link.shutdown() => result.map(drop),
        }
    })
    .await;
    let instances: Vec<_> = (0..8)
        .map(|number| node.start(&format!("hello-{number}")))
        .collect();
    for instance in &instances {
        ready(instance).await;
    }
    for instance in &instances {
        instance.connect().await.unwrap();
    }
    assert_eq!(node.namespaces().len(), 8);
    node.sandbox.shutdown(Duration::ZERO).await;
    assert!(node.namespaces().is_empty());
    for instance in &instances {
        assert_eq!(instance.state(), State::Stopped);
    }
}

#[tokio::test]
async fn without_a_probe_an_instance_is_ready_when_its_function_has_started() {
    let node = Node::new(|guest| async move {
        let (mut link, _) = guest.start().await?;
        link.print(Stream::Stdout, "I never listen\n").await?;
        link.shutdown().await?;
        Ok(())
    })
    .await;
    let instance = node.sandbox.start(sandbox::Spec {
        probe: Probe::None,
        ..node.spec("job")
    });
    ready(&instance).await;
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_id_names_one_running_instance_and_is_free_again_after() {
    let node = Node::new(well_behaved).await;
    let first = node.start("hello");
    ready(&first).await;
    let second = failure(&node.start("hello")).await;
    assert_failure(&second, Reason::Refused, &["\"hello\" is running already"]);
    assert_eq!(
        first.state(),
        State::Ready,
        "the refusal must not touch the first"
    );
    assert_eq!(node.sandbox.instances().len(), 1);

    first.stop(Duration::ZERO);
    stopped(&first).await;
    ready(&node.start("hello")).await;
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_id_that_is_no_plain_name_is_refused() {
    let node = Node::new(well_behaved).await;
    for id in ["", "..", "../outside", "a/b", ".lock"] {
        let failure = failure(&node.start(id)).await;
        assert_failure(&failure, Reason::Refused, &["cannot name an instance"]);
    }
}

#[tokio::test]
async fn after_a_shutdown_nothing_starts() {
    let node = Node::new(well_behaved).await;
    node.sandbox.shutdown(Duration::ZERO).await;
    let failure = failure(&node.start("late")).await;
    assert_failure(&failure, Reason::Refused, &["shutting down"]);
    assert!(node.namespaces().is_empty());
}

#[tokio::test]
async fn the_state_of_a_settled_instance_is_told_at_once() {
    let node = Node::new(well_behaved).await;
    let instance = node.start("hello");
    ready(&instance).await;
    assert_eq!(settled(&instance).await, State::Ready);
    node.sandbox.shutdown(Duration::ZERO).await;
}
