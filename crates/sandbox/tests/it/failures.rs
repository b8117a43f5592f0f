//! Every way to fail, and what the user is told.

use std::time::Duration;

use agent::protocol::{Exited, Stream, ToHost};
use sandbox::{Exit, Reason, Spec, State};
use testkit::hypervisor::FakeHypervisor;
use tokio::sync::Notify;

use crate::node::{Node, assert_failure, failure, ready};

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_hypervisor_that_does_not_start_says_why() {
    let node = Node::with(FakeHypervisor::failing("no such accelerator"), |_| {}).await;
    let failure = failure(&node.start("hello")).await;
    assert_failure(
        &failure,
        Reason::HypervisorFailed,
        &["fake did not start", "no such accelerator"],
    );
    assert!(node.namespaces().is_empty());
}

#[tokio::test]
async fn a_hypervisor_that_hangs_is_given_up_at_the_boot_deadline() {
    let node = Node::with(FakeHypervisor::hanging(), |config| {
        config.boot_deadline = SHORT;
    })
    .await;
    assert_failure(
        &failure(&node.start("hello")).await,
        Reason::BootTimedOut,
        &["within 200ms"],
    );
}

#[tokio::test]
async fn a_guest_that_does_not_call_is_given_up_at_the_boot_deadline_and_its_console_is_quoted() {
    let script = |guest: testkit::guest::Guest| async move {
        guest
            .print_to_console("[1.0] waiting for root device /dev/vda\r\n")
            .await?;
        std::future::pending().await
    };
    let node = Node::with(FakeHypervisor::new(script), |config| {
        config.boot_deadline = SHORT;
    })
    .await;
    assert_failure(
        &failure(&node.start("hello")).await,
        Reason::BootTimedOut,
        &["within 200ms", "waiting for root device /dev/vda"],
    );
}

#[tokio::test]
async fn an_agent_that_never_confirms_the_start_is_given_up_at_the_boot_deadline() {
    let script = |guest: testkit::guest::Guest| async move {
        let mut link = guest.dial().await?;
        link.hello().await?;
        link.process().await?;
        std::future::pending().await
    };
    let node = Node::with(FakeHypervisor::new(script), |config| {
        config.boot_deadline = SHORT;
    })
    .await;
    assert_failure(
        &failure(&node.start("hello")).await,
        Reason::BootTimedOut,
        &[],
    );
}

#[tokio::test]
async fn nonsense_from_the_agent_is_a_failure_before_and_after_it_is_ready() {
    let node = Node::new(|guest| async move {
        guest.dial().await?.send_raw(&[0xff; 64]).await?;
        std::future::pending().await
    })
    .await;
    assert_failure(
        &failure(&node.start("early")).await,
        Reason::AgentProtocol,
        &["agent"],
    );

    let node = Node::new(|guest| async move {
        let (mut link, _) = guest.start().await?;
        let _listener = guest.listen(8080)?;
        link.send_raw(&[0xff; 64]).await?;
        std::future::pending().await
    })
    .await;
    assert_failure(
        &failure(&node.start("late")).await,
        Reason::AgentProtocol,
        &["agent"],
    );
}

#[tokio::test]
async fn an_agent_that_hangs_up_is_a_failure() {
    let node = Node::new(|guest| async move {
        let (link, _) = guest.start().await?;
        drop(link);
        std::future::pending().await
    })
    .await;
    assert_failure(
        &failure(&node.start("hello")).await,
        Reason::AgentProtocol,
        &["closed"],
    );
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_named() {
    let node = Node::new(|guest| async move {
        let mut link = guest.dial().await?;
        link.hello().await?;
        link.process().await?;
        link.failed("exec", "\"/app/server\": No such file or directory")
            .await?;
        std::future::pending().await
    })
    .await;
    assert_failure(
        &failure(&node.start("hello")).await,
        Reason::StartFailed,
        &["exec", "\"/app/server\": No such file or directory"],
    );
}

#[tokio::test]
async fn a_crash_at_the_start_carries_the_code_and_the_last_lines() {
    let node = Node::new(|guest| async move {
        let (mut link, _) = guest.start().await?;
        link.print(
            Stream::Stderr,
            "Traceback\nImportError: No module named flask",
        )
        .await?;
        link.exited(1).await?;
        Ok(())
    })
    .await;
    let failure = failure(&node.start("hello")).await;
    let exit = Exit {
        code: Some(1),
        signal: None,
    };
    assert_failure(
        &failure,
        Reason::ExitedEarly(exit),
        &[
            "exited with code 1 before it was ready",
            "\n  ImportError: No module named flask",
        ],
    );
    assert_eq!(failure.exit_code, Some(1));
}

#[tokio::test]
async fn a_function_that_never_listens_is_given_up_at_its_deadline_and_told_where_to_listen() {
    let node = Node::new(|guest| async move {
        let (mut link, _) = guest.start().await?;
        link.print(Stream::Stdout, "Serving on 127.0.0.1:5000\n")
            .await?;
        let _elsewhere = guest.listen(5000)?;
        std::future::pending().await
    })
    .await;
    let instance = node.sandbox.start(Spec {
        ready_deadline: SHORT,
        ..node.spec("hello")
    });
    assert_failure(
        &failure(&instance).await,
        Reason::NeverListened,
        &["within 200ms", "port 8080", "Serving on 127.0.0.1:5000"],
    );
}

#[tokio::test]
async fn a_function_that_ends_after_it_was_ready_has_exited() {
    let node = Node::new(|guest| async move {
        let (mut link, _) = guest.start().await?;
        let listener = guest.listen(8080)?;
        listener.accept().await?; // the probe
        listener.accept().await?; // the test
        link.send(&ToHost::Exited(Exited {
            code: None,
            signal: Some(11),
            oom: false,
        }))
        .await?;
        Ok(())
    })
    .await;
    let instance = node.start("hello");
    ready(&instance).await;
    instance.connect().await.unwrap();
    let exit = Exit {
        code: None,
        signal: Some(11),
    };
    assert_failure(
        &failure(&instance).await,
        Reason::Exited(exit),
        &["the function was killed by signal 11"],
    );
}

#[tokio::test]
async fn a_function_killed_for_want_of_memory_is_told_how_much_it_had() {
    let node = Node::new(|guest| async move {
        let (mut link, _) = guest.start().await?;
        link.send(&ToHost::Exited(Exited {
            code: None,
            signal: Some(9),
            oom: true,
        }))
        .await?;
        Ok(())
    })
    .await;
    assert_failure(
        &failure(&node.start("hello")).await,
        Reason::OutOfMemory,
        &["128 MiB", "resources.limits.memory"],
    );
}

#[tokio::test]
async fn a_hypervisor_that_dies_takes_its_instance_with_it_at_any_time() {
    let node = Node::new(|guest| async move {
        guest.die().await;
        Ok(())
    })
    .await;
    assert_failure(
        &failure(&node.start("early")).await,
        Reason::HypervisorDied,
        &["fake ended unexpectedly", "signal: 9"],
    );

    let node = Node::new(|guest| async move {
        let (_link, _) = guest.start().await?;
        let listener = guest.listen(8080)?;
        listener.accept().await?; // the probe
        listener.accept().await?; // the test
        guest.die().await;
        Ok(())
    })
    .await;
    let instance = node.start("late");
    ready(&instance).await;
    instance.connect().await.unwrap();
    assert_failure(
        &failure(&instance).await,
        Reason::HypervisorDied,
        &["signal: 9"],
    );
    assert!(node.namespaces().is_empty());
}

#[tokio::test]
async fn what_the_guest_said_before_its_hypervisor_died_is_heard() {
    let node = Node::new(|guest| async move {
        let (mut link, _) = guest.start().await?;
        link.exited(7).await?;
        guest.die().await;
        Ok(())
    })
    .await;
    let failure = failure(&node.start("hello")).await;
    assert_eq!(failure.exit_code, Some(7), "{}", failure.message);
}

#[tokio::test]
async fn a_network_that_cannot_be_made_fails_the_instance_and_leaves_nothing() {
    let node = Node::new(testkit::guest::well_behaved).await;
    // The first name the node would take is taken.
    let path = format!("/run/netns/vhive-{}-0", node.config.node_id);
    sys::netns::NetNs::create(path.as_ref()).unwrap();
    assert_failure(
        &failure(&node.start("hello")).await,
        Reason::NetworkFailed,
        &["exists already"],
    );
    assert!(!node.folder("hello").exists());
    ready(&node.start("hello")).await;
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_folder_that_is_in_the_way_fails_the_instance_and_stays() {
    let node = Node::new(testkit::guest::well_behaved).await;
    let folder = node.folder("hello");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("precious"), "").unwrap();
    assert_failure(
        &failure(&node.start("hello")).await,
        Reason::NetworkFailed,
        &["hello"],
    );
    assert!(folder.join("precious").exists());
    assert!(node.namespaces().is_empty());
}

#[tokio::test]
async fn a_failed_instance_is_told_so_before_it_is_taken_down() {
    static HELD: Notify = Notify::const_new();
    let node = Node::new(|guest| async move {
        let (mut link, _) = guest.start().await?;
        link.exited(0).await?;
        HELD.notified().await;
        Ok(())
    })
    .await;
    let instance = node.start("hello");
    assert!(matches!(instance.settled().await, State::Failed(_)));
    // A stop comes too late to change what happened.
    instance.stop(Duration::ZERO);
    let exit = Exit {
        code: Some(0),
        signal: None,
    };
    assert_failure(&failure(&instance).await, Reason::ExitedEarly(exit), &[]);
    HELD.notify_one();
}
