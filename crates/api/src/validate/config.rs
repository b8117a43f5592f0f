//! `ConfigMaps` and Secrets (k8s.io/kubernetes `pkg/apis/core/validation/validation.go`).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::core::{Bytes, ConfigMap, MAX_BYTES, Secret};
use crate::invalid::Invalid;
use crate::resource::{CONFIG_MAPS, SECRETS};
use crate::settings;
use crate::status::Status;

const LONGEST_KEY: usize = 253;
const NEVER: &str = "field is immutable when `immutable` is set";

/// Keys that a Secret of a type must have: all of them, or for `basic-auth` one of them.
const DOCKER_CONFIG: &str = ".dockercfg";
const DOCKER_CONFIG_JSON: &str = ".dockerconfigjson";

/// Checks a `ConfigMap`; `old` is what it replaces.
pub fn validate_config_map(map: &ConfigMap, old: Option<&ConfigMap>) -> Result<(), Status> {
    let mut invalid = Invalid::default();
    for key in map.data.keys() {
        let field = format!("data[{key}]");
        keys(key, &field, &mut invalid);
        if map.binary_data.contains_key(key) {
            invalid.value(field, key, "duplicate of key present in binaryData");
        }
    }
    for key in map.binary_data.keys() {
        keys(key, &format!("binaryData[{key}]"), &mut invalid);
    }
    let texts: usize = map.data.values().map(String::len).sum();
    if texts + size(&map.binary_data) > MAX_BYTES {
        // Upstream names no field, since it is all of them.
        invalid.too_long("[]", MAX_BYTES);
    }
    if let Some(old) = old.filter(|old| old.immutable == Some(true)) {
        let changed = [
            ("immutable", map.immutable != Some(true)),
            ("data", map.data != old.data),
            ("binaryData", map.binary_data != old.binary_data),
        ];
        unchanged(&changed, &mut invalid);
    }
    invalid.into_result(&CONFIG_MAPS, &map.metadata.name)?;
    // Refused as Knative's webhook refuses it (knative.dev/pkg `webhook/configmaps`).
    settings::check(map).map_err(|error| Status::bad_request(format!("validation failed: {error}")))
}

/// Checks a Secret; `old` is what it replaces.
pub fn validate_secret(secret: &Secret, old: Option<&Secret>) -> Result<(), Status> {
    let mut invalid = Invalid::default();
    for key in secret.data.keys() {
        keys(key, &format!("data[{key}]"), &mut invalid);
    }
    if size(&secret.data) > MAX_BYTES {
        invalid.too_long("data", MAX_BYTES);
    }
    if let Some(old) = old {
        if secret.secret_type != old.secret_type {
            invalid.value("type", &secret.secret_type, "field is immutable");
        }
        if old.immutable == Some(true) {
            let changed = [
                ("immutable", secret.immutable != Some(true)),
                ("data", secret.data != old.data),
            ];
            unchanged(&changed, &mut invalid);
        }
    }
    of_type(secret, &mut invalid);
    invalid.into_result(&SECRETS, &secret.metadata.name)
}

/// What Kubernetes wants to find in a Secret of a type that it knows.
fn of_type(secret: &Secret, invalid: &mut Invalid) {
    let mut require = |keys: &[&str]| {
        for key in keys.iter().filter(|key| !secret.data.contains_key(**key)) {
            invalid.required(format!("data[{key}]"));
        }
    };
    match secret.secret_type.as_str() {
        "kubernetes.io/service-account-token" => {
            let annotation = "kubernetes.io/service-account.name";
            if secret
                .metadata
                .annotation(annotation)
                .is_none_or(str::is_empty)
            {
                invalid.required(format!("metadata.annotations[{annotation}]"));
            }
        }
        "kubernetes.io/dockercfg" => json(secret, DOCKER_CONFIG, invalid),
        "kubernetes.io/dockerconfigjson" => json(secret, DOCKER_CONFIG_JSON, invalid),
        "kubernetes.io/basic-auth" => {
            let either = ["username", "password"];
            if either.iter().all(|key| !secret.data.contains_key(*key)) {
                require(&either);
            }
        }
        "kubernetes.io/ssh-auth" => {
            let key = secret.data.get("ssh-privatekey");
            if key.is_none_or(|key| key.0.is_empty()) {
                invalid.required("data[ssh-privatekey]");
            }
        }
        "kubernetes.io/tls" => require(&["tls.crt", "tls.key"]),
        _ => {}
    }
}

fn json(secret: &Secret, key: &str, invalid: &mut Invalid) {
    let field = format!("data[{key}]");
    match secret.data.get(key) {
        None => invalid.required(field),
        Some(bytes) if serde_json::from_slice::<Value>(&bytes.0).is_err() => {
            invalid.secret_value(field, "it is no JSON");
        }
        Some(_) => {}
    }
}

fn size(data: &BTreeMap<String, Bytes>) -> usize {
    data.values().map(|bytes| bytes.0.len()).sum()
}

fn unchanged(changed: &[(&str, bool)], invalid: &mut Invalid) {
    for (field, _) in changed.iter().filter(|(_, changed)| *changed) {
        invalid.forbidden(*field, NEVER);
    }
}

/// A key becomes the name of a file or a variable (k8s.io/apimachinery `pkg/util/validation`, `IsConfigMapKey`).
fn keys(key: &str, field: &str, invalid: &mut Invalid) {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if key.len() > LONGEST_KEY {
        let why = format!("must be no more than {LONGEST_KEY} characters");
        invalid.value(field, key, why);
    }
    if key.is_empty() || !key.bytes().all(letter) {
        let why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
                   'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
        invalid.value(field, key, why);
    }
    let relative = match key {
        "." => "must not be '.'",
        ".." => "must not be '..'",
        key if key.starts_with("..") => "must not start with '..'",
        _ => return,
    };
    invalid.value(field, key, relative);
}
