//! Templates of Revisions, and their specs.

use crate::field_error::FieldErrors;
use crate::meta::ObjectMeta;
use crate::serving::{RevisionSpec, RevisionTemplate};
use crate::settings::{Defaults, Settings};

use super::{annotations, container, name, volume};

/// Checks the template of what has the metadata `parent`.
pub(super) fn check(
    it: &RevisionTemplate,
    parent: &ObjectMeta,
    path: &str,
    settings: &Settings,
    errors: &mut FieldErrors,
) {
    name(&it.metadata, parent, &format!("{path}.metadata"), errors);
    annotations::template(
        &it.metadata.annotations,
        &format!("{path}.metadata.annotations"),
        &settings.autoscaler,
        errors,
    );
    let at = format!("{path}.spec");
    spec(&it.spec, &at, &settings.defaults, errors);
}

/// A Revision's name begins with its parent's. As upstream's, this tells of one problem.
fn name(it: &ObjectMeta, parent: &ObjectMeta, path: &str, errors: &mut FieldErrors) {
    if let Some(problem) = name::dns_1035_prefix(&it.generate_name) {
        errors.invalid_value(problem, format!("{path}.generateName"));
        return;
    }
    if it.name.is_empty() {
        return;
    }
    let path = format!("{path}.name");
    let prefix = format!("{}-", parent.name);
    if let Some(problem) = name::dns_1035_label(&it.name) {
        errors.invalid_value(problem, path);
    } else if parent.name.is_empty() && !parent.generate_name.is_empty() {
        // Nobody knows yet what it would have to begin with.
        errors.disallowed(path);
    } else if !it.name.starts_with(&prefix) {
        errors.invalid_value(format!("{:?} must have prefix {prefix:?}", it.name), path);
    }
}

pub(super) fn spec(spec: &RevisionSpec, path: &str, given: &Defaults, errors: &mut FieldErrors) {
    let at = |field: &str| format!("{path}.{field}");
    let least = i64::from(!given.allow_container_concurrency_zero);
    let most = given.container_concurrency_max_limit;
    if let Some(concurrency) = spec.container_concurrency
        && !(least..=most).contains(&concurrency)
    {
        errors.out_of_bounds(concurrency, least, most, at("containerConcurrency"));
    }
    // Upstream checks the first of them and lets nonsense in the others come to nothing.
    for (seconds, field) in [
        (spec.timeout_seconds, "timeoutSeconds"),
        (
            spec.response_start_timeout_seconds,
            "responseStartTimeoutSeconds",
        ),
        (spec.idle_timeout_seconds, "idleTimeoutSeconds"),
    ] {
        if let Some(seconds) = seconds
            && !(0..=given.max_timeout_seconds).contains(&seconds)
        {
            errors.out_of_bounds(seconds, 0, given.max_timeout_seconds, at(field));
        }
    }
    for problem in name::dns_1123_subdomain(&spec.service_account_name) {
        if !spec.service_account_name.is_empty() {
            errors.add_with_details(
                format!("invalid value: {}", spec.service_account_name),
                at("serviceAccountName"),
                problem,
            );
        }
    }
    if spec.automount_service_account_token == Some(true) {
        errors.disallowed(at("automountServiceAccountToken"));
    }
    if spec.containers.is_empty() {
        errors.missing(at("containers"));
    }
    volume::check(spec, path, errors);
    container::check(&spec.containers, &at("containers"), errors);
}
