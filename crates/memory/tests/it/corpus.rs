//! The fuzz targets' checks on their corpus, and on some thousand changed inputs.

use std::fs;
use std::path::Path;

#[path = "../../../../fuzz/checks.rs"]
mod checks;

const CHANGED: usize = 5_000;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| fs::read(path).unwrap())
        .collect()
}

/// Some bytes changed, left out, put in or taken from another input.
fn change(random: &mut fastrand::Rng, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut input = inputs[random.usize(..inputs.len())].clone();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=input.len());
        match random.u8(..6) {
            0 if at < input.len() => input[at] ^= 1 << random.u8(..8),
            1 if at < input.len() => input[at] = [0, 1, 0x7f, 0xff][random.usize(..4)],
            2 if at < input.len() => drop(input.remove(at)),
            3 => input.insert(at, random.u8(..)),
            4 => input.truncate(at),
            _ => {
                let other = &inputs[random.usize(..inputs.len())];
                let from = random.usize(..=other.len());
                let length = random.usize(..=(other.len() - from).min(16));
                input.splice(at..at, other[from..from + length].iter().copied());
            }
        }
    }
    input
}

fn all_hold(target: &str, check: fn(&[u8])) {
    let inputs = corpus(target);
    assert!(!inputs.is_empty());
    for input in &inputs {
        check(input);
    }
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..CHANGED {
        check(&change(&mut random, &inputs));
    }
}

#[test]
fn what_holds_for_any_handshake_holds_for_the_corpus() {
    all_hold("handshake", checks::handshake);
}

#[test]
fn what_holds_for_any_working_set_holds_for_the_corpus() {
    all_hold("working_set", checks::working_set);
}

#[test]
fn the_corpus_has_inputs_that_are_taken_and_some_that_are_refused() {
    let taken = corpus("handshake")
        .iter()
        .filter(|input| {
            [4096, 3 * 4096, 2 << 20, 256 << 20]
                .iter()
                .any(|file| memory::handshake::parse(input, *file).is_ok())
        })
        .count();
    assert_eq!((taken, corpus("handshake").len()), (5, 9));
    let taken = corpus("working_set")
        .iter()
        .filter(|input| {
            let (length, start) = input.split_first_chunk().unwrap();
            memory::working_set::Header::parse(start, u64::from_le_bytes(*length)).is_ok()
        })
        .count();
    assert_eq!((taken, corpus("working_set").len()), (5, 8));
}
