//! The sample function.
fn main() {}
