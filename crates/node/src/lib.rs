//! The executor: watches the store, asks `control` what to do, does it with `sandbox` and `gateway`, and writes the
//! status back.
//!
//! ```text
//!  API ──► store ──watch──► controller ──► runner of each revision ──► sandbox
//!            ▲                 │  ▲                 │  ▲
//!            └────status───────┘  └──observation────┤  │
//!  ingress ──► gateway ◄──routes, endpoints─────────┘  │
//!                 └──────────demand────────────────────┘
//! ```

mod agenda;
mod budget;
mod controller;
mod demand;
mod happenings;
mod hosts;
mod images;
mod instances;
mod logs;
mod names;
mod pins;
mod probes;
mod revision;
mod settings;
mod shown;
mod snapshots;
mod sources;
mod workload;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apiserver::Store;
use control::{Domain, Settings};
use gateway::Gateway;
use sandbox::Sandbox;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use vmm::kernel::Kernel;
use vmm::{Accel, Hypervisor};

pub use apiserver::auth::CertificateFiles;
pub use control::Retention;
pub use sandbox::{Memory, Recovered, Users};

use crate::budget::Budget;
use crate::controller::Controller;
use crate::demand::Doorbells;
use crate::images::Images;
use crate::instances::Instances;
use crate::logs::Logs;
use crate::revision::{Command, Hands};
use crate::shown::{Recorder, Shown};
use crate::sources::Sources;

/// Longest time from the start of an instance to its function's program; emulation on a busy machine is slow.
const BOOT_DEADLINE: Duration = Duration::from_secs(120);
/// An instance's log is set aside at this size; one old file is kept.
const LOG_MAX_BYTES: u64 = 8 << 20;
/// Requests to the API take milliseconds; watches are ended.
const API_DRAIN: Duration = Duration::from_secs(2);
/// How often events that are too old are looked for.
const EVENTS_EVERY: Duration = Duration::from_secs(60);

/// Role of a listener.
const OVER_TLS: &str = "ingress over TLS";

/// How a node is set up.
#[derive(Clone)]
pub struct Config {
    /// Holds the store, images, logs and run files.
    pub data_dir: PathBuf,
    /// Where the API listens (TLS with client certificates).
    pub api: SocketAddr,
    /// Where the ingress listens.
    pub ingress: SocketAddr,
    /// Where the ingress listens for TLS beside, if it does.
    pub https: Option<Https>,
    /// Functions answer at `NAME.NAMESPACE.DOMAIN`.
    pub domain: String,
    /// Namespaces with a tap that are kept ready.
    pub net_pool_size: usize,
    /// What runs the guests.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// What people know it by: `QEMU 7.2.22`.
    pub hypervisor_version: String,
    /// How guests run.
    pub accel: Accel,
    /// Whom hypervisors run as, instead of root.
    pub hypervisor_users: Option<Users>,
    /// What guests boot.
    pub kernel: Kernel,
    /// How functions are saved and restored.
    pub snapshots: SnapshotConfig,
    /// How long revisions stay that get no traffic.
    pub retention: Retention,
}

/// The ingress over TLS.
#[derive(Debug, Clone)]
pub struct Https {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it shows; by default certificates of the node's own authority.
    pub certificate: Option<CertificateFiles>,
}

/// How functions are saved and restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// The number of answered requests after which a revision is saved; 0 for never.
    pub after: u64,
    /// How a restored guest's memory arrives, where the revision's annotation does not say.
    pub memory: Memory,
    /// What all snapshots together may take on disk, in bytes.
    pub space: u64,
    /// Hypervisors that wait for each shape of machine that is restored.
    pub spare_hypervisors: usize,
}

/// Why a node did not start. Each says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory cannot be used.
    #[error("cannot use the data directory {path}", path = .path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for the {role}")]
    Listen {
        /// `API`, `ingress` or `ingress over TLS`.
        role: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The store does not open.
    #[error("the object store does not open")]
    Store(#[source] apiserver::store::OpenError),
    /// The namespaces that are always there cannot be made.
    #[error("the object store does not take the first namespaces")]
    Namespaces(#[source] apiserver::store::Error),
    /// The image store does not open.
    #[error("the image store does not open")]
    Images(#[source] image::Error),
    /// The credentials of registries cannot be read.
    #[error("the credentials of registries cannot be read")]
    Registry(#[source] image::registry::CredentialsError),
    /// The sandbox does not open.
    #[error("the sandbox does not open")]
    Sandbox(#[source] sandbox::Error),
    /// The key material of the API cannot be made or read.
    #[error("the API's certificates cannot be made")]
    Auth(#[source] apiserver::auth::Error),
    /// The ingress cannot show its certificate.
    #[error("the ingress has no certificate")]
    Https(#[source] apiserver::auth::Error),
}

impl Error {
    /// The next step to take.
    pub fn next_step(&self) -> String {
        match self {
            Self::DataDir { .. } => "name another folder with --data-dir".to_owned(),
            Self::Listen { role: "API", .. } => "stop what listens there (ss -ltnp shows it), or name another address with --api".to_owned(),
            Self::Listen { role: OVER_TLS, .. } => "stop what listens there (ss -ltnp shows it), or name another address with --https".to_owned(),
            Self::Listen { .. } => "stop what listens there (ss -ltnp shows it), or name another address with --ingress".to_owned(),
            Self::Store(_) => "do what the message says; another --data-dir starts with an empty store".to_owned(),
            Self::Namespaces(_) => "do what the message says".to_owned(),
            Self::Images(_) => "check the folder images in the data directory".to_owned(),
            Self::Registry(_) => "check ~/.docker/config.json".to_owned(),
            Self::Sandbox(_) => "run `vhive doctor`".to_owned(),
            Self::Https(_) => "check --tls-cert and --tls-key, or leave them out for certificates of the node's own authority".to_owned(),
            Self::Auth(_) => "check the folder pki in the data directory; without it new certificates are made".to_owned(),
        }
    }
}

/// A running node.
pub struct Node {
    api_url: String,
    ingress: SocketAddr,
    https: Option<SocketAddr>,
    recovered: Recovered,
    description: String,
    sandbox: Sandbox,
    stop_controller: CancellationToken,
    stop_servers: CancellationToken,
    controller: JoinHandle<()>,
    servers: Vec<JoinHandle<()>>,
    demand: JoinHandle<()>,
}

impl Node {
    /// Starts the node: takes down what a dead predecessor left, opens the store, and serves.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let data_dir = |source| Error::DataDir {
            path: config.data_dir.clone(),
            source,
        };
        let under = |name: &str| config.data_dir.join(name);
        std::fs::create_dir_all(&config.data_dir).map_err(data_dir)?;
        // The store's lock keeps a second node out before anything of the first is touched.
        let store_path = under("store.redb");
        let store = tokio::task::spawn_blocking(move || Store::open(&store_path)).await;
        let store = store
            .map_err(|error| data_dir(std::io::Error::other(error)))?
            .map_err(Error::Store)?;
        apiserver::namespaces::ensure(&store)
            .await
            .map_err(Error::Namespaces)?;
        let api_listener = listen("API", config.api).await?;
        let ingress_listener = listen("ingress", config.ingress).await?;
        let bound = |listener: &TcpListener, asked| listener.local_addr().unwrap_or(asked);
        let api_at = bound(&api_listener, config.api);
        let ingress = bound(&ingress_listener, config.ingress);

        let pki = apiserver::auth::ensure(
            &pki_dir(&config.data_dir),
            &[],
            std::time::SystemTime::now(),
        )
        .map_err(Error::Auth)?;
        let authenticator = pki.authenticator().map_err(Error::Auth)?;
        let secured = match &config.https {
            Some(Https {
                address,
                certificate,
            }) => {
                let listener = listen(OVER_TLS, *address).await?;
                let tls = match certificate {
                    Some(files) => files.server_config(),
                    None => pki.ingress_config(&config.domain, std::time::SystemTime::now()),
                };
                Some((listener, tls.map_err(Error::Https)?))
            }
            None => None,
        };
        let https = secured
            .as_ref()
            .and_then(|(listener, _)| listener.local_addr().ok());
        let image_store = image::Store::open(&under("images")).map_err(Error::Images)?;
        let revisions = revisions(&store);
        if let Err(error) = image_store.retain_pins(|holder| revisions.contains(holder)) {
            warn!(error = %chain(&error), "cannot let go of the images of revisions that are gone");
        }
        let logs = Logs::open(&config.data_dir).map_err(data_dir)?;
        let images = Images::new(
            image_store,
            image::registry::Client::new(
                image::registry::Credentials::of_user().map_err(Error::Registry)?,
                Vec::new(),
            ),
        );
        let description = describe(&config);
        info!(sandbox = %description, "node");
        let run_dir = under("run");
        let (sandbox, recovered) = Sandbox::open(
            sandbox::Config {
                node_id: sandbox::Config::node_id_for(&run_dir),
                run_dir,
                net_pool_size: config.net_pool_size,
                spare_hypervisors: config.snapshots.spare_hypervisors,
                snapshot_space: config.snapshots.space,
                snapshot_dir: under("snapshots"),
                accel: config.accel,
                log_max_bytes: LOG_MAX_BYTES,
                boot_deadline: BOOT_DEADLINE,
                hypervisor_users: config.hypervisor_users,
            },
            config.hypervisor,
            config.kernel,
        )
        .await
        .map_err(Error::Sandbox)?;

        let on_disk = sandbox.snapshots().clone();
        tokio::task::spawn_blocking(move || {
            snapshots::remove_orphans(&on_disk, |uid| revisions.contains(uid));
        });

        let (gateway, demand) = Gateway::new(gateway::Options::default());
        let (changed, observations) = mpsc::unbounded_channel();
        let instances = Instances::default();
        let doorbells = Doorbells::default();
        let demand = tokio::spawn(demand::pass_on(demand, doorbells.clone()));
        let shown = Shown::new();
        let events = Recorder::new(shown.clone());
        let (settings, follower) = settings::open(store.clone());
        let admission = settings.admission();
        let hands = Hands {
            sandbox: sandbox.clone(),
            images,
            sources: Sources::new(store.clone()),
            gateway: gateway.clone(),
            instances: instances.clone(),
            logs,
            doorbells: doorbells.clone(),
            budget: Budget::of_host(),
            shown: shown.clone(),
            events: events.clone(),
            settings,
            snapshot_after: config.snapshots.after,
            memory: config.snapshots.memory,
            changed,
        };
        let settings = Settings {
            domain: Domain {
                suffix: config.domain.clone(),
                port: ingress.port(),
            },
            retention: config.retention,
        };
        let stop_controller = CancellationToken::new();
        let stop_servers = CancellationToken::new();
        let serving = CancellationToken::new();
        let controller = Controller::new(store.clone(), settings, hands, serving.clone());
        let controller = tokio::spawn(controller.run(observations, stop_controller.clone()));

        let garbage = tokio::spawn(apiserver::collect(store.clone(), stop_servers.clone()));
        let namespaces = apiserver::namespaces::empty(store.clone(), stop_servers.clone());
        let metrics = apiserver::Metrics::new(&store);
        let router = apiserver::router(apiserver::Config {
            store,
            admission,
            elsewhere: vec![snapshots::ELSEWHERE],
            views: shown.views(ends(shown.clone(), doorbells.clone())),
            metrics: metrics.clone(),
            shutdown: stop_servers.clone(),
        })
        .route(
            "/metrics/gateway",
            axum::routing::get({
                let gateway = gateway.clone();
                move || async move { gateway.metrics() }
            }),
        )
        .merge(shown::logs(instances, shown))
        .merge(snapshots::router(
            sandbox.snapshots().clone(),
            doorbells.clone(),
        ));
        let server = apiserver::Server {
            router,
            authenticator: Some(authenticator),
            metrics,
        };
        let servers = vec![
            garbage,
            tokio::spawn(namespaces),
            tokio::spawn(follower.follow(stop_servers.clone())),
            tokio::spawn({
                let stop = stop_servers.clone();
                async move { apiserver::serve(api_listener, server, stop, API_DRAIN).await }
            }),
            tokio::spawn({
                let stop = stop_servers.clone();
                async move {
                    // Until then clients wait for their connection, and are not told that there is no such function.
                    tokio::select! {
                        () = serving.cancelled() => {}
                        () = stop.cancelled() => return,
                    }
                    let plain = gateway.serve(ingress_listener, stop.clone());
                    let secure = async {
                        if let Some((listener, tls)) = secured {
                            gateway.serve_tls(listener, tls, stop.clone()).await;
                        }
                    };
                    futures_util::future::join(plain, secure).await;
                }
            }),
            tokio::spawn(drop_old(events, stop_servers.clone())),
        ];
        Ok(Self {
            api_url: format!("https://{api_at}"),
            ingress,
            https,
            recovered,
            description,
            sandbox,
            stop_controller,
            stop_servers,
            controller,
            servers,
            demand,
        })
    }

    /// `https://HOST:PORT` of the API.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// Where requests to functions go.
    pub fn ingress(&self) -> SocketAddr {
        self.ingress
    }

    /// Where they go over TLS, if they may.
    pub fn https(&self) -> Option<SocketAddr> {
        self.https
    }

    /// What a dead predecessor had left.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Hypervisor, accelerator and kernel with their versions.
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// Stops: the ingress takes nothing new, requests in flight have `grace` to finish, then every instance goes.
    pub async fn shutdown(self, grace: Duration) {
        self.stop_servers.cancel();
        let finished = futures_util::future::join_all(self.servers);
        let _ = tokio::time::timeout(grace, finished).await;
        self.stop_controller.cancel();
        let _ = tokio::time::timeout(grace, self.controller).await;
        self.demand.abort();
        self.sandbox.shutdown(Duration::from_secs(1)).await;
    }
}

async fn listen(role: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen {
            role,
            address,
            source,
        })
}

/// The uids of all revisions.
fn revisions(store: &Store) -> HashSet<String> {
    let stored = store.list(&api::resource::REVISIONS.qualified(), None);
    let revisions = stored.objects.iter();
    revisions
        .filter_map(|object| object.decode::<serde_json::Value>().ok())
        .filter_map(|revision| Some(revision.pointer("/metadata/uid")?.as_str()?.to_owned()))
        .collect()
}

fn describe(config: &Config) -> String {
    let accel = match config.accel {
        Accel::Kvm => "KVM",
        Accel::Tcg => "TCG (emulation)",
    };
    let (hypervisor, kernel) = (&config.hypervisor_version, &config.kernel.release);
    format!("{hypervisor}, {accel}, kernel {kernel}")
}

/// What is done when a client deletes a Pod: whoever runs its instance is told. One whose revision is on its way out ends anyway.
fn ends(shown: Shown, doorbells: Doorbells) -> apiserver::End {
    Arc::new(move |key, grace| {
        if let Some(revision) = shown.revision_of(key.namespace(), key.name()) {
            let command = Command::End {
                instance: key.name().to_owned(),
                grace,
            };
            doorbells.tell(&revision, command);
        }
    })
}

/// Drops events when they are old, until the node stops.
async fn drop_old(events: Recorder, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVENTS_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => events.expire(),
        }
    }
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Key material of the API's clients, under the data directory.
pub fn pki_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("pki")
}
