//! The `vhive` binary: parse, run the command, end with its exit code.

mod called_as;
mod cli;
mod client;
mod commands;
mod exit;
mod host;
mod original_flags;
mod output;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};
use crate::client::api::Api;
use crate::exit::Outcome;

fn main() -> ExitCode {
    let words = original_flags::of_orchestrator(called_as::with_command(std::env::args_os()));
    let mut words: Vec<OsString> = original_flags::translated(words);
    // vHive's tool for set-up was a program of its own, and its flags are Go's.
    if words
        .first()
        .is_some_and(|name| Path::new(name).ends_with("setup_tool"))
    {
        return ExitCode::from(setup::cli::setup_tool());
    }
    if words.get(1).is_some_and(|word| word == "setup") {
        words = setup::cli::go_flags(words);
    }
    let cli = Cli::parse_from(words);
    // One TLS implementation for the server, the client and registries.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("warning: another TLS provider was installed before");
    }
    match log_to_stderr(log_filter(&cli)).and_then(|()| run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// A node in the foreground tells what it does; every other command speaks for itself.
fn log_filter(cli: &Cli) -> &str {
    match (&cli.global.log, &cli.command) {
        (Some(filter), _) => filter,
        (None, Command::Up(_) | Command::Cri(_)) => "info",
        (None, Command::Load(load)) if load.dbg => "load=debug,warn",
        (None, _) => "warn",
    }
}

fn log_to_stderr(filter: &str) -> Outcome {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| exit::Failure::usage(format!("--log {filter:?}: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours are for terminals that can show them, not for files.
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
    Ok(())
}

fn run(cli: Cli) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(dispatch(cli));
    // A thread that is blocked in a system call must not hold up the end.
    runtime.shutdown_background();
    outcome
}

async fn dispatch(cli: Cli) -> Outcome {
    let global = &cli.global;
    let api = || Api::new(&global.server, &global.data_dir);
    match &cli.command {
        Command::Up(args) => commands::up::run(global, args).await,
        Command::Quickstart(args) => commands::quickstart::run(global, args).await,
        Command::Doctor => commands::doctor::run(global).await,
        Command::Apply(args) => commands::apply::run(&api()?, args).await,
        Command::Get(args) => commands::get::run(&api()?, args).await,
        Command::Describe(args) => commands::describe::run(&api()?, args).await,
        Command::Delete(args) => commands::delete::run(&api()?, args).await,
        Command::Invoke(args) => commands::invoke::run(&api()?, args).await,
        Command::Logs(args) => commands::logs::run(&api()?, args).await,
        Command::Functions { command } => commands::functions::run(global, command).await,
        Command::Image { command } => commands::image::run(global, command).await,
        Command::Snapshot { command } => commands::snapshot::run(&api()?, command).await,
        Command::Kernel { command } => commands::kernel::run(global, command).await,
        Command::Kubeconfig(args) => commands::kubeconfig::run(global, args),
        Command::Deploy(args) => commands::deploy::run(global, args).await,
        Command::Load(args) => commands::load::run(global, args).await,
        Command::Report(args) => commands::report::run(args),
        Command::Setup(args) => commands::setup::run(args).await,
        Command::Cri(args) => commands::cri::run(global, args).await,
        Command::Bench { command } => commands::bench::run(global, command).await,
    }
}
