//! Tests, lints, benches and distribution.
fn main() {}
