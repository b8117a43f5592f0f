//! What a function prints.

use std::time::Duration;

use agent::protocol::Stream;
use futures_util::StreamExt;
use sandbox::State;
use sandbox::logs::{self, Follow, From, Line};
use testkit::hypervisor::FakeHypervisor;

use crate::node::{LONG, Node, ready, stopped};

#[tokio::test]
async fn a_log_is_followed_from_its_start_to_the_end_of_its_instance() {
    let node = Node::new(|guest| async move {
        let (mut link, _) = guest.start().await?;
        link.print(Stream::Stdout, "one\ntw").await?;
        link.print(Stream::Stderr, "oops\n").await?;
        link.print(Stream::Stdout, "o\n").await?;
        let _listener = guest.listen(8080)?;
        link.shutdown().await?;
        link.print(Stream::Stdout, "bye").await?;
        link.exited(0).await?;
        Ok(())
    })
    .await;
    let instance = node.start("hello");
    ready(&instance).await;
    let entries = logs::follow(instance.log(), From::Start, true)
        .await
        .unwrap();
    instance.stop(LONG);
    let entries: Vec<_> = entries.map(Result::unwrap).collect().await;
    let lines: Vec<_> = entries
        .iter()
        .map(|entry| Line::parse(entry).expect("an entry in CRI format"))
        .map(|line| {
            let text = str::from_utf8(line.text).unwrap();
            (line.stream.to_string(), line.partial, text)
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("stdout".to_owned(), false, "one"),
            ("stderr".to_owned(), false, "oops"),
            ("stdout".to_owned(), false, "two"),
            ("stdout".to_owned(), true, "bye"),
        ]
    );
    assert_eq!(stopped(&instance).await, State::Stopped);
    // The log outlives the instance, for whoever wants to know why it ended.
    let again = logs::follow(instance.log(), From::Start, true)
        .await
        .unwrap();
    assert_eq!(again.count().await, lines.len());
    logs::remove(instance.log().path()).unwrap();
    assert!(!instance.log().path().exists());
}

#[tokio::test]
async fn the_log_of_an_instance_that_is_still_booting_is_waited_for() {
    let node = Node::new(|guest| async move {
        let (mut link, _) = guest.start().await?;
        link.print(Stream::Stdout, "here\n").await?;
        link.shutdown().await?;
        Ok(())
    })
    .await;
    let instance = node.start("slow");
    let mut entries = Follow::open(instance.log(), From::Start, true)
        .await
        .unwrap();
    let entry = entries.next().await.unwrap().unwrap();
    assert_eq!(Line::parse(&entry).unwrap().text, b"here");
    node.sandbox.shutdown(Duration::ZERO).await;
    assert_eq!(entries.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_function_that_floods_its_log_fills_neither_the_disk_nor_the_way_of_a_stop() {
    let script = |guest: testkit::guest::Guest| async move {
        let (mut link, _) = guest.start().await?;
        let _listener = guest.listen(8080)?;
        let flood = "x".repeat(1000) + "\n";
        loop {
            link.print(Stream::Stdout, &flood).await?;
        }
    };
    let node = Node::with(FakeHypervisor::new(script), |config| {
        config.log_max_bytes = 64 * 1024;
    })
    .await;
    let instance = node.start("flood");
    ready(&instance).await;
    let path = instance.log().path().to_owned();
    let old = path.with_extension("log.1");
    // More than both files hold, so it has rotated by the time this has been read.
    let mut entries = Follow::open(instance.log(), From::Start, true)
        .await
        .unwrap();
    for _ in 0..200 {
        entries.next().await.unwrap().unwrap();
    }
    assert!(old.exists());
    for file in [&path, &old] {
        // While a rotation is under way the newer one may not be there.
        let size = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
        assert!(size <= 64 * 1024, "{size} bytes in {}", file.display());
    }
    instance.stop(Duration::from_millis(50));
    assert_eq!(stopped(&instance).await, State::Stopped);
}
