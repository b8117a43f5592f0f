//! Takes out of a text what differs from run to run: times, ages, identifiers, digests, ports, and the width of columns; and the
//! `managedFields` that `kubectl` shows before 1.21.

/// `text` without what differs. Columns are two blanks apart; `replaced` is put in first.
pub(crate) fn same_every_time(text: &str, replaced: &[(String, &str)]) -> String {
    let mut text = text.to_owned();
    for (from, to) in replaced {
        text = text.replace(from, to);
    }
    let mut out = String::new();
    // How far in the `managedFields` begin that the line may be part of.
    let mut owners: Option<usize> = None;
    for line in text.lines().filter(|line| !is_passing_progress(line)) {
        let body = line.trim_start();
        let depth = line.len() - body.len();
        if owners
            .is_some_and(|owners| depth > owners || depth == owners && body.starts_with(['-', ']']))
        {
            continue;
        }
        owners = None;
        if body.starts_with("managedFields:") || body.starts_with("\"managedFields\": [") {
            owners = Some(depth);
            continue;
        }
        out.push_str(settle(line).trim_end());
        out.push('\n');
    }
    out
}

/// `  0.123s The Route is still working …`: how many of these there are depends on how fast the machine is.
fn is_passing_progress(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    let seconds = first.strip_suffix('s').unwrap_or_default();
    seconds.contains('.') && seconds.parse::<f64>().is_ok()
}

fn settle(line: &str) -> String {
    let body = line.trim_start();
    let mut out = line[..line.len() - body.len()].to_owned();
    let numbered = body.trim_start_matches('"').starts_with("resourceVersion");
    // `(pinned to 00ff00)`, `(at 00ff00)`: how kn shortens a digest.
    let shortened = body.contains("(pinned to ") || body.contains("(at ");
    let mut rest = body;
    while !rest.is_empty() {
        let end = rest.find([' ', '\t']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if shortened && word.len() == 7 && word.ends_with(')') {
            out.push_str("DIGEST)");
        } else {
            out.push_str(&settle_word(word, numbered));
        }
        rest = after.trim_start_matches([' ', '\t']);
        let gap = after.len() - rest.len();
        out.push_str(if gap > 1 || after.starts_with('\t') {
            "  "
        } else {
            &after[..gap]
        });
    }
    out
}

fn settle_word(word: &str, numbered: bool) -> String {
    let core = word.trim_matches(|letter: char| "\"'(),[]".contains(letter));
    let stable = match core {
        "" => return word.to_owned(),
        _ if is_uid(core) => "UID".to_owned(),
        _ if is_time(core) => "TIME".to_owned(),
        _ if is_age(core) => "AGE".to_owned(),
        _ if numbered && core.bytes().all(|byte| byte.is_ascii_digit()) => "NUMBER".to_owned(),
        _ => match core.split_once("sha256:") {
            Some((before, _)) => format!("{before}sha256:DIGEST"),
            None => return word.to_owned(),
        },
    };
    word.replace(core, &stable)
}

/// `0b6f2d9c-5b0e-4c55-9d0b-0f6a6a4d6a0e`
fn is_uid(word: &str) -> bool {
    word.len() == 36
        && word.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && word
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// `2026-01-02T03:04:05Z`, with or without a fraction.
fn is_time(word: &str) -> bool {
    word.len() >= 20 && word.ends_with('Z') && word.parse::<jiff::Timestamp>().is_ok()
}

/// `5s`, `3m12s`.
fn is_age(word: &str) -> bool {
    let (digits, units) = word.bytes().partition::<Vec<_>, _>(u8::is_ascii_digit);
    word.starts_with(|first: char| first.is_ascii_digit())
        && matches!(&units[..], b"s" | b"m" | b"ms" | b"h" | b"hm")
        && !digits.is_empty()
}

#[test]
fn who_set_which_field_is_taken_out_of_yaml_and_of_json() {
    let yaml = "metadata:\n  generation: 1\n  managedFields:\n  - apiVersion: v1\n    manager: kubectl\n  - apiVersion: v1\n  name: hello\n";
    assert_eq!(
        same_every_time(yaml, &[]),
        "metadata:\n  generation: 1\n  name: hello\n"
    );
    let json =
        "{\n    \"managedFields\": [\n        {\n        }\n    ],\n    \"name\": \"hello\"\n}\n";
    assert_eq!(
        same_every_time(json, &[]),
        "{\n    \"name\": \"hello\"\n}\n"
    );
}

#[test]
fn what_differs_is_taken_out_and_the_rest_stays() {
    let text = "NAME    AGE\n\
        hello   3m12s\n  \
        0.123s The Route is still working\n  \
        uid: 0b6f2d9c-5b0e-4c55-9d0b-0f6a6a4d6a0e\n  \
        \"resourceVersion\": \"42\",\n  \
        generation: 42\n  \
        at: \"2026-01-02T03:04:05Z\"\n  \
        image: dev.local/x@sha256:00ff\n  \
        Image: dev.local/x (pinned to 00ff00)\n  \
        url: http://hello:8080 for 300 s\n";
    let settled = same_every_time(text, &[(":8080".to_owned(), ":PORT")]);
    assert_eq!(
        settled,
        "NAME  AGE\n\
        hello  AGE\n  \
        uid: UID\n  \
        \"resourceVersion\": \"NUMBER\",\n  \
        generation: 42\n  \
        at: \"TIME\"\n  \
        image: dev.local/x@sha256:DIGEST\n  \
        Image: dev.local/x (pinned to DIGEST)\n  \
        url: http://hello:PORT for 300 s\n"
    );
}
