//! `cargo xtask`: tests with all their set-up, and lints.

mod cargo;
mod packages;

use anyhow::Result;
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

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Test { no_install, rest } => {
            if !no_install {
                packages::install_missing()?;
            }
            let mut arguments = vec!["test".to_owned()];
            if rest.is_empty() {
                arguments.push("--workspace".to_owned());
            }
            arguments.extend(rest);
            cargo::run(&arguments, &[])
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
