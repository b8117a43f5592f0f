//! Shares of traffic.

use std::collections::BTreeMap;

use crate::field_error::FieldErrors;
use crate::serving::TrafficTarget;

use super::name;

/// Whose shares they are: it decides how a target names what it follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A Service's: "latest" can only mean its own Configuration.
    Service,
    /// A Route's, whoever made it.
    Route,
}

pub(super) fn check(targets: &[TrafficTarget], owner: Owner, errors: &mut FieldErrors) {
    let mut tags: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (index, target) in targets.iter().enumerate() {
        let path = format!("spec.traffic[{index}]");
        check_target(target, owner, &path, errors);
        if !target.tag.is_empty() {
            if let Some(problem) = name::dns_1035_label(&target.tag) {
                // Upstream turns the path round here.
                errors.invalid_value(problem, format!("spec.traffic.tag[{index}]"));
            }
            tags.entry(&target.tag)
                .or_default()
                .push(format!("{path}.tag"));
        }
    }
    for (tag, paths) in tags {
        if paths.len() > 1 {
            errors.add_all(format!("Multiple definitions for {tag:?}"), paths);
        }
    }
    let sum = targets.iter().fold(0i64, |sum, target| {
        sum.saturating_add(target.percent.unwrap_or(0))
    });
    if sum != 100 {
        errors.add(
            format!("Traffic targets sum to {sum}, want 100"),
            "spec.traffic",
        );
    }
}

fn check_target(target: &TrafficTarget, owner: Owner, path: &str, errors: &mut FieldErrors) {
    let at = |field: &str| format!("{path}.{field}");
    if let Some(percent) = target.percent
        && !(0..=100).contains(&percent)
    {
        errors.out_of_bounds(percent, 0, 100, at("percent"));
    }
    if let Some(latest) = target.latest_revision
        && latest != target.revision_name.is_empty()
    {
        errors.add(
            format!(
                "may not set revisionName {:?} when latestRevision is {latest}",
                target.revision_name
            ),
            at("latestRevision"),
        );
    }
    let named = (
        !target.revision_name.is_empty(),
        !target.configuration_name.is_empty(),
    );
    match (owner, named) {
        (Owner::Service, (_, true)) => errors.disallowed(at("configurationName")),
        (_, (true, true)) => errors.add_all(
            "expected exactly one, got both",
            [at("revisionName"), at("configurationName")],
        ),
        (_, (true, false)) => key_name(&target.revision_name, at("revisionName"), errors),
        (_, (false, true)) => {
            key_name(&target.configuration_name, at("configurationName"), errors);
        }
        (Owner::Service, (false, false)) => {}
        (Owner::Route, (false, false)) => errors.add_all(
            "expected exactly one, got neither",
            [at("revisionName"), at("configurationName")],
        ),
    }
    if !target.url.is_empty() {
        errors.disallowed(at("url"));
    }
}

fn key_name(name: &str, path: String, errors: &mut FieldErrors) {
    let problems = name::qualified(name);
    if !problems.is_empty() {
        let message = format!("invalid key name {name:?}");
        errors.add_with_details(message, path, problems.join(", "));
    }
}
