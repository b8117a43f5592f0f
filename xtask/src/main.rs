//! `cargo xtask`: tests with all their set-up, and lints.

mod cargo;
mod knative_client;
mod packages;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

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
    /// Formatting, clippy and docs, each with warnings as errors
    Lint,
}

/// What is not tested must not look as if it were.
fn say_left_out(error: &anyhow::Error) {
    eprintln!(
        "LEFT OUT: the tests of kn ({}), because there is no kn: {error:#}; with VHIVE_REQUIRE_KN=1 that is a failure",
        knative_client::TESTS
    );
}

/// All tests, or those that `rest` names.
fn test_arguments(rest: Vec<String>, without_kn: bool) -> Vec<String> {
    let mut arguments = vec!["test".to_owned()];
    if rest.is_empty() {
        arguments.push("--workspace".to_owned());
    }
    let filtered = rest.iter().any(|argument| argument == "--");
    arguments.extend(rest);
    if without_kn {
        if !filtered {
            arguments.push("--".to_owned());
        }
        arguments.extend(["--skip".to_owned(), knative_client::TESTS.to_owned()]);
    }
    arguments
}

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Test { no_install, rest } => {
            let mut without_kn = None;
            if !no_install {
                packages::install_missing()?;
                match knative_client::install() {
                    Err(error) if knative_client::is_required() => {
                        return Err(error).context("VHIVE_REQUIRE_KN=1, and there is no kn");
                    }
                    Err(error) => without_kn = Some(error),
                    Ok(_) => {}
                }
            }
            if let Some(error) = &without_kn {
                say_left_out(error);
            }
            cargo::run(&test_arguments(rest, without_kn.is_some()), &[])?;
            if let Some(error) = &without_kn {
                say_left_out(error);
            }
            Ok(())
        }
        Task::Lint => {
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

    fn arguments(rest: &[&str], without_kn: bool) -> String {
        test_arguments(
            rest.iter().map(|&word| word.to_owned()).collect(),
            without_kn,
        )
        .join(" ")
    }

    #[test]
    fn without_kn_its_tests_are_left_out_whatever_else_is_asked_for() {
        assert_eq!(arguments(&[], false), "test --workspace");
        assert_eq!(arguments(&[], true), "test --workspace -- --skip kn::");
        assert_eq!(
            arguments(&["-p", "vhive", "--", "--nocapture"], true),
            "test -p vhive -- --nocapture --skip kn::"
        );
    }
}
