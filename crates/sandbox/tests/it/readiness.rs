//! When an instance counts as ready.

use std::time::Duration;

use sandbox::{Check, Checks, Memory, Probe, Reason, SaveError, Spec, Timing};
use testkit::guest::answer;
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::node::{LONG, Node, assert_failure, failure, ready, save, saved_as, stopped};

fn http(path: &str) -> Probe {
    Probe::Http {
        port: 8080,
        path: path.into(),
        headers: vec![("x-probe".into(), "yes".into())],
    }
}

#[tokio::test]
async fn a_function_is_not_ready_before_it_listens() {
    static LISTEN: Notify = Notify::const_new();
    let (started, mut starts) = mpsc::unbounded_channel();
    let node = Node::new(move |guest| {
        let started = started.clone();
        async move {
            let (mut link, _) = guest.start().await?;
            // Nothing listens yet: the probe is refused, again and again.
            started.send(())?;
            LISTEN.notified().await;
            let _listener = guest.listen(8080)?;
            link.shutdown().await?;
            Ok(())
        }
    })
    .await;
    let instance = node.start("hello");
    starts.recv().await.unwrap();
    assert!(instance.connect().await.is_err());
    assert_eq!(instance.state(), sandbox::State::Starting);
    LISTEN.notify_one();
    ready(&instance).await;
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_http_probe_asks_until_the_answer_is_good() {
    let (asked, mut asks) = mpsc::unbounded_channel();
    let node = Node::new(move |guest| {
        let asked = asked.clone();
        async move {
            let (_link, _) = guest.start().await?;
            let listener = guest.listen(8080)?;
            for status in ["503 Service Unavailable", "404 Not Found", "204 No Content"] {
                let (stream, _) = listener.accept().await?;
                answer(stream, status, "").await?;
                asked.send(status)?;
            }
            std::future::pending().await
        }
    })
    .await;
    let instance = node.sandbox.start(Spec {
        probe: http("/healthz?full=1"),
        ..node.spec("hello")
    });
    ready(&instance).await;
    assert_eq!(asks.recv().await, Some("503 Service Unavailable"));
    assert_eq!(asks.recv().await, Some("404 Not Found"));
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_http_probe_sends_its_path_and_headers() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (asked, mut asks) = mpsc::unbounded_channel();
    let node = Node::new(move |guest| {
        let asked = asked.clone();
        async move {
            let (_link, _) = guest.start().await?;
            let (mut stream, _) = guest.listen(8080)?.accept().await?;
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await?;
            }
            asked.send(String::from_utf8(request)?)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            std::future::pending().await
        }
    })
    .await;
    let instance = node.sandbox.start(Spec {
        probe: http("/healthz?full=1"),
        ..node.spec("hello")
    });
    ready(&instance).await;
    let request = asks.recv().await.unwrap();
    assert!(
        request.starts_with("GET /healthz?full=1 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("host: 172.16.0.2:8080\r\n"), "{request}");
    assert!(request.contains("x-probe: yes\r\n"), "{request}");
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_function_that_accepts_but_does_not_answer_is_not_ready() {
    let node = Node::new(|guest| async move {
        let (_link, _) = guest.start().await?;
        let _listener = guest.listen(8080)?;
        std::future::pending().await
    })
    .await;
    let instance = node.sandbox.start(Spec {
        probe: http("/"),
        ready_deadline: Duration::from_millis(300),
        ..node.spec("hello")
    });
    assert_failure(
        &failure(&instance).await,
        Reason::NeverListened,
        &["GET / on port 8080"],
    );
}

/// Tries every 20 ms, and believes three failures in a row.
fn check() -> Check {
    Check {
        probe: http("/"),
        timing: Timing {
            period: Duration::from_millis(20),
            ..Timing::default()
        },
    }
}

#[tokio::test]
async fn a_function_whose_startup_probe_goes_on_failing_has_not_started() {
    let node = Node::new(|guest| async move {
        let (_link, _) = guest.start().await?;
        let listener = guest.listen(8080)?;
        loop {
            let (stream, _) = listener.accept().await?;
            answer(stream, "503 Service Unavailable", "").await?;
        }
    })
    .await;
    let instance = node.sandbox.start(Spec {
        checks: Checks {
            startup: Some(check()),
            ..Checks::default()
        },
        ..node.spec("hello")
    });
    assert_failure(
        &failure(&instance).await,
        Reason::NeverListened,
        &["startup probe failed 3 times in a row"],
    );
}

#[tokio::test]
async fn a_function_that_is_no_longer_alive_fails_once_it_is_certain() {
    let (asked, mut asks) = mpsc::unbounded_channel();
    let node = Node::new(move |guest| {
        let asked = asked.clone();
        async move {
            let (_link, _) = guest.start().await?;
            let listener = guest.listen(8080)?;
            // One failure is forgiven, three in a row are not.
            let (good, bad) = ("200 OK", "500 Internal Server Error");
            for status in [good, good, bad, good, bad, bad, bad] {
                let (stream, _) = listener.accept().await?;
                asked.send(status)?;
                answer(stream, status, "").await?;
            }
            std::future::pending().await
        }
    })
    .await;
    let instance = node.sandbox.start(Spec {
        probe: http("/"),
        checks: Checks {
            liveness: Some(check()),
            ..Checks::default()
        },
        ..node.spec("hello")
    });
    assert_failure(
        &failure(&instance).await,
        Reason::Unhealthy,
        &["liveness probe failed 3 times in a row"],
    );
    let mut answered = 0;
    while asks.try_recv().is_ok() {
        answered += 1;
    }
    assert_eq!(answered, 7);
}

#[tokio::test]
async fn a_function_that_is_not_ready_for_a_while_says_so_and_lives_on() {
    static GO: Semaphore = Semaphore::const_new(0);
    let (asked, mut asks) = mpsc::unbounded_channel();
    let node = Node::new(move |guest| {
        let asked = asked.clone();
        async move {
            let (_link, _) = guest.start().await?;
            let listener = guest.listen(8080)?;
            let (good, bad) = ("200 OK", "503 Service Unavailable");
            // Once to be ready; then not, and ready again.
            let answers = [good, good, bad, bad, bad, bad, good, good, good];
            for status in answers {
                let (stream, _) = listener.accept().await?;
                GO.acquire().await?.forget();
                asked.send(())?;
                answer(stream, status, "").await?;
            }
            std::future::pending().await
        }
    })
    .await;
    let instance = node.sandbox.start(Spec {
        probe: http("/"),
        checks: Checks {
            readiness: check().timing,
            ..Checks::default()
        },
        ..node.spec("hello")
    });
    // What an answer means is known when the next question is put, and each waits for the test.
    let mut well = Vec::new();
    for _ in 0..9 {
        GO.add_permits(1);
        asks.recv().await.unwrap();
        well.push(instance.is_well());
    }
    assert_eq!(well[1..5], [true; 4], "two failures may pass");
    assert!(!well[5] && !well[6], "{well:?}");
    assert!(well[7] && well[8], "{well:?}");
    assert_eq!(instance.state(), sandbox::State::Ready);
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_function_that_is_not_ready_for_a_while_is_not_saved_and_does_not_become_well_by_its_end()
{
    let (asked, mut asks) = mpsc::unbounded_channel();
    let node = Node::new(move |guest| {
        let asked = asked.clone();
        async move {
            let (mut link, _) = guest.start().await?;
            let listener = guest.listen(8080)?;
            let serve = async {
                let mut status = "200 OK";
                loop {
                    let (stream, _) = listener.accept().await?;
                    answer(stream, status, "").await?;
                    asked.send(())?;
                    status = "503 Service Unavailable";
                }
            };
            tokio::select! {
                served = serve => served,
                asked = link.shutdown() => asked.map(drop),
            }
        }
    })
    .await;
    let instance = node.sandbox.start(Spec {
        probe: http("/"),
        checks: Checks {
            readiness: check().timing,
            ..Checks::default()
        },
        snapshot: Some(saved_as("key", Memory::File)),
        ..node.spec("hello")
    });
    ready(&instance).await;
    while instance.is_well() {
        asks.recv().await.unwrap();
    }
    assert_eq!(save(&instance).await.unwrap_err(), SaveError::NotReady);
    instance.stop(LONG);
    stopped(&instance).await;
    assert!(!instance.is_well());
}
