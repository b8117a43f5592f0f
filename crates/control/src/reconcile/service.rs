//! Service → Configuration and Route, and what they say back.

use api::meta::{ObjectMeta, StringMap};
use api::serving::{
    Configuration, ConfigurationSpec, Route, RouteSpec, Service, TrafficTarget, annotation,
    service_labels,
};
use jiff::Timestamp;

use super::Revisions;
use super::configuration::{Latest, latest};
use crate::conditions::{self, Verdict};
use crate::object::{Action, Object, is_left_behind, owner};
use crate::traffic;

/// What `kubectl apply` notes is about the Service alone.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

pub(crate) fn plan(
    service: &Service,
    configuration: Option<&Configuration>,
    route: Option<&Route>,
    revisions: &Revisions<'_>,
    now: Timestamp,
) -> Vec<Action> {
    let configured = configure(service, configuration);
    let routed = match standing(service, configuration, &configured, revisions) {
        Standing::Clear => direct(service, configuration, route),
        Standing::NotYet => {
            Child::left_alone(Verdict::before(&service.status.conditions, "RoutesReady"))
        }
        Standing::NameTaken(name) => Child::left_alone(Verdict::no(
            "RevisionNameTaken",
            format!(
                "The revision name {name:?} is taken by a conflicting Revision, so traffic will not be migrated"
            ),
        )),
    };
    let mut updated = service.clone();
    let status = &mut updated.status;
    status.observed_generation = service.metadata.generation;
    if let Some(configuration) = configured.heard_of(configuration) {
        let said = &configuration.status;
        status
            .latest_created_revision_name
            .clone_from(&said.latest_created_revision_name);
        status
            .latest_ready_revision_name
            .clone_from(&said.latest_ready_revision_name);
    }
    if let Some(route) = routed.heard_of(route) {
        status.url.clone_from(&route.status.url);
        status.address.clone_from(&route.status.address);
        status.traffic.clone_from(&route.status.traffic);
    }
    let dependents = [
        ("ConfigurationsReady", configured.verdict),
        ("RoutesReady", routed.verdict),
    ];
    status.conditions = conditions::write(&service.status.conditions, &dependents, &[], now);
    let mut actions: Vec<Action> = [configured.action, routed.action]
        .into_iter()
        .flatten()
        .collect();
    if updated.status != service.status {
        actions.push(Action::UpdateStatus(Object::Service(Box::new(updated))));
    }
    actions
}

/// What there is to do about a child, and what the child says.
struct Child {
    action: Option<Action>,
    verdict: Verdict,
    /// Whether its status speaks of what it is asked for now.
    heard: bool,
}

impl Child {
    fn left_alone(verdict: Verdict) -> Self {
        Self {
            action: None,
            verdict,
            heard: false,
        }
    }

    fn out_of_date(kind: &str, action: Option<Action>) -> Self {
        let message =
            format!("The {kind} is still working to reflect the latest desired specification.");
        Self {
            action,
            verdict: Verdict::unknown("OutOfDate", message),
            heard: false,
        }
    }

    fn not_owned(kind: &str, name: &str) -> Self {
        let message = format!("There is an existing {kind} {name:?} that we do not own.");
        Self::left_alone(Verdict::no("NotOwned", message))
    }

    fn heard_of<'a, T>(&self, child: Option<&'a T>) -> Option<&'a T> {
        child.filter(|_| self.heard)
    }
}

fn configure(service: &Service, configuration: Option<&Configuration>) -> Child {
    let rollout = [
        annotation::ROLLOUT_DURATION,
        annotation::ROLLOUT_DURATION_OLD,
    ];
    let metadata = child_metadata(service, &[LAST_APPLIED, rollout[0], rollout[1]]);
    let spec = ConfigurationSpec {
        template: service.spec.template.clone(),
    };
    let Some(current) = configuration else {
        let new = Object::Configuration(Box::new(Configuration::new(metadata, spec)));
        return Child::out_of_date(Configuration::KIND, Some(Action::Create(new)));
    };
    if is_leaving(service, &current.metadata) {
        return Child::out_of_date(Configuration::KIND, None);
    }
    if !controls(service, &current.metadata) {
        return Child::not_owned(Configuration::KIND, &current.metadata.name);
    }
    let same_spec = current.spec == spec;
    let mut updated = current.clone();
    updated.spec = spec;
    updated.metadata.labels = metadata.labels;
    updated.metadata.annotations = metadata.annotations;
    let action =
        (updated != *current).then(|| Action::Update(Object::Configuration(Box::new(updated))));
    if !same_spec || current.status.observed_generation != current.metadata.generation {
        return Child::out_of_date(Configuration::KIND, action);
    }
    let verdict = Verdict::of_child(&current.status.conditions);
    Child {
        action,
        verdict,
        heard: true,
    }
}

fn direct(
    service: &Service,
    configuration: Option<&Configuration>,
    route: Option<&Route>,
) -> Child {
    let metadata = child_metadata(service, &[LAST_APPLIED]);
    let spec = RouteSpec {
        traffic: shares(service),
    };
    let Some(current) = route else {
        let new = Object::Route(Box::new(Route::new(metadata, spec)));
        return Child::out_of_date(Route::KIND, Some(Action::Create(new)));
    };
    if is_leaving(service, &current.metadata) {
        return Child::out_of_date(Route::KIND, None);
    }
    if !controls(service, &current.metadata) {
        return Child::not_owned(Route::KIND, &current.metadata.name);
    }
    let same_spec = current.spec == spec;
    let mut updated = current.clone();
    updated.spec = spec;
    updated.metadata.labels = metadata.labels;
    updated.metadata.annotations = metadata.annotations;
    let action = (updated != *current).then(|| Action::Update(Object::Route(Box::new(updated))));
    if !same_spec || current.status.observed_generation != current.metadata.generation {
        return Child::out_of_date(Route::KIND, action);
    }
    let verdict = match Verdict::of_child(&current.status.conditions) {
        ready if ready.is_yes() && !is_migrated(current, configuration) => Verdict::unknown(
            "TrafficNotMigrated",
            "Traffic is not yet migrated to the latest revision.",
        ),
        other => other,
    };
    Child {
        action,
        verdict,
        heard: true,
    }
}

/// Whether the Route may be touched.
enum Standing {
    Clear,
    NotYet,
    NameTaken(String),
}

/// A name that the user gave to a Revision can be that of another one: traffic must not get there. So the Configuration goes
/// first then.
fn standing(
    service: &Service,
    configuration: Option<&Configuration>,
    configured: &Child,
    revisions: &Revisions<'_>,
) -> Standing {
    if configured.verdict.reason == "NotOwned" {
        return Standing::NotYet;
    }
    if service.spec.template.metadata.name.is_empty() {
        return Standing::Clear;
    }
    match configured.heard_of(configuration) {
        None => Standing::NotYet,
        Some(configuration) => match latest(configuration, revisions) {
            Latest::Taken(name) => Standing::NameTaken(name),
            Latest::Missing(_) | Latest::There(_) | Latest::Leaving => Standing::Clear,
        },
    }
}

fn controls(service: &Service, child: &ObjectMeta) -> bool {
    child
        .controller()
        .is_some_and(|owner| owner.uid == service.metadata.uid)
}

/// Whether a child goes, or is one that a Service of the same name has left behind: then there is one to make once it is gone.
fn is_leaving(service: &Service, child: &ObjectMeta) -> bool {
    child.deletion_timestamp.is_some() || is_left_behind(child, Service::KIND, &service.metadata)
}

fn child_metadata(service: &Service, left_out: &[&str]) -> ObjectMeta {
    let mut labels = service.metadata.labels.clone();
    labels.extend(service_labels(&service.metadata));
    let annotations = service.metadata.annotations.iter();
    let annotations: StringMap = annotations
        .filter(|(key, _)| !left_out.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    ObjectMeta {
        name: service.metadata.name.clone(),
        namespace: service.metadata.namespace.clone(),
        labels,
        annotations,
        owner_references: vec![owner(Service::KIND, &service.metadata)],
        ..ObjectMeta::default()
    }
}

/// The Service's traffic as its Route wants it: "latest" names the Configuration.
fn shares(service: &Service) -> Vec<TrafficTarget> {
    let targets = service.spec.traffic.iter().cloned();
    targets
        .map(|mut target| {
            if target.revision_name.is_empty() {
                target.configuration_name.clone_from(&service.metadata.name);
            }
            target
        })
        .collect()
}

/// Whether traffic goes where it should by now: a Route may be ready and not yet know of the newest Revision.
fn is_migrated(route: &Route, configuration: Option<&Configuration>) -> bool {
    let latest = configuration.map_or("", |it| it.status.latest_ready_revision_name.as_str());
    let mut wanted = route.spec.traffic.clone();
    for target in &mut wanted {
        target.latest_revision = Some(target.revision_name.is_empty());
        if target.revision_name.is_empty() {
            latest.clone_into(&mut target.revision_name);
        }
    }
    let share = |target: &TrafficTarget| target.percent.unwrap_or(0);
    let wanted = traffic::merged(wanted);
    let actual = &route.status.traffic;
    wanted.len() == actual.len()
        && wanted.iter().zip(actual).all(|(wanted, actual)| {
            wanted.tag == actual.tag
                && wanted.revision_name == actual.revision_name
                && share(wanted) == share(actual)
        })
}
