//! `vhive functions`: the sample functions, and functions of one's own, from their sources to a URL.

mod build;
mod catalogue;
mod deploy;
mod embedded;
mod list;
mod new;

use crate::cli::{Functions, Global};
use crate::exit::Outcome;

pub(crate) async fn run(global: &Global, command: &Functions) -> Outcome {
    match command {
        Functions::Ls { output } => list::run(global, *output).await,
        Functions::Build { functions, all } => build::run(global, functions, *all).await,
        Functions::Deploy(args) => deploy::run(global, args).await,
        Functions::New(args) => new::run(args),
    }
}
