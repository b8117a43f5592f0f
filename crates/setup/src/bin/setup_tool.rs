//! `setup_tool` alone: the set-up without the rest of vhive.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(setup::cli::setup_tool())
}
