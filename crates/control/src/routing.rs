//! From Routes to host names and shares.

use std::collections::BTreeSet;

use api::meta::ObjectMeta;
use api::serving::{Configuration, Route, TrafficTarget, condition};

use crate::traffic;

const VISIBILITY: &str = "networking.knative.dev/visibility";

/// How host names and URLs are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// What follows `NAME.NAMESPACE.`
    pub suffix: String,
    /// Port of the ingress; left out of URLs if it is 80.
    pub port: u16,
}

impl Domain {
    /// Host of a route, or of a tag of it.
    pub fn host(&self, tag: &str, name: &str, namespace: &str) -> String {
        format!("{}.{namespace}.{}", label(tag, name), self.suffix)
    }

    /// URL of a route, or of a tag of it.
    pub fn url(&self, tag: &str, name: &str, namespace: &str) -> String {
        let host = self.host(tag, name, namespace);
        match self.port {
            80 => format!("http://{host}"),
            port => format!("http://{host}:{port}"),
        }
    }

    /// URL of a route, or of a tag of it, for those inside a cluster.
    pub fn local_url(tag: &str, name: &str, namespace: &str) -> String {
        format!("http://{}.{namespace}.svc.cluster.local", label(tag, name))
    }
}

fn label(tag: &str, name: &str) -> String {
    if tag.is_empty() {
        name.to_owned()
    } else {
        format!("{tag}-{name}")
    }
}

/// Whether a route has no public host.
pub fn is_cluster_local(metadata: &ObjectMeta) -> bool {
    metadata.label(VISIBILITY) == Some("cluster-local")
}

/// One host and the revisions (by name, in the route's namespace) that share its traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTargets {
    /// Host name, no port.
    pub host: String,
    /// Revision and share.
    pub targets: Vec<(String, u32)>,
}

/// The hosts of one route. Where the latest ready revision is asked for and none was ever ready, the latest created one
/// stands in: its requests wait for it, and learn why it does not come. Where what is asked for cannot be had, traffic stays
/// where it was.
pub fn hosts(
    route: &Route,
    configuration: Option<&Configuration>,
    domain: &Domain,
) -> Vec<HostTargets> {
    let (name, namespace) = (&route.metadata.name, &route.metadata.namespace);
    let latest = configuration.map_or("", |configuration| {
        let status = &configuration.status;
        match status.latest_ready_revision_name.as_str() {
            "" => status.latest_created_revision_name.as_str(),
            ready => ready,
        }
    });
    let targets: Vec<Target<'_>> = targets(route)
        .iter()
        .map(|target| Target {
            tag: &target.tag,
            revision: match target.revision_name.as_str() {
                "" => latest,
                named => named,
            },
            percent: target.percent.unwrap_or(0),
        })
        .filter(|target| !target.revision.is_empty())
        .collect();
    let public = !is_cluster_local(&route.metadata);
    let mut hosts = Vec::new();
    let mut add = |tag: &str, targets: &[(String, u32)]| {
        if targets.is_empty() {
            return;
        }
        let label = label(tag, name);
        let local = ["", ".svc", ".svc.cluster.local"];
        let local = local.map(|suffix| format!("{label}.{namespace}{suffix}"));
        let public = public.then(|| domain.host(tag, name, namespace));
        for host in public.into_iter().chain(local) {
            hosts.push(HostTargets {
                host,
                targets: targets.to_vec(),
            });
        }
    };
    add("", &shares(&targets));
    let rollout = traffic::recorded(route).filter(|_| traffic::is_gradual(route));
    let tags: BTreeSet<&str> = targets.iter().map(|target| target.tag).collect();
    for tag in tags.into_iter().filter(|tag| !tag.is_empty()) {
        let stage = rollout.as_ref().and_then(|it| it.stage(tag));
        let of_tag: Vec<Target<'_>> = if let Some(stage) = stage {
            let shares = stage.revisions.iter();
            shares
                .map(|share| Target {
                    tag,
                    revision: &share.revision_name,
                    percent: share.percent,
                })
                .collect()
        } else {
            // The host of a tag has all of its target's traffic, whatever the target's share of the Route's host is.
            let newest = targets.iter().rev().find(|target| target.tag == tag);
            let all = newest.map(|target| Target {
                percent: 100,
                ..*target
            });
            all.into_iter().collect()
        };
        add(tag, &shares(&of_tag));
    }
    hosts
}

/// A share that goes to a Revision.
#[derive(Clone, Copy)]
struct Target<'a> {
    tag: &'a str,
    revision: &'a str,
    percent: i64,
}

fn shares(targets: &[Target<'_>]) -> Vec<(String, u32)> {
    let shares = targets.iter().map(|target| {
        let percent = target.percent.clamp(0, 100) as u32;
        (target.revision.to_owned(), percent)
    });
    shares.filter(|(_, percent)| *percent > 0).collect()
}

/// What is asked for; or what there was before, if it is known that that cannot be had, or if it comes little by little.
fn targets(route: &Route) -> &[TrafficTarget] {
    let status = &route.status;
    let current = status.observed_generation == route.metadata.generation;
    let assigned = condition(&status.conditions, "AllTrafficAssigned")
        .is_none_or(|condition| condition.status == "True");
    let held = (current && !assigned) || traffic::is_gradual(route);
    if held && !status.traffic.is_empty() {
        &status.traffic
    } else {
        &route.spec.traffic
    }
}
