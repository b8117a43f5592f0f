//! Route → where its traffic goes.
//!
//! A Route whose targets cannot all be had keeps what it had: traffic moves as a whole or not at all.

use std::collections::BTreeMap;

use api::serving::{Addressable, Configuration, Revision, Route, TrafficTarget, condition};
use jiff::Timestamp;

use crate::conditions::{self, Verdict};
use crate::object::{Action, Object};
use crate::routing::{Domain, is_cluster_local};

pub(crate) fn plan(
    route: &Route,
    configuration: Option<&Configuration>,
    revisions: &BTreeMap<String, Revision>,
    domain: &Domain,
    now: Timestamp,
) -> Option<Action> {
    let (name, namespace) = (&route.metadata.name, &route.metadata.namespace);
    let local = is_cluster_local(&route.metadata);
    let url = |tag: &str| {
        if local {
            Domain::local_url(tag, name, namespace)
        } else {
            domain.url(tag, name, namespace)
        }
    };
    let mut updated = route.clone();
    let status = &mut updated.status;
    status.observed_generation = route.metadata.generation;
    status.url = url("");
    status.address = Some(Addressable {
        url: Domain::local_url("", name, namespace),
    });
    let assigned = match resolve(route, configuration, revisions) {
        Ok(targets) => {
            let targets = targets.into_iter().map(|target| TrafficTarget {
                configuration_name: String::new(),
                url: if target.tag.is_empty() {
                    String::new()
                } else {
                    url(&target.tag)
                },
                ..target
            });
            status.traffic = targets.collect();
            Verdict::yes()
        }
        Err(verdict) => verdict,
    };
    let ingress = if assigned.is_yes() || !status.traffic.is_empty() {
        Verdict::yes()
    } else {
        Verdict::unknown(
            "IngressNotConfigured",
            "Ingress has not yet been reconciled.",
        )
    };
    let plain = if local {
        "TLS is not enabled for cluster-local"
    } else {
        "external-domain-tls is not enabled"
    };
    let dependents = [
        ("AllTrafficAssigned", assigned),
        (
            "CertificateProvisioned",
            Verdict::new("True", "TLSNotEnabled", plain),
        ),
        ("IngressReady", ingress),
    ];
    status.conditions = conditions::write(&route.status.conditions, &dependents, &[], now);
    (updated.status != route.status).then(|| Action::UpdateStatus(Object::Route(Box::new(updated))))
}

/// Each share with the Revision that gets it, or why that cannot be said: of several reasons the first that will not pass by
/// itself, or else the first.
fn resolve(
    route: &Route,
    configuration: Option<&Configuration>,
    revisions: &BTreeMap<String, Revision>,
) -> Result<Vec<TrafficTarget>, Verdict> {
    let mut resolved = Vec::new();
    let mut problem: Option<Verdict> = None;
    for target in &route.spec.traffic {
        let revision = if target.revision_name.is_empty() {
            latest_ready(target, configuration, revisions)
        } else {
            pinned(&target.revision_name, revisions)
        };
        match revision {
            Ok(revision_name) => resolved.push(TrafficTarget {
                revision_name,
                latest_revision: Some(target.revision_name.is_empty()),
                percent: Some(target.percent.unwrap_or(0)),
                ..target.clone()
            }),
            Err(verdict)
                if problem
                    .as_ref()
                    .is_none_or(|it| verdict.is_no() && !it.is_no()) =>
            {
                problem = Some(verdict);
            }
            Err(_) => {}
        }
    }
    problem.map_or(Ok(resolved), Err)
}

fn pinned(name: &str, revisions: &BTreeMap<String, Revision>) -> Result<String, Verdict> {
    let Some(revision) = revisions.get(name) else {
        return Err(missing("Revision", name));
    };
    match Verdict::of_child(&revision.status.conditions) {
        ready if ready.is_yes() => Ok(name.to_owned()),
        failed if failed.is_no() => Err(Verdict::no(
            "RevisionMissing",
            format!("Revision {name:?} failed to become ready."),
        )),
        _ => Err(Verdict::unknown(
            "RevisionMissing",
            format!("Revision {name:?} is not yet ready."),
        )),
    }
}

fn latest_ready(
    target: &TrafficTarget,
    configuration: Option<&Configuration>,
    revisions: &BTreeMap<String, Revision>,
) -> Result<String, Verdict> {
    let name = &target.configuration_name;
    let Some(configuration) = configuration.filter(|it| it.metadata.name == *name) else {
        return Err(missing("Configuration", name));
    };
    let ready = &configuration.status.latest_ready_revision_name;
    if revisions.contains_key(ready) {
        return Ok(ready.clone());
    }
    if !ready.is_empty() {
        return Err(missing("Revision", ready));
    }
    let failed = condition(&configuration.status.conditions, "Ready")
        .is_some_and(|ready| ready.status == "False");
    Err(if failed {
        Verdict::no(
            "RevisionMissing",
            format!("Configuration {name:?} does not have any ready Revision."),
        )
    } else {
        Verdict::unknown(
            "RevisionMissing",
            format!("Configuration {name:?} is waiting for a Revision to become ready."),
        )
    })
}

fn missing(kind: &str, name: &str) -> Verdict {
    Verdict::no(
        format!("{kind}Missing"),
        format!("{kind} {name:?} referenced in traffic not found."),
    )
}
