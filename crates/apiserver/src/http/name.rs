//! Names of objects: which are possible, and how one is made from a prefix.

use api::Resource;
use serde_json::Value;

use super::error::Failure;

/// Without what is easily misread or spells words (`k8s.io/apimachinery/pkg/util/rand`).
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
/// What a generated name may have before its suffix.
const MAX_PREFIX: usize = 63 - SUFFIX;

/// The name that `object` asks for. One made from `generateName` is another each time.
pub(super) fn of(resource: &Resource, object: &Value) -> Result<String, Failure> {
    let field = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    match (field("name"), field("generateName")) {
        ("", "") => Err(Failure::invalid(
            resource,
            "",
            "metadata.name",
            "Required value: name or generateName is required",
        )),
        ("", prefix) => {
            let end = prefix
                .char_indices()
                .map(|(at, _)| at)
                .find(|at| *at >= MAX_PREFIX)
                .unwrap_or(prefix.len());
            Ok(format!("{}{}", &prefix[..end], suffix()))
        }
        (name, _) => Ok(name.to_owned()),
    }
}

/// Whether the name is one of its own making.
pub(super) fn is_generated(object: &Value) -> bool {
    let missing = |field: &str| {
        object["metadata"][field]
            .as_str()
            .unwrap_or_default()
            .is_empty()
    };
    missing("name") && !missing("generateName")
}

/// Refuses a name that is no DNS subdomain (RFC 1123), and so could not stand in a path or a host name.
pub(super) fn check(resource: &Resource, name: &str) -> Result<(), Failure> {
    let label = |label: &str| {
        let edge = |byte: Option<&u8>| {
            byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let bytes = label.as_bytes();
        edge(bytes.first())
            && edge(bytes.last())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(());
    }
    let message = format!(
        "Invalid value: {name:?}: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
         '-' or '.', and must start and end with an alphanumeric character"
    );
    Err(Failure::invalid(resource, name, "metadata.name", &message))
}

fn suffix() -> String {
    let random = uuid::Uuid::new_v4();
    random.as_bytes()[..SUFFIX]
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use api::resource::SERVICES;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_generated_name_has_its_prefix_and_is_short_enough() {
        let name = of(&SERVICES, &json!({"metadata": {"generateName": "a-"}})).unwrap();
        assert!(name.starts_with("a-") && name.len() == 7, "{name}");
        let long = of(
            &SERVICES,
            &json!({"metadata": {"generateName": "x".repeat(100)}}),
        )
        .unwrap();
        assert_eq!(long.len(), 63);
        assert_ne!(
            name,
            of(&SERVICES, &json!({"metadata": {"generateName": "a-"}})).unwrap()
        );
    }

    #[test]
    fn names_are_dns_subdomains() {
        for name in ["a", "a-b", "a.b", "0"] {
            assert!(check(&SERVICES, name).is_ok(), "{name}");
        }
        for name in [
            "",
            "A",
            "-a",
            "a-",
            "a..b",
            "a_b",
            "ä",
            "a/b",
            &"a".repeat(254),
        ] {
            assert!(check(&SERVICES, name).is_err(), "{name}");
        }
    }
}
