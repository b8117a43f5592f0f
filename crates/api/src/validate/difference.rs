//! How two values differ, for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

/// Every place where the two differ, by path, with what was there (`-`) and what is (`+`).
pub(super) fn difference(old: &Value, new: &Value) -> String {
    let mut text = String::new();
    compare(Some(old), Some(new), "", &mut text);
    text
}

fn compare(old: Option<&Value>, new: Option<&Value>, path: &str, text: &mut String) {
    match (old, new) {
        _ if old == new => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                compare(before.get(key), after.get(key), &path, text);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                compare(
                    before.get(index),
                    after.get(index),
                    &format!("{path}[{index}]"),
                    text,
                );
            }
        }
        _ => {
            text.push_str(path);
            text.push_str(":\n");
            for (sign, value) in [('-', old), ('+', new)] {
                if let Some(value) = value {
                    let _ = writeln!(text, "\t{sign}: {value}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_difference_is_told_once_and_nothing_else() {
        let old = json!({"a": 1, "b": [{"c": "x"}, 2], "same": true});
        let new = json!({"a": 1, "b": [{"c": "y"}], "d": null, "same": true});
        assert_eq!(
            difference(&old, &new),
            "b[0].c:\n\t-: \"x\"\n\t+: \"y\"\nb[1]:\n\t-: 2\nd:\n\t+: null\n"
        );
    }
}
