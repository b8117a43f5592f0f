//! Names (k8s.io/apimachinery `pkg/util/validation`).

use crate::field_error::FieldErrors;
use crate::meta::ObjectMeta;

const LONGEST: usize = 63;

/// The name of an object; it becomes part of host names.
pub(super) fn object(metadata: &ObjectMeta, errors: &mut FieldErrors) {
    if metadata.name.is_empty() {
        if metadata.generate_name.is_empty() {
            errors.add("name or generateName is required", "metadata.name");
        }
    } else if let Some(problem) = dns_1035_label(&metadata.name) {
        errors.add(problem, "metadata.name");
    }
}

/// Why a text is no label of a host name as RFC 1035 has it, if so.
pub(super) fn dns_1035_label(text: &str) -> Option<String> {
    let mut problems = Vec::new();
    if text.len() > LONGEST {
        problems.push("must be no more than 63 characters");
    }
    let bytes = text.as_bytes();
    let letter_or_digit = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let sound = bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(letter_or_digit)
        && bytes
            .iter()
            .all(|byte| letter_or_digit(byte) || *byte == b'-');
    if !sound {
        problems.push(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
             validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        );
    }
    (!problems.is_empty()).then(|| format!("not a DNS 1035 label: [{}]", problems.join(" ")))
}

/// Whether a text is a label as RFC 1123 has it: it may start with a digit.
pub(super) fn is_dns_1123_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let letter_or_digit = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bytes.len() <= LONGEST
        && bytes.first().is_some_and(letter_or_digit)
        && bytes.last().is_some_and(letter_or_digit)
        && bytes
            .iter()
            .all(|byte| letter_or_digit(byte) || *byte == b'-')
}
