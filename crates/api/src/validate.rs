//! What is refused, in Knative's words.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::core::Container;
use crate::field_error::FieldErrors;
use crate::meta::{ObjectMeta, StringMap};
use crate::quantity;
use crate::serving::{RevisionSpec, RevisionTemplate, Service, TrafficTarget};

const MOST_CONCURRENCY: i64 = 1000;
const MOST_SECONDS: i64 = 600;
const RESERVED_PORTS: &[i64] = &[8008, 8012, 8013, 8022, 9090, 9091];
const RESERVED_ENV: &[&str] = &["PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"];
const AUTOSCALING: &str = "autoscaling.knative.dev/";
const TEMPLATE: &str = "spec.template";

/// Checks a Service; `old` is what it replaces.
pub fn validate_service(service: &Service, old: Option<&Service>) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    name(&service.metadata, "metadata.name", &mut errors);
    for key in service
        .metadata
        .annotations
        .keys()
        .filter(|key| key.starts_with(AUTOSCALING))
    {
        errors.add_with_details(
            format!("invalid key name {key:?}"),
            "metadata.annotations",
            r#"autoscaling annotations must be put under "spec.template.metadata.annotations" to work"#,
        );
    }
    template(&service.spec.template, &service.metadata.name, &mut errors);
    traffic(&service.spec.traffic, "spec.traffic", &mut errors);
    if let Some(old) = old {
        same_name_new_template(&service.spec.template, &old.spec.template, &mut errors);
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// Checks a Route's traffic.
pub fn validate_traffic(targets: &[TrafficTarget]) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    traffic(targets, "spec.traffic", &mut errors);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// Checks the template of a Configuration named `owner`.
pub fn validate_template(it: &RevisionTemplate, owner: &str) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    template(it, owner, &mut errors);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

fn name(metadata: &ObjectMeta, path: &str, errors: &mut FieldErrors) {
    if metadata.name.is_empty() && metadata.generate_name.is_empty() {
        errors.add("name or generateName is required", path);
    } else if !metadata.name.is_empty() && !is_dns_1035_label(&metadata.name) {
        errors.add(
            "not a DNS 1035 label: [a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
             with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', \
             regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')]",
            path,
        );
    }
}

fn is_dns_1035_label(text: &str) -> bool {
    let letter_or_digit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|last| letter_or_digit(*last))
        && bytes
            .iter()
            .all(|byte| letter_or_digit(*byte) || *byte == b'-')
}

fn template(it: &RevisionTemplate, owner: &str, errors: &mut FieldErrors) {
    let prefix = format!("{owner}-");
    if !it.metadata.name.is_empty() && !it.metadata.name.starts_with(&prefix) {
        errors.invalid_value(
            format!("{:?} must have prefix {prefix:?}", it.metadata.name),
            format!("{TEMPLATE}.metadata.name"),
        );
    }
    annotations(&it.metadata.annotations, errors);
    spec(&it.spec, errors);
}

fn spec(spec: &RevisionSpec, errors: &mut FieldErrors) {
    let at = |field: &str| format!("{TEMPLATE}.spec.{field}");
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
    if spec.containers.is_empty() {
        errors.missing(at("containers"));
    }
    for (index, container) in spec.containers.iter().enumerate() {
        self::container(container, &at(&format!("containers[{index}]")), errors);
    }
    ports(&spec.containers, &at("containers"), errors);
}

fn container(container: &Container, path: &str, errors: &mut FieldErrors) {
    if container.image.is_empty() {
        errors.missing(format!("{path}.image"));
    }
    for (index, variable) in container.env.iter().enumerate() {
        if variable.name.is_empty() {
            errors.missing(format!("{path}.env[{index}].name"));
        } else if RESERVED_ENV.contains(&variable.name.as_str()) {
            errors.add(
                format!("{:?} is a reserved environment variable", variable.name),
                format!("{path}.env[{index}].name"),
            );
        }
    }
    for (map, field) in [
        (&container.resources.limits, "limits"),
        (&container.resources.requests, "requests"),
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

fn ports(containers: &[Container], path: &str, errors: &mut FieldErrors) {
    if containers
        .iter()
        .map(|container| container.ports.len())
        .sum::<usize>()
        > 1
    {
        errors.add_with_details(
            "more than one container port is set",
            format!("{path}[*].ports"),
            "Only a single port is allowed across all containers",
        );
    }
    if containers.len() > 1
        && containers
            .iter()
            .all(|container| container.ports.is_empty())
    {
        errors.missing(format!("{path}.ports"));
    }
    for (index, container) in containers.iter().enumerate() {
        for port in &container.ports {
            let path = format!("{path}[{index}].ports");
            if !matches!(port.name.as_str(), "" | "h2c" | "http1") {
                errors.add_with_details(
                    format!("Port name {} is not allowed", port.name),
                    &path,
                    "Name must be empty, or one of: 'h2c', 'http1'",
                );
            }
            if !matches!(port.protocol.as_str(), "" | "TCP") {
                errors.invalid_value(&port.protocol, format!("{path}.protocol"));
            }
            if RESERVED_PORTS.contains(&port.container_port) {
                errors.add_with_details(
                    format!("{} is a reserved port", port.container_port),
                    format!("{path}.containerPort"),
                    format!("reserved: {RESERVED_PORTS:?}"),
                );
            } else if !(0..=65_535).contains(&port.container_port) {
                errors.out_of_bounds(
                    port.container_port,
                    0,
                    65_535,
                    format!("{path}.containerPort"),
                );
            }
        }
    }
}

fn traffic(targets: &[TrafficTarget], path: &str, errors: &mut FieldErrors) {
    let mut sum = 0;
    let mut tags: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, target) in targets.iter().enumerate() {
        let percent = target.percent.unwrap_or(0);
        if !(0..=100).contains(&percent) {
            errors.out_of_bounds(percent, 0, 100, format!("{path}[{index}].percent"));
        }
        sum += percent;
        if !target.tag.is_empty() {
            tags.entry(&target.tag).or_default().push(index);
        }
        if target.latest_revision == Some(true) && !target.revision_name.is_empty() {
            errors.invalid_value("true", format!("{path}[{index}].latestRevision"));
        }
        if !target.url.is_empty() {
            errors.disallowed(format!("{path}[{index}].url"));
        }
    }
    for (tag, indices) in tags.iter().filter(|(_, indices)| indices.len() > 1) {
        for index in indices {
            errors.add(
                format!("Multiple definitions for {tag:?}"),
                format!("{path}[{index}].tag"),
            );
        }
    }
    if !targets.is_empty() && sum != 100 {
        errors.add(format!("Traffic targets sum to {sum}, want 100"), path);
    }
}

fn annotations(annotations: &StringMap, errors: &mut FieldErrors) {
    let path = |key: &str| format!("{TEMPLATE}.metadata.annotations.{AUTOSCALING}{key}");
    let get = |key: &str| {
        annotations
            .get(&format!("{AUTOSCALING}{key}"))
            .map(String::as_str)
    };
    let mut scales = BTreeMap::new();
    for key in ["min-scale", "max-scale", "initial-scale"] {
        let Some(text) = get(key) else { continue };
        match text.parse::<i64>() {
            Ok(value @ 0..=2_147_483_647) => {
                scales.insert(key, value);
            }
            Ok(value) => errors.out_of_bounds(value, 0, i32::MAX, path(key)),
            Err(_) => errors.invalid_value(text, path(key)),
        }
    }
    if let (Some(min), Some(max)) = (scales.get("min-scale"), scales.get("max-scale"))
        && *max != 0
        && max < min
    {
        errors.add(
            format!("max-scale={max} is less than min-scale={min}"),
            format!("{}, {}", path("max-scale"), path("min-scale")),
        );
    }
    if let Some(text) = get("target") {
        match text.parse::<f64>() {
            Ok(value) if value >= 0.01 => {}
            Ok(value) => errors.add(
                format!("target {value} should be at least 0.01"),
                path("target"),
            ),
            Err(_) => errors.invalid_value(text, path("target")),
        }
    }
    if let Some(text) = get("window") {
        match crate::duration::parse(text) {
            Some(window) if (6..=3600).contains(&window.as_secs()) => {}
            Some(_) => errors.add(format!("expected 6s <= {text} <= 1h0m0s"), path("window")),
            None => errors.invalid_value(text, path("window")),
        }
    }
}

/// A Revision that the user names must not change under its name.
fn same_name_new_template(
    new: &RevisionTemplate,
    old: &RevisionTemplate,
    errors: &mut FieldErrors,
) {
    if new.metadata.name.is_empty()
        || new.metadata.name != old.metadata.name
        || new.spec == old.spec
    {
        return;
    }
    errors.add_with_details(
        "Saw the following changes without a name change (-old +new)",
        format!("{TEMPLATE}.metadata.name"),
        difference(
            &serde_json::json!(old.spec),
            &serde_json::json!(new.spec),
            "spec",
        ),
    );
}

/// The first difference between two values, by path.
fn difference(old: &Value, new: &Value, path: &str) -> String {
    if let (Value::Object(before), Value::Object(after)) = (old, new) {
        for key in before.keys().chain(after.keys()) {
            let (left, right) = (
                before.get(key).unwrap_or(&Value::Null),
                after.get(key).unwrap_or(&Value::Null),
            );
            if left != right {
                return difference(left, right, &format!("{path}.{key}"));
            }
        }
    }
    format!("{path}:\n\t-: {old}\n\t+: {new}\n")
}
