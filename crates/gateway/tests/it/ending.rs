//! How connections end.

use gateway::RevisionConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::rig::Rig;

/// Half of it is more than the sockets on the way hold.
const UPLOAD: usize = 16 << 20;

#[tokio::test]
async fn an_answer_is_not_lost_on_a_client_that_is_still_sending() {
    let rig = Rig::start(RevisionConfig::default(), vec![]).await;
    let mut client = rig.tcp().await;
    let head =
        format!("POST / HTTP/1.1\r\nhost: nobody.example\r\ncontent-length: {UPLOAD}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&vec![0; UPLOAD / 2]).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("nobody.example"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_neither_reads_nor_ends_is_not_waited_for_long() {
    let rig = Rig::start(RevisionConfig::default(), vec![]).await;
    let mut client = rig.tcp().await;
    let request = "GET / HTTP/1.1\r\nhost: nobody.example\r\nconnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let start = Instant::now();
    rig.shutdown.cancel();
    rig.served.await.unwrap();
    assert!(start.elapsed().as_secs() < 10);
}
