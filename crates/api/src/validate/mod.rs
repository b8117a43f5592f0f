//! What is refused, in Knative's words (knative.dev/serving `pkg/apis/serving`), and of the core kinds in Kubernetes'.

mod annotations;
mod config;
mod container;
mod difference;
mod name;
mod namespace;
mod probe;
mod template;
mod traffic;
mod volume;

use serde::Serialize;

use crate::field_error::FieldErrors;
use crate::meta::ObjectMeta;
use crate::serving::{Configuration, Revision, RevisionTemplate, Route, Service, label};
use crate::settings::Settings;

pub use config::{validate_config_map, validate_secret};
use difference::difference;
pub use namespace::validate_namespace;

/// Checks a Service; `old` is what it replaces.
pub fn validate_service(
    service: &Service,
    old: Option<&Service>,
    settings: &Settings,
) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    metadata(&service.metadata, &mut errors);
    annotations::rollout(&service.metadata.annotations, &mut errors);
    template::check(
        &service.spec.template,
        &service.metadata,
        "spec.template",
        settings,
        &mut errors,
    );
    traffic::check(&service.spec.traffic, traffic::Owner::Service, &mut errors);
    if let Some(old) = old {
        annotations::signatures(
            &service.metadata.annotations,
            &old.metadata.annotations,
            service.spec == old.spec,
            &mut errors,
        );
        same_name_new_template(&service.spec.template, &old.spec.template, &mut errors);
    }
    errors.into_result()
}

/// Checks a Configuration; `old` is what it replaces.
pub fn validate_configuration(
    configuration: &Configuration,
    old: Option<&Configuration>,
    settings: &Settings,
) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    metadata(&configuration.metadata, &mut errors);
    label_of_owner(
        &configuration.metadata,
        label::SERVICE,
        Service::KIND,
        &mut errors,
    );
    template::check(
        &configuration.spec.template,
        &configuration.metadata,
        "spec.template",
        settings,
        &mut errors,
    );
    if let Some(old) = old {
        signatures(
            &configuration.metadata,
            &old.metadata,
            configuration.spec == old.spec,
            &mut errors,
        );
        same_name_new_template(
            &configuration.spec.template,
            &old.spec.template,
            &mut errors,
        );
    }
    errors.into_result()
}

/// Checks a Revision; `old` is what it replaces. A Revision's spec never changes, and of a try to change it nothing else is
/// told.
pub fn validate_revision(
    revision: &Revision,
    old: Option<&Revision>,
    settings: &Settings,
) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    if let Some(old) = old
        && old.spec != revision.spec
    {
        errors.add_with_details(
            "Immutable fields changed (-old +new)",
            "spec",
            changes(&old.spec, &revision.spec),
        );
        return errors.into_result();
    }
    name::object(&revision.metadata, &mut errors);
    annotations::autoscaler(
        &revision.metadata.annotations,
        "metadata.annotations",
        &settings.autoscaler,
        &mut errors,
    );
    label_of_owner(
        &revision.metadata,
        label::CONFIGURATION,
        Configuration::KIND,
        &mut errors,
    );
    if old.is_none() {
        template::spec(&revision.spec, "spec", &settings.defaults, &mut errors);
    }
    errors.into_result()
}

/// Checks a Route; `old` is what it replaces.
pub fn validate_route(route: &Route, old: Option<&Route>) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    metadata(&route.metadata, &mut errors);
    label_of_owner(&route.metadata, label::SERVICE, Service::KIND, &mut errors);
    annotations::rollout(&route.metadata.annotations, &mut errors);
    traffic::check(&route.spec.traffic, traffic::Owner::Route, &mut errors);
    if let Some(old) = old {
        signatures(
            &route.metadata,
            &old.metadata,
            route.spec == old.spec,
            &mut errors,
        );
    }
    errors.into_result()
}

/// Metadata of what has a template, and of a Route: the name, and no annotation that works only in a template.
fn metadata(metadata: &ObjectMeta, errors: &mut FieldErrors) {
    name::object(metadata, errors);
    annotations::misplaced(&metadata.annotations, errors);
}

/// What belongs to another object takes over its signatures.
fn signatures(new: &ObjectMeta, old: &ObjectMeta, same_spec: bool, errors: &mut FieldErrors) {
    if new.owner_references.is_empty() {
        annotations::signatures(&new.annotations, &old.annotations, same_spec, errors);
    }
}

/// A label that says whose an object is has to be true: the owner of that kind has that name.
fn label_of_owner(metadata: &ObjectMeta, label: &str, kind: &str, errors: &mut FieldErrors) {
    let Some(name) = metadata.label(label) else {
        return;
    };
    let mut owners = metadata.owner_references.iter();
    if !owners.any(|owner| owner.kind == kind && owner.name == name) {
        errors.missing(format!("metadata.labels.{label}"));
    }
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
