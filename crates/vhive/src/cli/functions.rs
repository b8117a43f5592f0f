//! `vhive functions`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Format;

#[derive(Debug, Subcommand)]
pub(crate) enum Functions {
    /// List the sample functions: what each does, whether its image is here, and which services run it
    Ls {
        /// Output format
        #[arg(short, long)]
        output: Option<Format>,
    },
    /// Make the images of functions; what that takes is in this binary
    Build {
        /// Sample functions, as `vhive functions ls` shows them, or folders with a script `build`
        #[arg(required_unless_present = "all", value_name = "NAME|FOLDER")]
        functions: Vec<String>,
        /// All samples
        #[arg(long, conflicts_with = "functions")]
        all: bool,
    },
    /// Deploy functions: make the image if need be, apply the manifest, wait until it is ready, say how to call it
    Deploy(FunctionsDeploy),
    /// Begin a function of your own: writes a folder with a small program, how its image is made, and its manifest
    New(FunctionsNew),
}

#[derive(Debug, Args)]
pub(crate) struct FunctionsDeploy {
    /// Sample functions, as `vhive functions ls` shows them, or folders with a script `build` and a service.yaml
    #[arg(required = true, value_name = "NAME|FOLDER")]
    pub(crate) functions: Vec<String>,
    /// Deploy each so many times, as NAME-0, NAME-1 and so on
    #[arg(long, value_name = "N", value_parser = super::positive)]
    pub(crate) count: Option<usize>,
    /// Name of the service (default: the function's)
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Namespace
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// Make the image of a sample again, even if there is one; that of a folder always is
    #[arg(long)]
    pub(crate) rebuild: bool,
    /// Do not wait until the services are ready
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Longest wait for each, in seconds
    #[arg(long, default_value_t = 600, value_name = "S")]
    pub(crate) wait_timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct FunctionsNew {
    /// Name of the function: lower-case letters, digits and dashes
    pub(crate) name: String,
    /// What it is written in
    #[arg(short, long)]
    pub(crate) language: Language,
    /// The folder to write (default: ./NAME)
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// A handler in Python, behind the samples' server: gRPC and HTTP
    Python,
    /// An HTTP server in Rust, linked statically
    Rust,
    /// An HTTP server in Node.js
    Node,
    /// Any program that listens on $PORT, with its libraries
    Binary,
}
