//! Volumes, and where containers mount them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::field_error::FieldErrors;
use crate::serving::RevisionSpec;

use super::name::is_dns_1123_label;

/// Sources that Knative allows by default; the others are refused as forbidden fields.
const SOURCES: [&str; 4] = ["secret", "configMap", "projected", "emptyDir"];
const RESERVED_PATHS: [&str; 3] = ["/", "/dev", "/dev/log"];

pub(super) fn check(spec: &RevisionSpec, path: &str, errors: &mut FieldErrors) {
    let mounts = spec
        .containers
        .iter()
        .flat_map(|container| &container.volume_mounts);
    let mounted: BTreeSet<&str> = mounts.map(|mount| text(mount, "name")).collect();
    let mut volumes = BTreeMap::new();
    for (index, volume) in spec.volumes.iter().enumerate() {
        let path = format!("{path}.volumes[{index}]");
        let name = text(volume, "name");
        let at_name = format!("{path}.name");
        if name.is_empty() {
            errors.missing(at_name);
        } else if !is_dns_1123_label(name) {
            errors.invalid_value(name, at_name);
        } else if volumes.insert(name, volume).is_some() {
            errors.add(format!("duplicate volume name {name:?}"), at_name);
        } else if !mounted.contains(name) {
            errors.add(format!("volume with name {name:?} not mounted"), at_name);
        }
        source(volume, &path, errors);
    }
    for (index, container) in spec.containers.iter().enumerate() {
        let path = format!("{path}.containers[{index}].volumeMounts");
        mounts_of(&container.volume_mounts, &volumes, &path, errors);
    }
}

fn source(volume: &Value, path: &str, errors: &mut FieldErrors) {
    let at = |source: &str| format!("{path}.{source}");
    let given: Vec<String> = SOURCES
        .iter()
        .filter(|source| volume.get(**source).is_some())
        .map(|source| at(source))
        .collect();
    // A source that is forbidden has been refused already, and counts as one here.
    let other = volume.as_object().is_some_and(|fields| {
        fields
            .keys()
            .any(|key| key != "name" && !SOURCES.contains(&key.as_str()))
    });
    match given.len() {
        0 if !other => errors.add_all("expected exactly one, got neither", SOURCES.map(at)),
        0 | 1 => {}
        _ => errors.add_all("expected exactly one, got both", given),
    }
}

fn mounts_of(
    mounts: &[Value],
    volumes: &BTreeMap<&str, &Value>,
    path: &str,
    errors: &mut FieldErrors,
) {
    let mut places = BTreeSet::new();
    for (index, mount) in mounts.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if !volumes.contains_key(text(mount, "name")) {
            errors.add("volumeMount has no matching volume", format!("{path}.name"));
        }
        let at_place = format!("{path}.mountPath");
        let place = text(mount, "mountPath");
        let clean = match place.trim_end_matches('/') {
            "" => "/",
            clean => clean,
        };
        if place.is_empty() {
            errors.missing(at_place);
        } else if !place.starts_with('/') {
            errors.invalid_value(place, at_place);
        } else if RESERVED_PATHS.contains(&clean) {
            errors.add(format!("mountPath {clean:?} is a reserved path"), at_place);
        } else if !places.insert(clean) {
            errors.invalid_value(format!("{place:?} must be unique"), at_place);
        }
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
