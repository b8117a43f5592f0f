//! Asking instances to stop, at every moment of their lives.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent::protocol::Stream;
use sandbox::{Probe, Spec, State};
use testkit::guest::{Guest, well_behaved};
use testkit::hypervisor::FakeHypervisor;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::node::{LONG, Node, ready, stopped};

#[tokio::test]
async fn the_function_is_told_the_grace_and_may_use_it() {
    let (told, mut tell) = mpsc::unbounded_channel();
    let node = Node::new(move |guest| {
        let told = told.clone();
        async move {
            let (mut link, _) = guest.start().await?;
            let _listener = guest.listen(8080)?;
            let shutdown = link.shutdown().await?;
            told.send(shutdown.map(|shutdown| shutdown.grace_ms))?;
            link.print(Stream::Stdout, "bye\n").await?;
            link.exited(0).await?;
            Ok(())
        }
    })
    .await;
    let instance = node.start("hello");
    ready(&instance).await;
    instance.stop(LONG);
    assert_eq!(stopped(&instance).await, State::Stopped);
    assert_eq!(tell.recv().await.unwrap(), Some(LONG.as_millis() as u64));
}

#[tokio::test]
async fn a_function_that_does_not_end_is_killed_when_the_grace_is_over() {
    let node = Node::new(|guest| async move {
        let (mut link, _) = guest.start().await?;
        let _listener = guest.listen(8080)?;
        link.shutdown().await?;
        std::future::pending().await
    })
    .await;
    let instance = node.start("hello");
    ready(&instance).await;
    instance.stop(Duration::from_millis(50));
    assert_eq!(stopped(&instance).await, State::Stopped);
}

#[tokio::test]
async fn a_second_stop_can_shorten_the_grace_of_the_first() {
    let node = Node::new(|guest| async move {
        let (mut link, _) = guest.start().await?;
        let _listener = guest.listen(8080)?;
        link.shutdown().await?;
        std::future::pending().await
    })
    .await;
    let instance = node.start("hello");
    ready(&instance).await;
    instance.stop(LONG * 100);
    instance.stop(Duration::from_millis(50));
    assert_eq!(stopped(&instance).await, State::Stopped);

    let instance = node.start("hello");
    ready(&instance).await;
    instance.stop(LONG * 100);
    instance.stop(Duration::ZERO);
    assert_eq!(stopped(&instance).await, State::Stopped);
}

#[tokio::test]
async fn without_grace_the_function_is_not_even_asked() {
    let asked = Arc::new(AtomicBool::new(false));
    let ask = asked.clone();
    let node = Node::new(move |guest| {
        let asked = ask.clone();
        async move {
            let (mut link, _) = guest.start().await?;
            let _listener = guest.listen(8080)?;
            if link.shutdown().await?.is_some() {
                asked.store(true, Ordering::Relaxed);
            }
            Ok(())
        }
    })
    .await;
    let instance = node.start("hello");
    ready(&instance).await;
    instance.stop(Duration::ZERO);
    assert_eq!(stopped(&instance).await, State::Stopped);
    assert!(!asked.load(Ordering::Relaxed));
}

#[tokio::test]
async fn an_instance_stopped_before_it_began_is_stopped() {
    let node = Node::new(well_behaved).await;
    let instance = node.start("hello");
    instance.stop(LONG);
    assert_eq!(stopped(&instance).await, State::Stopped);
    assert!(node.namespaces().is_empty());
    assert!(!node.folder("hello").exists());
}

#[tokio::test]
async fn an_instance_can_be_stopped_while_it_boots() {
    let (booting, mut boots) = mpsc::unbounded_channel();
    let node = Node::new(move |_guest| {
        let booting = booting.clone();
        async move {
            booting.send(())?;
            std::future::pending().await
        }
    })
    .await;
    let instance = node.start("hello");
    boots.recv().await.unwrap();
    instance.stop(LONG);
    assert_eq!(stopped(&instance).await, State::Stopped);
    assert!(node.namespaces().is_empty());
}

#[tokio::test]
async fn an_instance_can_be_stopped_while_its_function_starts() {
    let (starting, mut starts) = mpsc::unbounded_channel();
    let node = Node::new(move |guest| {
        let starting = starting.clone();
        async move {
            let (mut link, _) = guest.start().await?;
            starting.send(())?;
            link.shutdown().await?;
            link.exited(0).await?;
            Ok(())
        }
    })
    .await;
    let instance = node.start("hello");
    starts.recv().await.unwrap();
    instance.stop(LONG);
    assert_eq!(stopped(&instance).await, State::Stopped);
}

#[tokio::test]
async fn an_instance_whose_hypervisor_hangs_stops_at_the_boot_deadline() {
    let node = Node::with(FakeHypervisor::hanging(), |config| {
        config.boot_deadline = Duration::from_millis(200);
    })
    .await;
    let instance = node.start("hello");
    let mut states = instance.watch();
    states
        .wait_for(|state| *state == State::Starting)
        .await
        .unwrap();
    instance.stop(Duration::ZERO);
    assert_eq!(stopped(&instance).await, State::Stopped);
    assert!(node.namespaces().is_empty());
}

#[tokio::test]
async fn a_connection_in_the_making_is_given_up_when_the_instance_ends() {
    let script = |guest: Guest| async move {
        let (mut link, _) = guest.start().await?;
        link.shutdown().await.map(drop)
    };
    let node = Node::with(FakeHypervisor::new(script).unreachable(), |_| {}).await;
    let instance = node.sandbox.start(Spec {
        probe: Probe::None,
        ..node.spec("hello")
    });
    ready(&instance).await;
    let mut connecting = Box::pin(instance.connect());
    assert!(
        timeout(Duration::from_millis(50), &mut connecting)
            .await
            .is_err(),
        "a guest that answers nothing cannot be connected to"
    );
    instance.stop(LONG);
    let error = timeout(LONG, connecting)
        .await
        .expect("still connecting")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    stopped(&instance).await;
}
