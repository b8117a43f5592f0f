//! Annotations of the autoscaler (knative.dev/serving `pkg/apis/autoscaling/register.go`).

use crate::meta::StringMap;

/// What their names begin with.
pub const PREFIX: &str = "autoscaling.knative.dev/";

/// Younger than the spelling with dashes: it has no old name.
const WITHOUT_OLD_NAME: &str = "activation-scale";

/// The annotation `name` (`min-scale`), or under its old name (`minScale`) if only that is there: the key as it was found,
/// and the value.
pub fn find<'a>(annotations: &'a StringMap, name: &str) -> Option<(&'a str, &'a str)> {
    let old = (name != WITHOUT_OLD_NAME).then(|| old_name(name));
    [Some(name.to_owned()), old]
        .iter()
        .flatten()
        .find_map(|name| {
            let (key, value) = annotations.get_key_value(&format!("{PREFIX}{name}"))?;
            Some((key.as_str(), value.as_str()))
        })
}

/// The value of the annotation `name`.
pub fn value<'a>(annotations: &'a StringMap, name: &str) -> Option<&'a str> {
    find(annotations, name).map(|(_, value)| value)
}

/// `min-scale` → `minScale`.
fn old_name(name: &str) -> String {
    let mut old = String::with_capacity(name.len());
    let mut capital = false;
    for letter in name.chars() {
        match letter {
            '-' => capital = true,
            letter if capital => {
                old.push(letter.to_ascii_uppercase());
                capital = false;
            }
            letter => old.push(letter),
        }
    }
    old
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_is_found_under_its_old_name_too_but_the_new_one_goes_first() {
        let mut annotations = StringMap::from([(format!("{PREFIX}minScale"), "1".to_owned())]);
        assert_eq!(value(&annotations, "min-scale"), Some("1"));
        annotations.insert(format!("{PREFIX}min-scale"), "2".to_owned());
        assert_eq!(value(&annotations, "min-scale"), Some("2"));
        assert_eq!(value(&annotations, "max-scale"), None);
    }

    #[test]
    fn the_youngest_annotation_has_no_old_name() {
        let annotations = StringMap::from([(format!("{PREFIX}activationScale"), "3".to_owned())]);
        assert_eq!(value(&annotations, "activation-scale"), None);
    }
}
