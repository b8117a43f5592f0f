//! Route → where its traffic goes.

use std::collections::BTreeMap;

use api::serving::{Addressable, Configuration, Revision, Route, TrafficTarget, condition};
use jiff::Timestamp;

use crate::conditions::{self, Verdict};
use crate::object::{Action, Object};
use crate::routing::Domain;

pub(crate) fn plan(
    route: &Route,
    configuration: Option<&Configuration>,
    revisions: &BTreeMap<String, Revision>,
    domain: &Domain,
    now: Timestamp,
) -> Option<Action> {
    let (name, namespace) = (&route.metadata.name, &route.metadata.namespace);
    let mut updated = route.clone();
    let status = &mut updated.status;
    status.observed_generation = route.metadata.generation;
    status.url = domain.url("", name, namespace);
    status.address = Some(Addressable {
        url: format!("http://{name}.{namespace}.svc.cluster.local"),
    });
    let assigned = match resolve(route, configuration, revisions) {
        Ok(targets) => {
            status.traffic = targets
                .into_iter()
                .map(|target| {
                    let url = if target.tag.is_empty() {
                        String::new()
                    } else {
                        domain.url(&target.tag, name, namespace)
                    };
                    TrafficTarget {
                        configuration_name: String::new(),
                        url,
                        ..target
                    }
                })
                .collect();
            Verdict::yes()
        }
        Err(verdict) => verdict,
    };
    let ingress = if assigned.status == "True" {
        Verdict::yes()
    } else {
        Verdict::unknown("", "")
    };
    let certificate = Verdict {
        status: "True",
        reason: "TLSNotEnabled".to_owned(),
        message: "autoTLS is not enabled".to_owned(),
    };
    let dependents = [
        ("AllTrafficAssigned", assigned),
        ("CertificateProvisioned", certificate),
        ("IngressReady", ingress),
    ];
    status.conditions = conditions::write(&route.status.conditions, &dependents, &[], now);
    (updated.status != route.status).then(|| Action::UpdateStatus(Object::Route(Box::new(updated))))
}

/// Each share with the revision that gets it, or why that cannot be said.
fn resolve(
    route: &Route,
    configuration: Option<&Configuration>,
    revisions: &BTreeMap<String, Revision>,
) -> Result<Vec<TrafficTarget>, Verdict> {
    route
        .spec
        .traffic
        .iter()
        .map(|target| {
            let revision_name = if target.revision_name.is_empty() {
                latest_ready(target, configuration)?
            } else {
                target.revision_name.clone()
            };
            if !revisions.contains_key(&revision_name) {
                let message =
                    format!("Revision {revision_name:?} referenced in traffic not found.");
                return Err(Verdict::no("RevisionMissing", message));
            }
            Ok(TrafficTarget {
                revision_name,
                percent: Some(target.percent.unwrap_or(0)),
                ..target.clone()
            })
        })
        .collect()
}

fn latest_ready(
    target: &TrafficTarget,
    configuration: Option<&Configuration>,
) -> Result<String, Verdict> {
    let name = &target.configuration_name;
    let Some(configuration) = configuration.filter(|it| it.metadata.name == *name) else {
        return Err(Verdict::no(
            "ConfigurationMissing",
            format!("Configuration {name:?} referenced in traffic not found."),
        ));
    };
    let ready = &configuration.status.latest_ready_revision_name;
    if !ready.is_empty() {
        return Ok(ready.clone());
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
