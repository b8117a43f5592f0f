//! The fuzz target's check of requests on its corpus, and on some thousand changed inputs.

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::Index};

#[path = "../../../../fuzz/requests.rs"]
mod requests;

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/request");
    let mut inputs: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn the_corpus_has_requests_that_are_fulfilled_and_some_that_are_refused() {
    let mut fulfilled = Vec::new();
    let mut refused = Vec::new();
    for (name, input) in corpus() {
        match requests::request(&input) {
            Some(code) if code < 400 => fulfilled.push(name),
            _ => refused.push(name),
        }
    }
    let expected = [
        "create-twice",
        "cut-off-messages",
        "delete",
        "future",
        "no-line",
        "nowhere",
    ];
    assert_eq!(refused, expected, "of {fulfilled:?}");
}

/// One change of an input: where, and what.
type Change = (Index, u8, u8);

fn changed(mut input: Vec<u8>, changes: Vec<Change>) -> Vec<u8> {
    for (at, how, byte) in changes {
        if input.is_empty() {
            break;
        }
        let at = at.index(input.len());
        match how % 4 {
            0 => input[at] = byte,
            1 => drop(input.remove(at)),
            2 => input.insert(at, byte),
            _ => input[at] ^= 1 << (byte % 8),
        }
    }
    input
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn what_holds_for_any_request_holds_for_changed_ones(
        which in any::<Index>(),
        changes in vec((any::<Index>(), any::<u8>(), any::<u8>()), 1..6),
    ) {
        let inputs = corpus();
        let (_, input) = &inputs[which.index(inputs.len())];
        requests::request(&changed(input.clone(), changes));
    }
}
