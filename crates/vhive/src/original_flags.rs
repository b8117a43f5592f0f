//! The flags of vHive's own orchestrator, written as Go has them (`-netPoolSize 20`), in the words of this command line.

use std::ffi::OsString;

/// As vHive names them, and as they are named here.
const FLAGS: &[(&str, &str)] = &[
    ("snapshots", "--snapshots"),
    ("upf", "--upf"),
    ("lazy", "--lazy"),
    ("metrics", "--metrics"),
    ("netPoolSize", "--net-pool-size"),
];

/// The command line with such flags in the other form. Both `-name value` and `-name=value` are understood, with one dash or two.
pub(crate) fn translated(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    arguments
        .into_iter()
        .map(|argument| match argument.to_str().and_then(translate) {
            Some(other) => other.into(),
            None => argument,
        })
        .collect()
}

fn translate(argument: &str) -> Option<String> {
    let flag = argument.strip_prefix('-')?;
    let flag = flag.strip_prefix('-').unwrap_or(flag);
    let (name, value) = match flag.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (flag, None),
    };
    let (_, ours) = FLAGS.iter().find(|(theirs, _)| *theirs == name)?;
    Some(match value {
        // Go writes what a switch is.
        Some("true") | None => (*ours).to_owned(),
        Some(value) => format!("{ours}={value}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated_words(words: &[&str]) -> Vec<String> {
        let words = words.iter().map(OsString::from);
        let translated = translated(words).into_iter();
        translated
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn both_forms_of_go_are_understood() {
        assert_eq!(
            translated_words(&["up", "-snapshots", "--upf=true", "-netPoolSize", "20"]),
            ["up", "--snapshots", "--upf", "--net-pool-size", "20"]
        );
        assert_eq!(
            translated_words(&["-netPoolSize=20"]),
            ["--net-pool-size=20"]
        );
    }

    #[test]
    fn everything_else_is_left_as_it_is() {
        let words = ["invoke", "-d", "-snap", "--net-pool-size", "-", "--", "upf"];
        assert_eq!(translated_words(&words), words);
    }
}
