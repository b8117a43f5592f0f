//! Requests through the gateway beside requests straight to the same backend, one at a time, in turns.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::future::{BoxFuture, FutureExt};
use gateway::{Connector, Endpoint, Gateway, HostRoute, Options, RevisionConfig, RevisionKey};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{Samples, print};
use crate::client::ingress::{Connection, Protocol, Target};
use crate::exit::Outcome;

const HOST: &str = "bench.default.example.com";
const WARM_UP: usize = 200;
const CALL: Duration = Duration::from_secs(10);

pub(super) async fn run(requests: usize) -> Outcome {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let (backend, _process) = start_backend(folder.path()).await?;
    let stop = CancellationToken::new();
    println!("one request at a time over one connection, {requests} of each kind, in turns");
    for (name, protocol, spoken) in [
        ("HTTP/1.1", Protocol::Http, gateway::Protocol::Http1),
        ("gRPC", Protocol::Grpc, gateway::Protocol::H2c),
    ] {
        let ingress = start_gateway(backend, spoken, stop.clone()).await?;
        let open = |address| {
            let target = Target {
                address,
                authority: HOST.to_owned(),
            };
            async move { Connection::open(&target, protocol).await }
        };
        let mut direct = open(backend).await?;
        let mut through = open(ingress).await?;
        let (mut direct_samples, mut through_samples) = (Samples::default(), Samples::default());
        for round in 0..requests + WARM_UP {
            let straight = direct
                .call("/", "bench", false, CALL)
                .await
                .context("straight to the backend")?;
            let routed = through
                .call("/", "bench", false, CALL)
                .await
                .context("through the gateway")?;
            if round >= WARM_UP {
                direct_samples.add(straight.elapsed);
                through_samples.add(routed.elapsed);
            }
        }
        println!("\n{name}");
        print(&[("direct", &direct_samples), ("gateway", &through_samples)]);
        let added = through_samples
            .median()
            .saturating_sub(direct_samples.median());
        let ratio = through_samples.median().as_secs_f64()
            / direct_samples.median().as_secs_f64().max(f64::EPSILON);
        println!("added p50 {} µs, ratio {ratio:.2}", added.as_micros());
    }
    stop.cancel();
    Ok(())
}

/// The embedded function as a process of this machine, on a free port.
async fn start_backend(folder: &std::path::Path) -> Outcome<(SocketAddr, tokio::process::Child)> {
    use std::os::unix::fs::PermissionsExt;
    let binary = folder.join("helloworld");
    std::fs::write(&binary, include_bytes!(env!("VHIVE_HELLOWORLD")))?;
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755))?;
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let mut process = tokio::process::Command::new(&binary)
        .env("PORT", free.to_string())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let output = process
        .stdout
        .take()
        .ok_or_else(|| anyhow!("the backend has no output"))?;
    // It prints one line when it listens.
    BufReader::new(output)
        .lines()
        .next_line()
        .await?
        .context("the backend ended at once")?;
    Ok((SocketAddr::from((Ipv4Addr::LOCALHOST, free)), process))
}

async fn start_gateway(
    backend: SocketAddr,
    protocol: gateway::Protocol,
    stop: CancellationToken,
) -> Outcome<SocketAddr> {
    let (gateway, _demand) = Gateway::new(Options::default());
    let key = RevisionKey::new("default", "bench-00001");
    gateway.upsert_revision(
        &key,
        RevisionConfig {
            protocol,
            ..RevisionConfig::default()
        },
    );
    gateway.set_routes(&[HostRoute {
        host: HOST.to_owned(),
        targets: vec![(key.clone(), 100)],
    }]);
    let connector = Arc::new(Loopback(backend));
    gateway.set_endpoints(
        &key,
        vec![Endpoint {
            id: "backend".to_owned(),
            connector,
            phases: Vec::new(),
        }],
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { gateway.serve(listener, stop).await });
    Ok(address)
}

struct Loopback(SocketAddr);

impl Connector for Loopback {
    fn connect(&self) -> BoxFuture<'static, std::io::Result<TcpStream>> {
        TcpStream::connect(self.0).boxed()
    }
}
