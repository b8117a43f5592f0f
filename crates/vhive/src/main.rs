//! The vhive binary: command line, configuration, composition
fn main() {}
