//! The flags of vHive's own programs, written as Go has them (`-netPoolSize 20`), in the words of this command line.

use std::ffi::OsString;

/// As vHive names them, and as they are named here.
const FLAGS: &[(&str, &str)] = &[
    ("snapshots", "--snapshots"),
    ("upf", "--upf"),
    ("lazy", "--lazy"),
    ("metrics", "--metrics"),
    ("netPoolSize", "--net-pool-size"),
];

/// The deployer's.
const DEPLOYER: &[(&str, &str)] = &[
    ("gatewayURL", "--gateway-url"),
    ("namespace", "--namespace"),
    ("funcPath", "--func-path"),
    ("jsonFile", "--json-file"),
    ("endpointsFile", "--endpoints-file"),
    ("conc", "--conc"),
    ("help", "--help"),
];

/// The invoker's.
const INVOKER: &[(&str, &str)] = &[
    ("endpointsFile", "--endpoints-file"),
    ("rps", "--rps"),
    ("time", "--time"),
    ("latf", "--latf"),
    ("durf", "--durf"),
    ("profile", "--profile"),
    ("port", "--port"),
    ("trace", "--trace"),
    ("zipkin", "--zipkin"),
    ("dbg", "--dbg"),
    ("grpcTimeout", "--grpc-timeout"),
    ("help", "--help"),
];

/// Flags that take no value but what Go calls a boolean.
const SWITCHES: &[&str] = &["profile", "trace", "dbg"];

/// The command line with such flags in the other form. Both `-name value` and `-name=value` are understood, with one dash or two.
pub(crate) fn translated(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let is = |command: &str| arguments.iter().skip(1).any(|argument| argument == command);
    let flags = if is("deploy") {
        DEPLOYER
    } else if is("load") {
        INVOKER
    } else {
        FLAGS
    };
    let arguments = arguments.into_iter();
    arguments
        .filter_map(
            |argument| match argument.to_str().map(|text| translate(text, flags)) {
                Some(Translated::Other(other)) => Some(other.into()),
                Some(Translated::Nothing) => None,
                Some(Translated::Same) | None => Some(argument),
            },
        )
        .collect()
}

enum Translated {
    Same,
    Other(String),
    /// A switch that is turned off.
    Nothing,
}

fn translate(argument: &str, flags: &[(&str, &str)]) -> Translated {
    let Some(flag) = argument.strip_prefix('-') else {
        return Translated::Same;
    };
    let flag = flag.strip_prefix('-').unwrap_or(flag);
    let (name, value) = match flag.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (flag, None),
    };
    let Some((_, ours)) = flags.iter().find(|(theirs, _)| *theirs == name) else {
        return Translated::Same;
    };
    let switch = SWITCHES.contains(&name);
    match value {
        // Go writes what a switch is.
        Some("true") | None => Translated::Other((*ours).to_owned()),
        Some("1" | "t" | "T" | "TRUE" | "True") if switch => Translated::Other((*ours).to_owned()),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") if switch => Translated::Nothing,
        Some(value) => Translated::Other(format!("{ours}={value}")),
    }
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
    fn the_flags_of_the_deployer_and_the_invoker_are_those_of_their_commands() {
        assert_eq!(
            translated_words(&["d", "deploy", "-funcPath", "x", "--gatewayURL=y", "-conc=3"]),
            [
                "d",
                "deploy",
                "--func-path",
                "x",
                "--gateway-url=y",
                "--conc=3"
            ]
        );
        assert_eq!(
            translated_words(&["i", "load", "-rps=20", "-trace=false", "-dbg=1", "-profile"]),
            ["i", "load", "--rps=20", "--dbg", "--profile"]
        );
        let words = ["vhive", "invoke", "x", "-time", "3"];
        assert_eq!(translated_words(&words), words);
    }

    #[test]
    fn everything_else_is_left_as_it_is() {
        let words = ["invoke", "-d", "-snap", "--net-pool-size", "-", "--", "upf"];
        assert_eq!(translated_words(&words), words);
    }
}
