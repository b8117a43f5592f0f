//! Templates of Revisions, and their specs.

use crate::field_error::FieldErrors;
use crate::serving::{RevisionSpec, RevisionTemplate};

use super::{annotations, container, name, volume};

/// `container-concurrency-max-limit` of upstream's defaults.
const MOST_CONCURRENCY: i64 = 1000;
/// `max-revision-timeout-seconds` of upstream's defaults.
const MOST_SECONDS: i64 = 600;

pub(super) fn check(it: &RevisionTemplate, owner: &str, path: &str, errors: &mut FieldErrors) {
    let prefix = format!("{owner}-");
    let name = &it.metadata.name;
    let at_name = format!("{path}.metadata.name");
    if !name.is_empty() {
        if let Some(problem) = name::dns_1035_label(name) {
            errors.invalid_value(problem, at_name);
        } else if owner.is_empty() {
            errors.disallowed(at_name);
        } else if !name.starts_with(&prefix) {
            errors.invalid_value(format!("{name:?} must have prefix {prefix:?}"), at_name);
        }
    }
    annotations::template(
        &it.metadata.annotations,
        &format!("{path}.metadata.annotations"),
        errors,
    );
    spec(&it.spec, &format!("{path}.spec"), errors);
}

pub(super) fn spec(spec: &RevisionSpec, path: &str, errors: &mut FieldErrors) {
    let at = |field: &str| format!("{path}.{field}");
    if let Some(concurrency) = spec.container_concurrency
        && !(0..=MOST_CONCURRENCY).contains(&concurrency)
    {
        errors.out_of_bounds(concurrency, 0, MOST_CONCURRENCY, at("containerConcurrency"));
    }
    for (seconds, field) in [
        (spec.timeout_seconds, "timeoutSeconds"),
        (
            spec.response_start_timeout_seconds,
            "responseStartTimeoutSeconds",
        ),
        (spec.idle_timeout_seconds, "idleTimeoutSeconds"),
    ] {
        if let Some(seconds) = seconds
            && !(0..=MOST_SECONDS).contains(&seconds)
        {
            errors.out_of_bounds(seconds, 0, MOST_SECONDS, at(field));
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
