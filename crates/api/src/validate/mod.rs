//! What is refused, in Knative's words (knative.dev/serving `pkg/apis/serving`).

mod annotations;
mod container;
mod difference;
mod name;
mod probe;
mod template;
mod traffic;
mod volume;

use serde::Serialize;

use crate::field_error::FieldErrors;
use crate::meta::ObjectMeta;
use crate::serving::{Configuration, Revision, RevisionTemplate, Route, Service, TrafficTarget};

use difference::difference;

/// Checks a Service; `old` is what it replaces.
pub fn validate_service(service: &Service, old: Option<&Service>) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    metadata(&service.metadata, &mut errors);
    annotations::rollout(&service.metadata.annotations, &mut errors);
    template::check(
        &service.spec.template,
        &service.metadata.name,
        "spec.template",
        &mut errors,
    );
    traffic::check(&service.spec.traffic, traffic::Owner::Service, &mut errors);
    if let Some(old) = old {
        same_name_new_template(&service.spec.template, &old.spec.template, &mut errors);
    }
    errors.into_result()
}

/// Checks a Configuration; `old` is what it replaces.
pub fn validate_configuration(
    configuration: &Configuration,
    old: Option<&Configuration>,
) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    metadata(&configuration.metadata, &mut errors);
    template::check(
        &configuration.spec.template,
        &configuration.metadata.name,
        "spec.template",
        &mut errors,
    );
    if let Some(old) = old {
        same_name_new_template(
            &configuration.spec.template,
            &old.spec.template,
            &mut errors,
        );
    }
    errors.into_result()
}

/// Checks a Revision; `old` is what it replaces. A Revision's spec never changes.
pub fn validate_revision(revision: &Revision, old: Option<&Revision>) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    name::object(&revision.metadata, &mut errors);
    annotations::template(
        &revision.metadata.annotations,
        "metadata.annotations",
        &mut errors,
    );
    match old {
        None => template::spec(&revision.spec, "spec", &mut errors),
        Some(old) if old.spec != revision.spec => errors.add_with_details(
            "Immutable fields changed (-old +new)",
            "spec",
            changes(&old.spec, &revision.spec),
        ),
        Some(_) => {}
    }
    errors.into_result()
}

/// Checks a Route.
pub fn validate_route(route: &Route) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    metadata(&route.metadata, &mut errors);
    annotations::rollout(&route.metadata.annotations, &mut errors);
    let owner = match route.metadata.controller() {
        Some(owner) if owner.kind == Service::KIND => traffic::Owner::ServicesRoute,
        _ => traffic::Owner::Route,
    };
    traffic::check(&route.spec.traffic, owner, &mut errors);
    errors.into_result()
}

/// Checks a Route's traffic.
pub fn validate_traffic(targets: &[TrafficTarget]) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    traffic::check(targets, traffic::Owner::ServicesRoute, &mut errors);
    errors.into_result()
}

/// Checks the template of a Configuration named `owner`.
pub fn validate_template(it: &RevisionTemplate, owner: &str) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    template::check(it, owner, "spec.template", &mut errors);
    errors.into_result()
}

/// Metadata of what has a template, and of a Route: the name, and no annotation that works only in a template.
fn metadata(metadata: &ObjectMeta, errors: &mut FieldErrors) {
    name::object(metadata, errors);
    annotations::misplaced(&metadata.annotations, errors);
}

/// A Revision that the user names must not change under its name.
fn same_name_new_template(
    new: &RevisionTemplate,
    old: &RevisionTemplate,
    errors: &mut FieldErrors,
) {
    if new.metadata.name.is_empty() || new.metadata.name != old.metadata.name || new == old {
        return;
    }
    errors.add_with_details(
        "Saw the following changes without a name change (-old +new)",
        "spec.template.metadata.name",
        changes(old, new),
    );
}

fn changes(old: &impl Serialize, new: &impl Serialize) -> String {
    difference(&serde_json::json!(old), &serde_json::json!(new))
}
