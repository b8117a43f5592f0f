//! PID 1 of the guest.
//!
//! ```text
//! kernel ─▶ modules ─▶ network ─▶ Hello ─▶ root ─▶ launcher ─▶ Start ─▶ exec ─▶ supervise ─▶ power off
//!                                                                          │   ▲
//!                                                                 Quiesce ─┴───┴─ Resume, in every clone
//! ```
//!
//! The order is what makes the start quick: the host hears from the guest as early as it can, and while it
//! answers, the guest does what does not depend on the answer. Nothing is done before the function starts
//! that can wait until after.
//!
//! The same program, called as `launch`, is the process that becomes the function, or a command beside it: see [`launch`].

mod boot;
mod cgroup;
mod clock;
mod clone;
mod etc;
mod exec;
mod files;
mod hello;
mod host;
mod launch;
mod launcher;
mod memory;
mod modules;
mod network;
mod power;
mod report;
mod root;
mod supervise;
mod volume;

use std::process::ExitCode;

use launch::Role;

/// What makes PID 1 end the machine at once: to measure what a boot takes without a function. The kernel passes on what follows
/// `--` on its command line.
const HALT: &str = "halt";

fn main() -> ExitCode {
    let argument = std::env::args_os().nth(1);
    match argument.as_ref().and_then(|argument| argument.to_str()) {
        Some(launcher::FUNCTION) => return launch::main(Role::Function),
        Some(launcher::COMMAND) => return launch::main(Role::Command),
        _ => {}
    }
    if std::process::id() != 1 {
        eprintln!("agent: this program is PID 1 of a vhive guest; it does nothing elsewhere");
        return ExitCode::from(2);
    }
    if argument.is_some_and(|argument| argument == HALT) {
        power::off();
        return ExitCode::FAILURE;
    }
    if let Err(error) = boot::run() {
        eprintln!("agent: {}", report::chain(&error));
    }
    power::off();
    ExitCode::FAILURE
}
