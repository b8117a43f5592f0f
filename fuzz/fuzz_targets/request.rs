#![no_main]

#[path = "../requests.rs"]
mod requests;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    requests::request(input);
});
