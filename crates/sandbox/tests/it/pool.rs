//! Networks made ahead.

use std::collections::HashSet;
use std::time::Duration;

use sandbox::Phase;
use testkit::guest::well_behaved;
use testkit::hypervisor::FakeHypervisor;

use crate::node::{Node, ready, stopped};

#[tokio::test]
async fn the_pool_is_filled_ahead_refilled_after_and_emptied_at_the_end() {
    let node = Node::with(FakeHypervisor::new(well_behaved), |config| {
        config.net_pool_size = 3;
    })
    .await;
    node.sandbox.warm().await;
    let spares: HashSet<_> = node.namespaces().into_iter().collect();
    assert_eq!(spares.len(), 3);

    let instance = node.start("hello");
    ready(&instance).await;
    node.sandbox.warm().await;
    let now: HashSet<_> = node.namespaces().into_iter().collect();
    assert_eq!(now.len(), 4);
    assert!(
        now.is_superset(&spares),
        "the instance must have taken a spare network"
    );

    instance.stop(Duration::ZERO);
    stopped(&instance).await;
    let after: HashSet<_> = node.namespaces().into_iter().collect();
    assert_eq!(after.len(), 3, "a used network is thrown away");
    assert!(after.is_subset(&now));
    assert!(!after.is_superset(&spares), "the used network came back");

    node.sandbox.shutdown(Duration::ZERO).await;
    assert!(node.namespaces().is_empty());
}

#[tokio::test]
async fn a_burst_over_the_pool_gets_networks_all_the_same() {
    let node = Node::with(FakeHypervisor::new(well_behaved), |config| {
        config.net_pool_size = 2;
    })
    .await;
    node.sandbox.warm().await;
    let instances: Vec<_> = (0..6)
        .map(|number| node.start(&format!("hello-{number}")))
        .collect();
    for instance in &instances {
        ready(instance).await;
        let phases: Vec<Phase> = instance.phases();
        assert_eq!(phases.len(), 5);
    }
    node.sandbox.shutdown(Duration::ZERO).await;
    assert!(node.namespaces().is_empty());
}

#[tokio::test]
async fn a_pool_of_none_waits_for_nothing() {
    let node = Node::new(well_behaved).await;
    node.sandbox.warm().await;
    assert!(node.namespaces().is_empty());
}

#[tokio::test]
async fn a_shutdown_in_the_middle_of_a_refill_leaves_no_network() {
    let node = Node::with(FakeHypervisor::new(well_behaved), |config| {
        config.net_pool_size = 50;
    })
    .await;
    node.sandbox.shutdown(Duration::ZERO).await;
    assert!(node.namespaces().is_empty());
}
