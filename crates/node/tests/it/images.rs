//! Which image a revision runs.

use crate::client::told;
use crate::rig::{IMAGE, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_runs_the_image_that_it_was_made_of_after_a_restart_too() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    assert_eq!(rig.functions.next().await.program, "/first");
    let remains = rig.shut_down().await;
    remains.build("/second");
    remains.images().gc().unwrap();
    let rig = Rig::on(remains).await;
    assert_eq!(rig.call("hello").await.body, "/first");
    rig.deploy("other").await;
    assert_eq!(rig.call("other").await.body, "/second");
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_gone_is_named_by_its_tag_and_its_digest() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    let revision = &rig.api.list("revisions").await[0];
    let digest = revision["status"]["containerStatuses"][0]["imageDigest"].as_str();
    let digest = digest.unwrap().split_once('@').unwrap().1.to_owned();
    let remains = rig.shut_down().await;
    remains.build("/second");
    let images = remains.images();
    images.retain_pins(|_| false).unwrap();
    images.gc().unwrap();
    let rig = Rig::on(remains).await;
    let revision = rig
        .api
        .until("revisions", "hello-00001", |revision| {
            told(revision).1 == "ContainerMissing"
        })
        .await;
    let message = told(&revision).2;
    for part in [IMAGE, digest.as_str()] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // The same image again is the same digest, and that is all it takes.
    rig.remains().build("/first");
    while rig.call("hello").await.status != 200 {}
    assert_eq!(rig.call("hello").await.body, "/first");
    rig.shut_down().await;
}
