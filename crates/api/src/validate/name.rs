//! Names (k8s.io/apimachinery `pkg/util/validation`).

use crate::field_error::FieldErrors;
use crate::meta::ObjectMeta;

const LONGEST: usize = 63;
const LONGEST_SUBDOMAIN: usize = 253;

/// The name of an object, which becomes part of host names, or what it is to begin with. As upstream's, it tells of one
/// problem.
pub(super) fn object(metadata: &ObjectMeta, errors: &mut FieldErrors) {
    if let Some(problem) = dns_1035_prefix(&metadata.generate_name) {
        errors.add(problem, "metadata.generateName");
    } else if let Some(problem) = given(&metadata.name).and_then(dns_1035_label) {
        errors.add(problem, "metadata.name");
    } else if given(&metadata.name)
        .or(given(&metadata.generate_name))
        .is_none()
    {
        errors.add("name or generateName is required", "metadata.name");
    }
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Why a text is no label of a host name as RFC 1035 has it, if so.
pub(super) fn dns_1035_label(text: &str) -> Option<String> {
    let problems = dns_1035_problems(text);
    (!problems.is_empty()).then(|| format!("not a DNS 1035 label: [{}]", problems.join(" ")))
}

/// Why nothing that begins with the text can be such a label, if so. No text is no prefix, which is fine.
pub(super) fn dns_1035_prefix(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    // What follows may make up for a dash at the end.
    let problems = match text.strip_suffix('-') {
        Some(start) if !start.is_empty() => {
            let mut start = start.to_owned();
            start.pop();
            dns_1035_problems(&(start + "a"))
        }
        _ => dns_1035_problems(text),
    };
    (!problems.is_empty()).then(|| format!("not a DNS 1035 label prefix: [{}]", problems.join(" ")))
}

fn dns_1035_problems(text: &str) -> Vec<&'static str> {
    let mut problems = Vec::new();
    if text.len() > LONGEST {
        problems.push("must be no more than 63 characters");
    }
    if !(is_dns_1123(text) && text.starts_with(|first: char| first.is_ascii_lowercase())) {
        problems.push(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
             validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        );
    }
    problems
}

/// Whether a text is a label as RFC 1123 has it: it may start with a digit.
pub(super) fn is_dns_1123_label(text: &str) -> bool {
    text.len() <= LONGEST && is_dns_1123(text)
}

/// Why a text is no such label, if so: one text for each problem.
pub(super) fn dns_1123_label(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > LONGEST {
        problems.push(format!("must be no more than {LONGEST} characters"));
    }
    if !is_dns_1123(text) {
        problems.push(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
             with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
                .to_owned(),
        );
    }
    problems
}

fn is_dns_1123(text: &str) -> bool {
    let bytes = text.as_bytes();
    let letter_or_digit = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bytes.first().is_some_and(letter_or_digit)
        && bytes.last().is_some_and(letter_or_digit)
        && bytes
            .iter()
            .all(|byte| letter_or_digit(byte) || *byte == b'-')
}

/// Why a text is no sequence of labels as RFC 1123 has it, if so: one text for each problem.
pub(super) fn dns_1123_subdomain(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > LONGEST_SUBDOMAIN {
        problems.push(format!(
            "must be no more than {LONGEST_SUBDOMAIN} characters"
        ));
    }
    if !text.split('.').all(is_dns_1123) {
        problems.push(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                .to_owned(),
        );
    }
    problems
}

/// Why a text is no name with an optional domain in front, such as `example.com/name`, if so: one text for each problem.
pub(super) fn qualified(text: &str) -> Vec<String> {
    const RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
         alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let parts: Vec<&str> = text.split('/').collect();
    let mut problems = Vec::new();
    let name = match parts[..] {
        [name] => name,
        ["", name] => {
            problems.push("prefix part must be non-empty".to_owned());
            name
        }
        [prefix, name] => {
            let of_prefix = dns_1123_subdomain(prefix).into_iter();
            problems.extend(of_prefix.map(|problem| format!("prefix part {problem}")));
            name
        }
        _ => {
            return vec![format!(
                "a valid label key {RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > LONGEST {
        problems.push(format!("name part must be no more than {LONGEST} bytes"));
    }
    let bytes = name.as_bytes();
    let sound = bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if !sound {
        problems.push(format!("name part {RULE}"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_may_end_with_a_dash_and_nothing_else_is_different() {
        for prefix in ["a-", "a", "ab-", "a-b-", ""] {
            assert_eq!(dns_1035_prefix(prefix), None, "{prefix}");
        }
        let long = "a".repeat(64);
        for prefix in ["-", "Ab-", "1a-", "a.", &long] {
            assert!(dns_1035_prefix(prefix).is_some(), "{prefix}");
        }
    }

    #[test]
    fn qualified_names_are_told_from_other_texts() {
        for name in ["a", "MyName", "a.b_c-d", "1", "example.com/Name"] {
            assert_eq!(qualified(name), Vec::<String>::new(), "{name}");
        }
        let long = "a".repeat(64);
        for (name, problems) in [
            ("", 2),
            ("-a", 1),
            ("a b", 1),
            ("/a", 1),
            ("A/b", 1),
            ("A/", 3),
            ("a/b/c", 1),
            (&long, 1),
        ] {
            let found = qualified(name);
            assert_eq!(found.len(), problems, "{name}: {found:?}");
        }
    }
}
