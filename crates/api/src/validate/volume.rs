//! Volumes, and where containers mount them.
//!
//! Modes and paths inside a volume are checked as Kubernetes checks those of a pod (k8s.io/kubernetes
//! `pkg/apis/core/validation`): no pod is made here that could be refused later.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use crate::core::{
    EmptyDirVolumeSource, KeyToPath, Projection, Volume, VolumeMount, VolumeProjection,
};
use crate::field_error::FieldErrors;
use crate::quantity;
use crate::serving::RevisionSpec;

use super::name::is_dns_1123_label;

/// Sources that there are; the others are refused as forbidden fields.
const SOURCES: [&str; 4] = ["secret", "configMap", "projected", "emptyDir"];
const RESERVED_PATHS: [&str; 3] = ["/", "/dev", "/dev/log"];

pub(super) fn check(spec: &RevisionSpec, path: &str, errors: &mut FieldErrors) {
    let mounts = spec
        .containers
        .iter()
        .flat_map(|container| &container.volume_mounts);
    let mounted: BTreeSet<&str> = mounts.map(|mount| mount.name.as_str()).collect();
    let mut volumes = BTreeMap::new();
    for (index, volume) in spec.volumes.iter().enumerate() {
        let path = format!("{path}.volumes[{index}]");
        let name = volume.name.as_str();
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

fn source(volume: &Volume, path: &str, errors: &mut FieldErrors) {
    let given = [
        volume.secret.is_some(),
        volume.config_map.is_some(),
        volume.projected.is_some(),
        volume.empty_dir.is_some(),
    ];
    one_of(SOURCES, given, path, errors);
    if let Some(map) = &volume.config_map {
        let path = format!("{path}.configMap");
        required(&map.name, &path, "name", errors);
        mode(map.default_mode, &path, "defaultMode", errors);
        items(&map.items, &path, errors);
    }
    if let Some(secret) = &volume.secret {
        let path = format!("{path}.secret");
        required(&secret.secret_name, &path, "secretName", errors);
        mode(secret.default_mode, &path, "defaultMode", errors);
        items(&secret.items, &path, errors);
    }
    if let Some(projected) = &volume.projected {
        let path = format!("{path}.projected");
        mode(projected.default_mode, &path, "defaultMode", errors);
        for (index, source) in projected.sources.iter().enumerate() {
            projection(source, &format!("{path}.sources[{index}]"), errors);
        }
    }
    if let Some(directory) = &volume.empty_dir {
        empty_dir(directory, &format!("{path}.emptyDir"), errors);
    }
}

/// Exactly one of several fields has to be given.
fn one_of<const N: usize>(
    fields: [&str; N],
    given: [bool; N],
    path: &str,
    errors: &mut FieldErrors,
) {
    let given: Vec<&str> = fields
        .into_iter()
        .zip(given)
        .filter_map(|(field, given)| given.then_some(field))
        .collect();
    let at = |field: &&str| format!("{path}.{field}");
    match given.len() {
        0 => errors.add_all("expected exactly one, got neither", fields.iter().map(at)),
        1 => {}
        _ => errors.add_all("expected exactly one, got both", given.iter().map(at)),
    }
}

fn projection(source: &VolumeProjection, path: &str, errors: &mut FieldErrors) {
    let given = [source.secret.is_some(), source.config_map.is_some()];
    one_of(["secret", "configMap"], given, path, errors);
    let mut check = |field: &str, projection: &Option<Projection>| {
        if let Some(projection) = projection {
            let path = format!("{path}.{field}");
            required(&projection.name, &path, "name", errors);
            items(&projection.items, &path, errors);
        }
    };
    check("secret", &source.secret);
    check("configMap", &source.config_map);
}

fn empty_dir(directory: &EmptyDirVolumeSource, path: &str, errors: &mut FieldErrors) {
    if !matches!(directory.medium.as_str(), "" | "Memory") {
        errors.invalid_value(&directory.medium, format!("{path}.medium"));
    }
    if let Some(limit) = &directory.size_limit
        && quantity::bytes(limit).is_none()
    {
        errors.invalid_value(limit, format!("{path}.sizeLimit"));
    }
}

fn items(items: &[KeyToPath], path: &str, errors: &mut FieldErrors) {
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}.items[{index}]");
        required(&item.key, &path, "key", errors);
        mode(item.mode, &path, "mode", errors);
        let at_path = format!("{path}.path");
        if item.path.is_empty() {
            errors.missing(at_path);
        } else if !stays_inside(&item.path) || item.path.starts_with("..") {
            errors.invalid_value(&item.path, at_path);
        }
    }
}

fn required(text: &str, path: &str, field: &str, errors: &mut FieldErrors) {
    if text.is_empty() {
        errors.missing(format!("{path}.{field}"));
    }
}

fn mode(mode: Option<i32>, path: &str, field: &str, errors: &mut FieldErrors) {
    if let Some(mode) = mode
        && !(0..=0o777).contains(&mode)
    {
        errors.out_of_bounds(mode, 0, 0o777, format!("{path}.{field}"));
    }
}

/// Whether a path cannot lead out of the folder that it is relative to.
fn stays_inside(path: &str) -> bool {
    Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn mounts_of(
    mounts: &[VolumeMount],
    volumes: &BTreeMap<&str, &Volume>,
    path: &str,
    errors: &mut FieldErrors,
) {
    let mut places = BTreeSet::new();
    for (index, mount) in mounts.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if !volumes.contains_key(mount.name.as_str()) {
            errors.add("volumeMount has no matching volume", format!("{path}.name"));
        }
        if !stays_inside(&mount.sub_path) {
            errors.invalid_value(&mount.sub_path, format!("{path}.subPath"));
        }
        let at_place = format!("{path}.mountPath");
        let place = mount.mount_path.as_str();
        let clean = clean(place);
        if place.is_empty() {
            errors.missing(at_place);
        } else if RESERVED_PATHS.contains(&clean.as_str()) {
            errors.add(format!("mountPath {clean:?} is a reserved path"), at_place);
        } else if !place.starts_with('/') {
            errors.invalid_value(place, at_place);
        } else if !places.insert(clean) {
            errors.invalid_value(format!("{place:?} must be unique"), at_place);
        }
    }
}

/// An absolute path without what leads nowhere, as Go's `path.Clean` has it; a relative one as it is.
fn clean(path: &str) -> String {
    if !path.starts_with('/') {
        return path.to_owned();
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_by_where_they_lead() {
        for (path, expected) in [
            ("/", "/"),
            ("/a//b/./c/", "/a/b/c"),
            ("/dev/../dev", "/dev"),
            ("/../..", "/"),
            ("a/b", "a/b"),
        ] {
            assert_eq!(clean(path), expected);
        }
    }
}
