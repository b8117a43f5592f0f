//! Route → where its traffic goes.
//!
//! A Route whose targets cannot all be had keeps what it had: traffic moves as a whole or not at all, or with a rollout
//! duration little by little.

use std::collections::BTreeMap;

use api::serving::{Addressable, Configuration, Revision, Route, TrafficTarget, condition, label};
use jiff::Timestamp;

use crate::conditions::{self, Verdict};
use crate::object::{Action, Object};
use crate::routing::{Domain, is_cluster_local};
use crate::traffic;

pub(crate) fn plan(
    route: &Route,
    configuration: Option<&Configuration>,
    revisions: &Revisions<'_>,
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
    let (assigned, ingress) = match resolve(route, configuration, revisions) {
        Ok(targets) => {
            let exists = |name: &str| revisions.own.contains_key(name);
            let split = traffic::split(route, targets, exists, now);
            let targets = split.targets.into_iter().map(|target| TrafficTarget {
                configuration_name: String::new(),
                url: if target.tag.is_empty() {
                    String::new()
                } else {
                    url(&target.tag)
                },
                ..target
            });
            status.traffic = targets.collect();
            traffic::record(&split.rollout, &mut status.annotations);
            let ingress = if split.rollout.is_done() {
                Verdict::yes()
            } else {
                Verdict::unknown(
                    "RolloutInProgress",
                    "A gradual rollout of the latest revision(s) is in progress.",
                )
            };
            (Verdict::yes(), ingress)
        }
        // Traffic is where it was, which is not where this generation wants it.
        Err(verdict) if route.status.observed_generation == route.metadata.generation => (
            verdict,
            Verdict::before(&route.status.conditions, "IngressReady"),
        ),
        Err(verdict) => (
            verdict,
            Verdict::unknown(
                "IngressNotConfigured",
                "Ingress has not yet been reconciled.",
            ),
        ),
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

/// The Revisions that a Route may name.
pub(crate) struct Revisions<'a> {
    /// Those of its Configuration.
    pub(crate) own: &'a BTreeMap<String, Revision>,
    /// Others that it does name.
    pub(crate) strangers: &'a BTreeMap<String, Revision>,
}

/// Each share with the Revision that is to get it, or why that cannot be said: of several reasons the last that will not pass
/// by itself, or else the first.
fn resolve(
    route: &Route,
    configuration: Option<&Configuration>,
    revisions: &Revisions<'_>,
) -> Result<Vec<TrafficTarget>, Verdict> {
    let mut resolved = Vec::new();
    let mut problem: Option<Verdict> = None;
    for target in &route.spec.traffic {
        let revision = if target.revision_name.is_empty() {
            latest_ready(target, configuration, revisions.own)
        } else {
            pinned(&target.revision_name, route, revisions)
        };
        match revision {
            Ok(revision_name) => resolved.push(TrafficTarget {
                revision_name,
                latest_revision: Some(target.revision_name.is_empty()),
                percent: Some(target.percent.unwrap_or(0)),
                ..target.clone()
            }),
            Err(verdict) if problem.is_none() || verdict.is_no() => problem = Some(verdict),
            Err(_) => {}
        }
    }
    problem.map_or(Ok(resolved), Err)
}

/// A Service's Route names none but the Service's own Revisions.
fn pinned(name: &str, route: &Route, revisions: &Revisions<'_>) -> Result<String, Verdict> {
    let own = revisions.own.get(name);
    let Some(revision) = own.or_else(|| revisions.strangers.get(name)) else {
        return Err(missing("Revision", name));
    };
    let owner = revision.metadata.label(label::SERVICE).unwrap_or_default();
    match route.metadata.label(label::SERVICE) {
        Some(service) if service != owner => {
            let whose = if owner.is_empty() {
                format!("Revision {name:?} does not belong to Service {service:?}.")
            } else {
                format!("Revision {name:?} belongs to Service {owner:?}, not Service {service:?}.")
            };
            Err(Verdict::no("RevisionNotOwned", whose))
        }
        // Nobody would look at a Route again when a Revision of another Configuration changes.
        None if own.is_none() => Err(missing("Revision", name)),
        _ => ready(revision),
    }
}

fn ready(revision: &Revision) -> Result<String, Verdict> {
    let name = &revision.metadata.name;
    match Verdict::of_child(&revision.status.conditions) {
        ready if ready.is_yes() => Ok(name.clone()),
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
    let latest = &configuration.status.latest_ready_revision_name;
    if !latest.is_empty() {
        return match revisions.get(latest) {
            Some(revision) => ready(revision),
            None => Err(missing("Revision", latest)),
        };
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
