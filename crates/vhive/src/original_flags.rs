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

/// Of the orchestrator alone, which is `vhive cri` here.
const CRI_FLAGS: &[(&str, &str)] = &[("criSock", "--socket"), ("dbg", "--log=debug")];
/// Without effect here: there is no snapshotter, kubelets decide how long a function lives, all memory is mapped and so shared, each
/// microVM has a network of its own, and what runs it is found out.
const IGNORED: &[&str] = &[
    "ss",
    "ms",
    "st",
    "hn",
    "hostIface",
    "sandbox",
    "vethPrefix",
    "clonePrefix",
    "dockerCredentials",
];
/// Those of them that are switches, and have no value as a word of its own.
const IGNORED_SWITCHES: &[&str] = &["ms"];

/// The command line of vHive's orchestrator, which has flags and no command, as one of `vhive cri`, whose own flags may be written so as well; any
/// other as it is.
pub(crate) fn of_orchestrator(arguments: Vec<OsString>) -> Vec<OsString> {
    let theirs = |name: &str| {
        let known = FLAGS.iter().chain(CRI_FLAGS);
        known.map(|(theirs, _)| *theirs).any(|it| it == name) || IGNORED.contains(&name)
    };
    let first = arguments.get(1).and_then(|it| it.to_str());
    // Those of several letters, written as Go does or as we do, cannot be taken for anything of ours.
    let is_theirs = first.and_then(flag).is_some_and(|(name, _)| theirs(name));
    let is_ours = first == Some("cri");
    if !is_theirs && !is_ours {
        return arguments;
    }
    let mut words = arguments.into_iter();
    let mut translated: Vec<OsString> = words.next().into_iter().collect();
    if is_theirs {
        translated.push("cri".into());
    }
    while let Some(word) = words.next() {
        let Some((name, value)) = word.to_str().and_then(flag) else {
            translated.push(word);
            continue;
        };
        if IGNORED.contains(&name) {
            if value.is_none() && !IGNORED_SWITCHES.contains(&name) {
                words.next();
            }
            translated.push(format!("--ignored={name}").into());
            continue;
        }
        match CRI_FLAGS.iter().find(|(theirs, _)| *theirs == name) {
            Some((_, ours)) => {
                let off = value == Some("false");
                let value = value.filter(|value| *value != "true" && !off);
                let ours = value.map_or((*ours).to_owned(), |value| format!("{ours}={value}"));
                // A switch that is off is as if it were not there.
                translated.extend((!off).then(|| ours.into()));
            }
            None => translated.push(word),
        }
    }
    translated
}

/// A flag's name and value, with one dash or two.
fn flag(argument: &str) -> Option<(&str, Option<&str>)> {
    let flag = argument.strip_prefix('-')?;
    let flag = flag.strip_prefix('-').unwrap_or(flag);
    Some(match flag.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (flag, None),
    })
}

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
    let Some((name, value)) = flag(argument) else {
        return Translated::Same;
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
    fn flags_without_a_command_are_the_orchestrators() {
        let of = |words: &[&str]| {
            let words = of_orchestrator(words.iter().map(OsString::from).collect());
            translated(words)
                .into_iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(&[
                "vhive",
                "-ss",
                "devmapper",
                "-dbg",
                "-ms=true",
                "-snapshots",
                "-criSock",
                "/s",
                "-netPoolSize=3"
            ]),
            [
                "vhive",
                "cri",
                "--ignored=ss",
                "--log=debug",
                "--ignored=ms",
                "--snapshots",
                "--socket",
                "/s",
                "--net-pool-size=3"
            ]
        );
        assert_eq!(
            of(&["vhive", "cri", "-dbg", "-snapshots", "--socket", "/s"]),
            [
                "vhive",
                "cri",
                "--log=debug",
                "--snapshots",
                "--socket",
                "/s"
            ]
        );
        for ours in [
            &["vhive"][..],
            &["vhive", "--help"],
            &["vhive", "up", "-snapshots"],
            &["vhive", "--data-dir", "/x", "up"],
        ] {
            let words: Vec<OsString> = ours.iter().map(OsString::from).collect();
            assert_eq!(of_orchestrator(words.clone()), words);
        }
    }

    #[test]
    fn everything_else_is_left_as_it_is() {
        let words = ["invoke", "-d", "-snap", "--net-pool-size", "-", "--", "upf"];
        assert_eq!(translated_words(&words), words);
    }
}
