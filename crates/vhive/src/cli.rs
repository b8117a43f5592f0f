//! The command line.

pub(crate) mod functions;
mod load;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use functions::{Functions, FunctionsDeploy, FunctionsNew};
pub(crate) use load::{Deploy, Load, LoadProtocol, Report};

/// Serverless functions in microVMs.
#[derive(Debug, Parser)]
#[command(name = "vhive", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Where the node keeps its objects, images, kernels and run files
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "VHIVE_DATA_DIR",
        default_value = "/var/lib/vhive",
        value_name = "DIR"
    )]
    pub(crate) data_dir: PathBuf,
    /// Address of the node's API
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "VHIVE_SERVER",
        default_value = "https://127.0.0.1:7443",
        value_name = "URL"
    )]
    pub(crate) server: String,
    /// What is logged, e.g. debug or node=debug,gateway=info (default: info for `up`, else warn)
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "VHIVE_LOG",
        value_name = "FILTER"
    )]
    pub(crate) log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the node in the foreground; ctrl-c drains and stops it
    Up(Up),
    /// The main job at once: set up, start a node, deploy helloworld, invoke it cold and warm
    Quickstart(Quickstart),
    /// What this host can do, and how to fix what it cannot
    Doctor,
    /// Create or change a service from a manifest
    Apply(Apply),
    /// List objects: services, revisions, configurations, routes, instances, autoscalers
    Get(Get),
    /// All about one service, its revisions and instances; or about one revision, and why it is scaled as it is
    Describe(Named),
    /// Delete services
    Delete(Delete),
    /// Call a function through the gateway
    Invoke(Invoke),
    /// What a function printed
    Logs(Logs),
    /// Sample functions, and functions of your own: list, build, deploy, begin
    Functions {
        #[command(subcommand)]
        command: Functions,
    },
    /// Images: pull, push, import, export, build, tag, list, remove
    Image {
        #[command(subcommand)]
        command: Image,
    },
    /// Snapshots of functions: list, inspect, take, remove
    Snapshot {
        #[command(subcommand)]
        command: Snapshot,
    },
    /// Guest kernels: fetch, import, list, remove
    Kernel {
        #[command(subcommand)]
        command: Kernel,
    },
    /// Print a kubeconfig for kubectl and kn
    Kubeconfig(Kubeconfig),
    /// Deploy the functions of a list, as the original's deployer does: each as often as it says, until all are ready
    Deploy(Deploy),
    /// Call deployed functions at a rate, as the original's invoker does, and tell how long they took
    Load(Load),
    /// One page that compares runs of `vhive load --out`
    Report(Report),
    /// Set up nodes and clusters of Kubernetes and Knative whose functions run in microVMs
    Setup(Box<setup::cli::Setup>),
    /// Be the CRI endpoint of a kubelet: function containers run in microVMs, everything else in containerd
    Cri(Cri),
    /// Measure
    Bench {
        #[command(subcommand)]
        command: Bench,
    },
}

/// The kubelet's door.
#[derive(Debug, Args)]
pub(crate) struct Cri {
    /// The socket that the kubelet is told (--container-runtime-endpoint)
    #[arg(
        long,
        default_value = "/etc/vhive-cri/vhive-cri.sock",
        value_name = "FILE"
    )]
    pub(crate) socket: PathBuf,
    /// containerd's socket
    #[arg(
        long,
        default_value = "/run/containerd/containerd.sock",
        value_name = "FILE"
    )]
    pub(crate) containerd: PathBuf,
    /// Where vHive's own services listen, proto.Orchestrator on this port and the forwarding greeter on the next; 0 for neither
    #[arg(long, default_value_t = 3333, value_name = "PORT")]
    pub(crate) orchestrator: u16,
    /// Namespaces with a tap kept ready for new microVMs
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) net_pool_size: usize,
    /// What all snapshots together may take on disk, in GiB; those not used for longest go first
    #[arg(long, default_value_t = 20, value_name = "GIB")]
    pub(crate) snapshot_space: u64,
    /// Hypervisors kept ready for each shape of machine that is restored
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) spare_hypervisors: usize,
    /// How guests run: hardware virtualisation, emulation, or whichever works here
    #[arg(long, default_value = "auto")]
    pub(crate) accel: AccelChoice,
    /// The QEMU binary, if not the one on PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) qemu: Option<PathBuf>,
    /// How the memory of a restored container arrives: auto, file, lazy or reap. Without, and without --snapshots, none is saved
    #[arg(long, value_name = "POLICY")]
    pub(crate) memory: Option<node::Memory>,
    #[command(flatten)]
    pub(crate) original: OriginalFlags,
    /// Of vHive's, and without effect: snapshotter, memory saving, requests until then, pinned functions, interface, prefixes, sandbox
    #[arg(long, hide = true, value_name = "ANY")]
    pub(crate) ignored: Vec<String>,
}

/// How a node is run.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArgs {
    /// Where the ingress listens for requests to functions
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) ingress: SocketAddr,
    /// Functions get the host name NAME.NAMESPACE.DOMAIN
    #[arg(long, default_value = "127.0.0.1.sslip.io")]
    pub(crate) domain: String,
    /// Namespaces with a tap kept ready for new instances
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) net_pool_size: usize,
    /// Answered requests after which a function is saved, to be restored from then on; 0 neither saves nor restores
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) snapshot_after: u64,
    /// How the memory of a restored function arrives: auto, file, lazy or reap
    #[arg(long, default_value = "auto", value_name = "POLICY")]
    pub(crate) memory: node::Memory,
    /// What all snapshots together may take on disk, in GiB; those not used for longest go first
    #[arg(long, default_value_t = 20, value_name = "GIB")]
    pub(crate) snapshot_space: u64,
    /// Hypervisors kept ready for each shape of machine that is restored
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) spare_hypervisors: usize,
    /// How guests run: hardware virtualisation, emulation, or whichever works here
    #[arg(long, default_value = "auto")]
    pub(crate) accel: AccelChoice,
    /// The QEMU binary, if not the one on PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) qemu: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccelChoice {
    /// KVM if a probe shows that it works, else emulation
    Auto,
    /// Hardware virtualisation
    Kvm,
    /// Emulation
    Tcg,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Where the API listens
    #[arg(long, default_value = "127.0.0.1:7443", value_name = "ADDR")]
    pub(crate) api: SocketAddr,
    /// Where the ingress listens for TLS too
    #[arg(long, value_name = "ADDR")]
    pub(crate) https: Option<SocketAddr>,
    /// The certificate for it, with its chain (default: the node's own authority issues one for each namespace)
    #[arg(long, value_name = "FILE", requires = "tls_key", requires = "https")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(flatten)]
    pub(crate) original: OriginalFlags,
}

/// What vHive's own orchestrator is told with `-snapshots`, `-upf`, `-lazy` and `-metrics`.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct OriginalFlags {
    /// As vHive's -snapshots: the same as --memory file
    #[arg(long, conflicts_with = "memory")]
    pub(crate) snapshots: bool,
    /// As vHive's -upf, with -snapshots: the same as --memory reap
    #[arg(long, requires = "snapshots")]
    pub(crate) upf: bool,
    /// As vHive's -lazy, with -upf: the same as --memory lazy
    #[arg(long, requires = "upf")]
    pub(crate) lazy: bool,
    /// As vHive's -metrics: say where the metrics are, which are there in any case
    #[arg(long)]
    pub(crate) metrics: bool,
}

impl Up {
    /// The ingress over TLS, if it is asked for.
    pub(crate) fn https(&self) -> Option<node::Https> {
        let files = self.tls_cert.clone().zip(self.tls_key.clone());
        Some(node::Https {
            address: self.https?,
            certificate: files
                .map(|(certificate, key)| node::CertificateFiles { certificate, key }),
        })
    }
}

impl OriginalFlags {
    /// The policy that they name, if they do.
    pub(crate) fn memory(self) -> Option<node::Memory> {
        match (self.snapshots, self.upf, self.lazy) {
            (false, ..) => None,
            (true, false, _) => Some(node::Memory::File),
            (true, true, false) => Some(node::Memory::Reap),
            (true, true, true) => Some(node::Memory::Lazy),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// Install what the host lacks without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Leave the node running in the foreground afterwards
    #[arg(long)]
    pub(crate) keep: bool,
    /// Warm requests to measure
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) warm: usize,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// Name of the service, where the manifest has none (default: the name of the file)
    pub(crate) name: Option<String>,
    /// Manifest, YAML or JSON; - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Namespace, where the manifest has none
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Do not wait until the service is ready
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Longest wait, in seconds
    #[arg(long, default_value_t = 600, value_name = "S")]
    pub(crate) wait_timeout: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The objects, for programs
    Json,
    /// The same, for manifests
    Yaml,
    /// A table with more columns
    Wide,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// services, revisions, configurations, routes, instances, pods, events, snapshots, configmaps or secrets
    #[arg(default_value = "services")]
    pub(crate) kind: String,
    /// Only this one
    pub(crate) name: Option<String>,
    /// Namespace
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// All namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Output format
    #[arg(short, long)]
    pub(crate) output: Option<Format>,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Name of the service
    pub(crate) name: String,
    /// Namespace
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Names of the services
    #[arg(required_unless_present = "all")]
    pub(crate) names: Vec<String>,
    /// All services of the namespace
    #[arg(long, conflicts_with = "names")]
    pub(crate) all: bool,
    /// Namespace
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
}

#[derive(Debug, Args)]
pub(crate) struct Kubeconfig {
    /// Write it into the data directory and print where that is: export KUBECONFIG=$(vhive kubeconfig --path)
    #[arg(long)]
    pub(crate) path: bool,
    /// For a user of this name, who is made if need be, with a new token; one given before is no longer valid
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// The user may look at everything but Secrets, and change nothing; without, everything is allowed
    #[arg(long, requires = "user")]
    pub(crate) read_only: bool,
    /// Remove a user, whose token is refused from then on
    #[arg(long, value_name = "NAME", conflicts_with_all = ["path", "user"])]
    pub(crate) revoke: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Invoke {
    #[command(flatten)]
    pub(crate) service: Named,
    /// The name to greet (gRPC) or the body to post (HTTP; without it, GET)
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) data: Option<String>,
    /// Path to ask for, over HTTP
    #[arg(long, default_value = "/")]
    pub(crate) path: String,
    /// Speak HTTP/1.1 even to a function whose port is named h2c
    #[arg(long)]
    pub(crate) http: bool,
    /// Show where the time went
    #[arg(long)]
    pub(crate) explain: bool,
    /// Connect here (HOST:PORT) instead of where the function's URL points
    #[arg(long, value_name = "ADDR")]
    pub(crate) gateway: Option<String>,
    /// Longest wait, in seconds
    #[arg(long, default_value = "120", value_name = "S", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// A service (its newest instance), or an instance
    pub(crate) name: String,
    /// Namespace
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// Go on as more is printed
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Fetch an image from its registry
    Pull {
        /// Name of the image, e.g. ghcr.io/someone/hello:v1
        reference: String,
    },
    /// Send an image to its registry
    Push {
        /// Name of the image, with its registry
        reference: String,
    },
    /// Take in an OCI archive or the output of `docker save`
    Import {
        /// The archive: .tar, .tar.gz or .tar.zst
        file: PathBuf,
        /// Name for an archive that has none
        #[arg(long)]
        name: Option<String>,
    },
    /// Give an image one more name, under which a registry takes it, say
    Tag {
        /// A name it has
        source: String,
        /// The name it gets
        target: String,
    },
    /// Write an image as an OCI archive
    Export {
        /// Name of the image
        reference: String,
        /// The archive to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Make an image from a folder, a static binary or a tar
    Build(ImageBuild),
    /// List images
    Ls,
    /// Remove images by name
    Rm {
        /// Names of the images
        #[arg(required = true)]
        references: Vec<String>,
    },
    /// Remove what no image refers to any more
    Gc,
}

#[derive(Debug, Args)]
pub(crate) struct ImageBuild {
    /// Name of the image, e.g. dev.local/hello:latest
    pub(crate) reference: String,
    #[command(flatten)]
    pub(crate) source: ImageSource,
    /// Program to run; repeat for its fixed arguments
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) entrypoint: Vec<String>,
    /// Default arguments
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) cmd: Vec<String>,
    /// Environment variable, NAME=VALUE
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Working directory
    #[arg(long, default_value = "/")]
    pub(crate) workdir: String,
    /// User: name, uid, or either with :group
    #[arg(long, default_value = "")]
    pub(crate) user: String,
    /// Port that the function listens on
    #[arg(long, short)]
    pub(crate) port: Vec<u16>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ImageSource {
    /// A folder that becomes the root
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// A static binary, which becomes the entrypoint
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
    /// A tar that becomes the root
    #[arg(long, value_name = "FILE")]
    pub(crate) tar: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    /// List snapshots
    Ls {
        #[arg(short, long, default_value = "default")]
        namespace: String,
        /// Output format
        #[arg(short, long)]
        output: Option<Format>,
    },
    /// Show what a snapshot is of, its sizes, and how its working set serves
    Inspect {
        #[command(flatten)]
        named: SnapshotNamed,
        /// Read all of it, too, and compare with what was written
        #[arg(long)]
        verify: bool,
    },
    /// Take one now of the newest revision of a service, from an instance that is ready
    Create(Named),
    /// Remove snapshots; what runs from them goes on
    Rm {
        /// Ids, as `vhive snapshot ls` shows them
        #[arg(required = true)]
        ids: Vec<String>,
        #[arg(short, long, default_value = "default")]
        namespace: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotNamed {
    /// Id, as `vhive snapshot ls` shows it
    pub(crate) id: String,
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Kernel {
    /// Download the distribution's kernel package and take the kernel out of it
    Fetch,
    /// Take in a kernel from .deb files, from this host, or from a vmlinuz and its modules
    Import {
        /// Kernel packages, already downloaded
        #[arg(required_unless_present_any = ["host", "vmlinuz"])]
        debs: Vec<PathBuf>,
        /// The kernel installed on this host
        #[arg(long, conflicts_with = "debs")]
        host: bool,
        /// A vmlinuz
        #[arg(long, requires = "modules", conflicts_with_all = ["debs", "host"])]
        vmlinuz: Option<PathBuf>,
        /// Its folder of modules, as in /lib/modules/RELEASE
        #[arg(long, requires = "vmlinuz")]
        modules: Option<PathBuf>,
    },
    /// List kernels
    Ls,
    /// Remove a kernel
    Rm {
        /// Its release, as `vhive kernel ls` shows it
        release: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// A trace of invocations played to the autoscaler in virtual time: what it would start, and what requests would wait for
    Autoscale(Autoscale),
    /// Cold start of helloworld beside a bare boot of the same kernel to its first process
    Boot {
        /// Rounds; one round measures each once
        #[arg(long, default_value_t = 10, value_name = "N")]
        rounds: usize,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Instances killed at random under load: only requests in flight on them may fail, and must say so
    Chaos(Chaos),
    /// Cold starts: booted, and restored by every policy of memory, with a cold and a warm page cache
    Coldstart(Coldstart),
    /// The page server beside a bare loop of the same system calls
    Pages {
        /// How often each is measured
        #[arg(long, default_value_t = 20, value_name = "N")]
        repetitions: usize,
    },
    /// Clones of one snapshot at once: time to the answer, and memory of each
    Scale(Scale),
    /// The API with many services at scale zero: applying, listing, watching, and the node's memory
    Control(Control),
    /// Requests through the gateway beside requests straight to the same backend, and through haproxy
    Gateway(GatewayBench),
    /// Many requests at once to a function that has no instance: what becomes of them, and how the function grows
    Burst(Burst),
    /// The load generator itself: the rate that it holds on one processor, and its latencies beside those of wrk2's way
    Load(LoadBench),
}

#[derive(Debug, Args)]
pub(crate) struct Burst {
    /// Requests at once
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = positive)]
    pub(crate) requests: usize,
    /// Requests that one instance works on at once; 0 is no limit
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) concurrency: u32,
    /// Most instances
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) max_scale: u32,
    /// The seconds that an instance is kept busy by each request
    #[arg(long, default_value = "0.05", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) hold: Duration,
    /// Where every measured value goes, the scale over time and a plot beside it (default: burst-TIME.csv)
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// How guests run: hardware virtualisation, emulation, or whichever works here
    #[arg(long, default_value = "auto")]
    pub(crate) accel: AccelChoice,
    /// The QEMU binary, if not the one on PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) qemu: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LoadBench {
    /// Requests a second
    #[arg(long, default_value_t = 20_000.0, value_name = "RATE", value_parser = load::rate)]
    pub(crate) rps: f64,
    /// How long each turn takes, in seconds
    #[arg(long, default_value = "5", value_name = "S", value_parser = seconds)]
    pub(crate) time: Duration,
    /// Turns of each way
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = positive)]
    pub(crate) rounds: usize,
    /// Connections of wrk2's way, with one request at a time on each
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = positive)]
    pub(crate) clients: usize,
    /// The backend answers nothing for so many milliseconds, once a second
    #[arg(long, default_value_t = 50, value_name = "MS")]
    pub(crate) stall: u64,
}

#[derive(Debug, Args)]
pub(crate) struct GatewayBench {
    /// Requests of each kind
    #[arg(long, default_value_t = 5000, value_name = "N")]
    pub(crate) requests: usize,
    /// Connections at once, for the throughput
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub(crate) clients: usize,
    /// Services of a second gateway, each with a route and a revision
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) services: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Autoscale {
    /// The trace: a line for each invocation, or counts by the minute as in Azure's of 2019 (docs/autoscaling.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: PathBuf,
    /// Of a trace with counts, only the function whose hash begins so
    #[arg(long, value_name = "HASH")]
    pub(crate) function: Option<String>,
    /// Of a trace with counts, the seconds that each invocation takes
    #[arg(long, default_value = "0.5", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) duration: Duration,
    /// The seconds from the wish for an instance until it answers
    #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) cold_start: Duration,
    /// Requests that one instance works on at once; 0 is no limit
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) concurrency: u32,
    /// An annotation of the revision, without autoscaling.knative.dev/ before it; may be given again
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) annotations: Vec<(String, String)>,
    /// A key of config-autoscaler; may be given again
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) config: Vec<(String, String)>,
    /// Where every second goes (default: autoscale-TIME.csv)
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Where the plot goes (default: beside the seconds)
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Chaos {
    /// For how long requests come, in seconds
    #[arg(long, default_value = "120", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) time: Duration,
    /// Requests a second, whatever becomes of those before
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: u32,
    /// The seconds for which each request keeps its instance busy
    #[arg(long, default_value = "0.3", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) hold: Duration,
    /// Instances of the function
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) instances: u32,
    /// The seconds from one kill to the next, on average: from none to twice as many
    #[arg(long, default_value = "4", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) kill_every: Duration,
    /// The QEMU binary, if not the one on PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) qemu: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Coldstart {
    /// Rounds; one round measures each once
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) rounds: usize,
    /// Functions, by the names of their images: dev.local/NAME:latest
    #[arg(long = "function", default_value = "helloworld", num_args = 1.., value_name = "NAME")]
    pub(crate) functions: Vec<String>,
    /// Memory of a guest, in MiB
    #[arg(long, default_value_t = 256, value_name = "MIB")]
    pub(crate) guest_memory: u32,
    /// Where every measured value goes (default: coldstart-TIME.csv)
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Where the plot goes (default: beside the values)
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) guests: GuestArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// The most clones at once: 1, 2, 4 and so on up to it
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(crate) max: usize,
    /// How often each number is measured
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) rounds: usize,
    /// The function, by the name of its image: dev.local/NAME:latest
    #[arg(long, default_value = "helloworld", value_name = "NAME")]
    pub(crate) function: String,
    /// Memory of a guest, in MiB
    #[arg(long, default_value_t = 128, value_name = "MIB")]
    pub(crate) guest_memory: u32,
    /// Where every measured value goes (default: scale-TIME.csv)
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) guests: GuestArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Control {
    /// Services to apply
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = positive)]
    pub(crate) services: usize,
    /// Watchers of all of them at once
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = positive)]
    pub(crate) watchers: usize,
    /// Where every measured value goes (default: control-TIME.csv)
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// The QEMU binary, if not the one on PATH; no guest is started
    #[arg(long, value_name = "FILE")]
    pub(crate) qemu: Option<PathBuf>,
}

/// How the guests of a measurement are run.
#[derive(Debug, Clone, Args)]
pub(crate) struct GuestArgs {
    /// Speak HTTP/1.1 to the function instead of gRPC
    #[arg(long)]
    pub(crate) http: bool,
    /// How guests run: hardware virtualisation, emulation, or whichever works here
    #[arg(long, default_value = "auto")]
    pub(crate) accel: AccelChoice,
    /// The QEMU binary, if not the one on PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) qemu: Option<PathBuf>,
}

/// A name and its value.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("not NAME=VALUE".to_owned()),
    }
}

/// A number of things of which there must be one at least.
fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("not a number from 1 on".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// A length of time in seconds, with or without a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::try_from_secs_f64);
    match seconds {
        Some(Ok(duration)) => Ok(duration),
        _ => Err("not a number of seconds, such as 0.5 or 120".to_owned()),
    }
}
