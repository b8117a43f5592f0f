//! Knative Eventing, with a channel and a broker.

use crate::config::fill;
use crate::plan::{Component, Target};

use super::manifests::{applied, available, beside, fetched, written};

pub(super) fn component(target: &Target) -> Component {
    let knative = &target.config.knative;
    let url = |name: &str| {
        fill(
            &knative.knative_eventing_url_template,
            &[&knative.knative_version, name],
        )
    };
    let file = |step, why, folder, name: &str| {
        let url = url(name);
        let published = beside(&url);
        fetched(step, why, folder, url, published)
    };
    super::component("eventing", &["serving"], vec![
        file("eventing/crds-manifest", "the kinds of Knative Eventing", "eventing-crds", "eventing-crds.yaml"),
        written(
            "eventing/crds-overlay",
            "the manifest as it is",
            "eventing-crds",
            "kustomization.yaml",
            "resources: [eventing-crds.yaml]\n".to_owned(),
        ),
        applied("eventing/crds", "the kinds come before objects of them", "eventing-crds"),
        file("eventing/core", "events reach functions", "eventing", "eventing-core.yaml"),
        file("eventing/channel", "events wait in memory", "eventing", "in-memory-channel.yaml"),
        file("eventing/broker", "events are told apart by what they are of", "eventing", "mt-channel-broker.yaml"),
        written(
            "eventing/overlay",
            "the manifests as they are",
            "eventing",
            "kustomization.yaml",
            "resources:\n- eventing-core.yaml\n- in-memory-channel.yaml\n- mt-channel-broker.yaml\n".to_owned(),
        ),
        applied("eventing/apply", "events reach functions", "eventing"),
        available(
            "eventing/available",
            "Eventing's webhook",
            "deploy/eventing-webhook",
            "knative-eventing",
        ),
    ])
}
