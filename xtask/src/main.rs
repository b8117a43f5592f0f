//! `cargo xtask`: tests with all their set-up, and lints.

mod cargo;
mod conformance;
mod go_client;
mod packages;

use std::path::Path;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::go_client::{CRICTL, KN};

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need, then run all of them
    Test {
        /// Do not install anything: a test whose component is missing fails and says so
        #[arg(long)]
        no_install: bool,
        /// Passed on to `cargo test`, e.g. `-p gateway` or a test's name
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Formatting, clippy and docs, each with warnings as errors, and whether the tests are there that the docs name
    Lint,
}

/// Set to 1 where nothing may be left out.
const REQUIRE_CLIENTS: &str = "VHIVE_REQUIRE_CLIENTS";

/// Tests that cannot run here.
struct LeftOut {
    tests: &'static str,
    /// The tool that they run, and why there is none.
    tool: &'static str,
    reason: anyhow::Error,
}

impl LeftOut {
    /// What is not tested must not look as if it were.
    fn say(&self) {
        eprintln!(
            "LEFT OUT: the tests {}, because there is no {}: {:#}; with {REQUIRE_CLIENTS}=1 that is a failure",
            self.tests, self.tool, self.reason
        );
    }
}

/// Installs the clients of other projects that tests run.
fn install_clients() -> Result<Vec<LeftOut>> {
    let required = std::env::var_os(REQUIRE_CLIENTS).is_some_and(|value| value == "1");
    let mut left_out = Vec::new();
    for (tool, tests, installed) in [
        (
            "kubectl",
            packages::KUBECTL_TESTS,
            packages::install_kubectl(),
        ),
        (KN.name, KN.tests, KN.install()),
        (CRICTL.name, CRICTL.tests, CRICTL.install()),
    ] {
        match installed {
            Ok(()) => {}
            Err(error) if required => {
                return Err(error).context(format!("{REQUIRE_CLIENTS}=1, and there is no {tool}"));
            }
            Err(reason) => left_out.push(LeftOut {
                tests,
                tool,
                reason,
            }),
        }
    }
    Ok(left_out)
}

/// All tests, or those that `rest` names, but for those of `left_out`.
fn test_arguments(rest: Vec<String>, left_out: &[&str]) -> Vec<String> {
    let mut arguments = vec!["test".to_owned()];
    if rest.is_empty() {
        arguments.push("--workspace".to_owned());
    }
    let filtered = rest.iter().any(|argument| argument == "--");
    arguments.extend(rest);
    if !left_out.is_empty() && !filtered {
        arguments.push("--".to_owned());
    }
    for tests in left_out {
        arguments.extend(["--skip".to_owned(), (*tests).to_owned()]);
    }
    arguments
}

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Test { no_install, rest } => {
            let mut left_out = Vec::new();
            if !no_install {
                packages::install_missing()?;
                left_out = install_clients()?;
            }
            left_out.iter().for_each(LeftOut::say);
            let skipped: Vec<&str> = left_out.iter().map(|it| it.tests).collect();
            let outcome = cargo::run(&test_arguments(rest, &skipped), &[]);
            // Once more, at the end of the output, where it is seen.
            left_out.iter().for_each(LeftOut::say);
            outcome
        }
        Task::Lint => {
            conformance::check(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))?;
            cargo::run(&["fmt", "--all", "--check"], &[])?;
            cargo::run(
                &[
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--",
                    "-D",
                    "warnings",
                ],
                &[],
            )?;
            cargo::run(
                &[
                    "doc",
                    "--workspace",
                    "--no-deps",
                    "--document-private-items",
                ],
                &[("RUSTDOCFLAGS", "-D warnings")],
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(rest: &[&str], left_out: &[&str]) -> String {
        let rest = rest.iter().map(|&word| word.to_owned()).collect();
        test_arguments(rest, left_out).join(" ")
    }

    #[test]
    fn tests_are_left_out_whatever_else_is_asked_for() {
        assert_eq!(arguments(&[], &[]), "test --workspace");
        assert_eq!(arguments(&[], &["kn::"]), "test --workspace -- --skip kn::");
        assert_eq!(
            arguments(
                &["-p", "vhive", "--", "--nocapture"],
                &["kubectl::", "kn::"]
            ),
            "test -p vhive -- --nocapture --skip kubectl:: --skip kn::"
        );
    }
}
