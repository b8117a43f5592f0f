//! The deployer's and the invoker's part of the command line. Under these names they take the flags of the original.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use load::arrivals::Process;

use super::seconds;

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// Folder of the functions' manifests
    #[arg(
        long,
        default_value = "./configs/knative_workloads",
        value_name = "DIR"
    )]
    pub(crate) func_path: PathBuf,
    /// Which functions, and how many of each
    #[arg(
        long,
        default_value = "./tools/deployer/functions.json",
        value_name = "FILE"
    )]
    pub(crate) json_file: PathBuf,
    /// Where the names of the functions go that are ready
    #[arg(long, default_value = "endpoints.json", value_name = "FILE")]
    pub(crate) endpoints_file: PathBuf,
    /// Domain of the functions' names, with a port if it is not 80 (default: as their URLs have it)
    #[arg(long = "gateway-url", value_name = "DOMAIN")]
    pub(crate) gateway: Option<String>,
    /// Namespace of the functions
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// Functions that are deployed at once
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = super::positive)]
    pub(crate) conc: usize,
    /// The cluster (default: the node of --data-dir if there is one, else ~/.kube/config)
    #[arg(long, env = "KUBECONFIG", hide_env_values = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<String>,
    /// Longest wait for each function, in seconds
    #[arg(long, default_value = "600", value_name = "S", value_parser = seconds)]
    pub(crate) wait_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LoadProtocol {
    /// helloworld.Greeter/SayHello over HTTP/2
    Grpc,
    /// HTTP/1.1
    Http,
}

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The functions to call, as the deployer writes them
    #[arg(long, default_value = "endpoints.json", value_name = "FILE")]
    pub(crate) endpoints_file: PathBuf,
    /// Requests a second, on average
    #[arg(long, default_value_t = 1.0, value_name = "RATE", value_parser = rate)]
    pub(crate) rps: f64,
    /// How long, in seconds (default: 5, or the length of the trace)
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) time: Option<Duration>,
    /// Where the latencies go, in microseconds: rpsRATE_ goes before the name
    #[arg(long, default_value = "lat.csv", value_name = "FILE")]
    pub(crate) latf: PathBuf,
    /// Where the functions' own times go, in microseconds
    #[arg(long, default_value = "dur.csv", value_name = "FILE")]
    pub(crate) durf: PathBuf,
    /// Take the last word of each answer for the function's own time
    #[arg(long)]
    pub(crate) profile: bool,
    /// Port of endpoints that have none in their names
    #[arg(long, default_value_t = 80, value_name = "PORT")]
    pub(crate) port: u16,
    /// Send a span of each request to Zipkin
    #[arg(long)]
    pub(crate) trace: bool,
    /// Where Zipkin takes spans
    #[arg(
        long,
        default_value = "http://localhost:9411/api/v2/spans",
        value_name = "URL"
    )]
    pub(crate) zipkin: String,
    /// Send a span of each request to an OpenTelemetry collector: OTLP over HTTP, as JSON
    #[arg(long, value_name = "URL", conflicts_with = "trace")]
    pub(crate) otlp: Option<String>,
    /// Log each request that fails
    #[arg(long)]
    pub(crate) dbg: bool,
    /// Longest time of a request, in seconds
    #[arg(long = "grpc-timeout", default_value = "30", value_name = "S", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// How requests are distributed: constant, poisson, or burst:SIZE
    #[arg(long, default_value = "constant", value_name = "PROCESS")]
    pub(crate) arrivals: Process,
    /// A trace of invocations to replay instead: a line for each, or counts by the minute as in Azure's of 2019
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rps", "arrivals"])]
    pub(crate) trace_file: Option<PathBuf>,
    /// How long a minute of the trace takes, in seconds
    #[arg(long, default_value = "60", value_name = "S", value_parser = seconds, requires = "trace_file")]
    pub(crate) trace_minute: Duration,
    /// The same seed gives the same arrivals
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Seconds before, of the same load, that are not recorded
    #[arg(long, default_value = "0", value_name = "S", value_parser = seconds)]
    pub(crate) warm_up: Duration,
    /// What is spoken
    #[arg(long, default_value = "grpc")]
    pub(crate) protocol: LoadProtocol,
    /// The name to greet (gRPC) or the body to post (HTTP; without it, GET)
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) data: Option<String>,
    /// Path to ask for, over HTTP
    #[arg(long, default_value = "/")]
    pub(crate) path: http::uri::PathAndQuery,
    /// Where to connect, instead of where the endpoints' names lead
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) gateway: Option<String>,
    /// HTTP/2 connections to each address; more are opened when answers take long
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = super::positive)]
    pub(crate) connections: usize,
    /// A closed loop instead: so many connections with one request at a time on each, timed from when it was due, as wrk2 does
    #[arg(long, value_name = "CONNECTIONS", value_parser = super::positive)]
    pub(crate) closed: Option<usize>,
    /// Do not ask the gateway which answers were cold
    #[arg(long)]
    pub(crate) no_explain: bool,
    /// Folder for all figures of the run: CSV, HDR log, JSON and plots
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// The cluster that is asked for instances, with --out (default: as for deploy)
    #[arg(long, env = "KUBECONFIG", hide_env_values = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Folders that `vhive load --out` wrote; ratios are to the first
    #[arg(required = true, value_name = "DIR")]
    pub(crate) runs: Vec<PathBuf>,
    /// Where the page goes
    #[arg(long, default_value = "report.html", value_name = "FILE")]
    pub(crate) html: PathBuf,
}

/// How many a second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (1e-6..=1e7).contains(&rate) => Ok(rate),
        _ => Err("not a number of requests a second, such as 0.5 or 2000".to_owned()),
    }
}
