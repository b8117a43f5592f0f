//! Containers: one has the port and serves, others run beside it.

use std::collections::BTreeSet;

use crate::core::{Container, ContainerPort, EnvFromSource, EnvVar, EnvVarSource};
use crate::field_error::FieldErrors;
use crate::quantity;

use super::probe;

/// Ports of Knative's queue-proxy; a function that listens there would not move to a cluster.
const RESERVED_PORTS: &[i64] = &[8008, 8012, 8013, 8022, 9090, 9091];
const RESERVED_ENV: &[&str] = &["PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"];
const RESERVED_NAME: &str = "queue-proxy";

pub(super) fn check(containers: &[Container], path: &str, errors: &mut FieldErrors) {
    let mut names = BTreeSet::new();
    let alone = containers.len() == 1;
    for (index, it) in containers.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if !it.name.is_empty() && !names.insert(&it.name) {
            errors.add(
                format!("duplicate container name {:?}", it.name),
                format!("{path}.name"),
            );
        }
        container(it, alone || !it.ports.is_empty(), &path, errors);
    }
    let ports: usize = containers
        .iter()
        .map(|container| container.ports.len())
        .sum();
    if ports > 1 {
        errors.add_with_details(
            "more than one container port is set",
            format!("{path}[*].ports"),
            "Only a single port is allowed across all containers",
        );
    } else if ports == 0 && containers.len() > 1 {
        errors.missing(format!("{path}[*].ports"));
    }
}

fn container(it: &Container, serves: bool, path: &str, errors: &mut FieldErrors) {
    let at = |field: &str| format!("{path}.{field}");
    if it.name == RESERVED_NAME {
        errors.add(
            format!("{:?} is a reserved container name", it.name),
            at("name"),
        );
    }
    if it.image.is_empty() {
        errors.missing(at("image"));
    } else if !is_image_reference(&it.image) {
        errors.add_with_details(
            "Failed to parse image reference",
            at("image"),
            format!(
                "image: {:?}, error: could not parse reference: {}",
                it.image, it.image
            ),
        );
    }
    env(it, serves, path, errors);
    resources(it, path, errors);
    if let Some(first) = it.ports.first() {
        port(first, &at("ports"), errors);
    }
    if serves {
        probe::check(it, path, errors);
    } else {
        probe::none(it, path, errors);
    }
    if !matches!(
        it.termination_message_policy.as_str(),
        "" | "File" | "FallbackToLogsOnError"
    ) {
        errors.invalid_value(
            &it.termination_message_policy,
            at("terminationMessagePolicy"),
        );
    }
    for field in ["runAsUser", "runAsGroup"] {
        let id = it.security_context.as_ref().and_then(|it| it.get(field));
        if let Some(id) = id.and_then(serde_json::Value::as_i64)
            && !(0..=i64::from(i32::MAX)).contains(&id)
        {
            errors.out_of_bounds(id, 0, i32::MAX, at(&format!("securityContext.{field}")));
        }
    }
}

fn env(it: &Container, serves: bool, path: &str, errors: &mut FieldErrors) {
    for (index, variable) in it.env.iter().enumerate() {
        let at_variable = format!("{path}.env[{index}]");
        let path = format!("{at_variable}.name");
        // Only the container that serves is told a port.
        let reserved = variable.name != "PORT" || serves;
        if variable.name.is_empty() {
            errors.missing(path);
        } else if reserved && RESERVED_ENV.contains(&variable.name.as_str()) {
            errors.add(
                format!("{:?} is a reserved environment variable", variable.name),
                path,
            );
        } else if !is_env_name(&variable.name) {
            errors.invalid_value(&variable.name, path);
        }
        if let Some(source) = &variable.value_from {
            value_from(source, variable, &at_variable, errors);
        }
    }
    for (index, source) in it.env_from.iter().enumerate() {
        env_from(source, index, path, errors);
    }
}

fn value_from(source: &EnvVarSource, variable: &EnvVar, path: &str, errors: &mut FieldErrors) {
    if !variable.value.is_empty() {
        let both = ["value", "valueFrom"].map(|field| format!("{path}.{field}"));
        errors.add_all("expected exactly one, got both", both);
    }
    let path = format!("{path}.valueFrom");
    let selectors = [
        ("configMapKeyRef", &source.config_map_key_ref),
        ("secretKeyRef", &source.secret_key_ref),
    ];
    if selectors.iter().all(|(_, selector)| selector.is_some()) {
        let both = selectors.map(|(field, _)| format!("{path}.{field}"));
        errors.add_all("expected exactly one, got both", both);
    }
    for (field, selector) in selectors {
        let Some(selector) = selector else { continue };
        for (part, text) in [("name", &selector.name), ("key", &selector.key)] {
            if text.is_empty() {
                errors.missing(format!("{path}.{field}.{part}"));
            }
        }
    }
}

fn env_from(source: &EnvFromSource, index: usize, container: &str, errors: &mut FieldErrors) {
    let path = format!("{container}.envFrom[{index}]");
    let references = [
        ("configMapRef", &source.config_map_ref),
        ("secretRef", &source.secret_ref),
    ];
    // Upstream does not say which of them.
    let both = references.map(|(field, _)| format!("{container}.envFrom.{field}"));
    match references.map(|(_, reference)| reference.is_some()) {
        [true, true] => errors.add_all("expected exactly one, got both", both),
        [false, false] => errors.add_all("expected exactly one, got neither", both),
        _ => {}
    }
    for (field, reference) in references {
        if reference.as_ref().is_some_and(|it| it.name.is_empty()) {
            errors.missing(format!("{path}.{field}.name"));
        }
    }
    if !source.prefix.is_empty() && !is_env_name(&source.prefix) {
        errors.invalid_value(&source.prefix, format!("{path}.prefix"));
    }
}

/// Whether a text can be a variable's name (k8s.io/apimachinery `pkg/util/validation`, `IsRelaxedEnvVarName`).
fn is_env_name(text: &str) -> bool {
    text.bytes()
        .all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=')
}

fn resources(it: &Container, path: &str, errors: &mut FieldErrors) {
    for (map, field) in [
        (&it.resources.limits, "limits"),
        (&it.resources.requests, "requests"),
    ] {
        for (resource, amount) in map {
            let sound = if resource == "cpu" {
                quantity::milli_cpus(amount)
            } else {
                quantity::bytes(amount)
            };
            if sound.is_none() {
                errors.invalid_value(amount, format!("{path}.resources.{field}[{resource}]"));
            }
        }
    }
}

fn port(port: &ContainerPort, path: &str, errors: &mut FieldErrors) {
    if !matches!(port.name.as_str(), "" | "h2c" | "http1") {
        errors.add_with_details(
            format!("Port name {} is not allowed", port.name),
            path,
            "Name must be empty, or one of: 'h2c', 'http1'",
        );
    }
    if !matches!(port.protocol.as_str(), "" | "TCP") {
        errors.invalid_value(&port.protocol, format!("{path}.protocol"));
    }
    let number = port.container_port;
    if RESERVED_PORTS.contains(&number) {
        errors.add_with_details(
            format!("invalid value: {number} is a reserved port"),
            format!("{path}.containerPort"),
            format!("{number} is a reserved port, please use a different value"),
        );
    } else if !(0..=65_535).contains(&number) {
        errors.out_of_bounds(number, 0, 65_535, format!("{path}.containerPort"));
    }
}

/// Whether a text can be an image reference, `[registry/]repository[:tag][@digest]`: what upstream's weak validation asks.
fn is_image_reference(text: &str) -> bool {
    let (text, digest) = match text.split_once('@') {
        Some((text, digest)) => (text, Some(digest)),
        None => (text, None),
    };
    // A colon after the last slash is a tag's; one before it is a port's.
    let (name, tag) = match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    };
    let repository = match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        _ => name,
    };
    let repository_letter = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(byte, b'_' | b'-' | b'.' | b'/')
    };
    let tag_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    repository.len() <= 255
        && repository.split('/').all(|part| !part.is_empty())
        && repository.bytes().all(repository_letter)
        && tag.is_none_or(|tag| (1..=128).contains(&tag.len()) && tag.bytes().all(tag_letter))
        && digest.is_none_or(is_digest)
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_references_are_told_from_other_texts() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        for reference in [
            "a",
            "library/busybox:1.36",
            "localhost:5000/a/b:latest",
            "ghcr.io/ease-lab/helloworld:var_workload",
            "dev.local/helloworld",
            &digest,
        ] {
            assert!(is_image_reference(reference), "{reference}");
        }
        for text in [
            "A",
            "a b",
            "a:",
            "a@sha256:1",
            "a:b c",
            ":tag",
            "docker.io/",
            "http://a/b",
        ] {
            assert!(!is_image_reference(text), "{text}");
        }
    }
}
