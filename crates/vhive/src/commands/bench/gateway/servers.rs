//! The backends, and the gateway before them.
//!
//! Each has processors' threads of its own, as in life: none shares those of the clients.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as Bound};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use futures_util::future::{BoxFuture, FutureExt};
use gateway::{
    Connector, Endpoint, Gateway, HostRoute, Options, Protocol, RevisionConfig, RevisionKey,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::HOST;
use super::caller::Kind;

pub(super) struct Servers {
    function: SocketAddr,
    echo: SocketAddr,
    gateways: Option<Runtime>,
    stop: CancellationToken,
    _process: tokio::process::Child,
}

impl Servers {
    pub(super) async fn start(folder: &Path) -> Result<Self> {
        let (function, process) = start_function(folder).await?;
        Ok(Self {
            function,
            echo: start_echo()?,
            gateways: Some(Builder::new_multi_thread().enable_all().build()?),
            stop: CancellationToken::new(),
            _process: process,
        })
    }

    pub(super) fn backend(&self, kind: Kind) -> SocketAddr {
        match kind {
            Kind::WebSocket => self.echo,
            Kind::Http1 | Kind::Http2 | Kind::Grpc => self.function,
        }
    }

    /// A gateway with that many services, each with a host and a revision of its own, of which one has an instance.
    pub(super) fn gateway(&self, kind: Kind, services: usize) -> Result<SocketAddr> {
        let protocol = match kind {
            Kind::Http1 | Kind::WebSocket => Protocol::Http1,
            Kind::Http2 | Kind::Grpc => Protocol::H2c,
        };
        self.gateway_to(self.backend(kind), protocol, services)
    }

    pub(super) fn gateway_to(
        &self,
        backend: SocketAddr,
        protocol: Protocol,
        services: usize,
    ) -> Result<SocketAddr> {
        let (gateway, demand) = Gateway::new(Options::default());
        let config = RevisionConfig {
            protocol,
            ..RevisionConfig::default()
        };
        let key = |number: usize| RevisionKey::new("default", format!("bench{number}-00001"));
        let host = |number: usize| match number {
            0 => HOST.to_owned(),
            _ => format!("bench{number}.default.example.com"),
        };
        let routes: Vec<_> = (0..services)
            .map(|number| HostRoute {
                host: host(number),
                targets: vec![(key(number), 100)],
            })
            .collect();
        for number in 0..services {
            gateway.upsert_revision(&key(number), config);
        }
        gateway.set_routes(&routes);
        gateway.set_endpoints(
            &key(0),
            vec![Endpoint {
                id: "backend".to_owned(),
                connector: Arc::new(Loopback(backend)),
                phases: Vec::new(),
            }],
        );
        let bound = bind()?;
        let address = bound.local_addr()?;
        let stop = self.stop.clone();
        let runtime = self.gateways.as_ref().context("the bench is over")?;
        let listener = {
            let _within = runtime.enter();
            TcpListener::from_std(bound)?
        };
        runtime.spawn(async move {
            gateway.serve(listener, stop).await;
            drop(demand);
        });
        Ok(address)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.gateways.take() {
            // It would wait otherwise, which a task of another must not.
            runtime.shutdown_background();
        }
    }
}

pub(super) fn bind() -> Result<Bound> {
    let bound = Bound::bind((Ipv4Addr::LOCALHOST, 0))?;
    bound.set_nonblocking(true)?;
    Ok(bound)
}

/// A port that is free now.
pub(super) fn free_port() -> Result<u16> {
    Ok(Bound::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The embedded function as a process of this machine, on a free port.
pub(in crate::commands::bench) async fn start_function(
    folder: &Path,
) -> Result<(SocketAddr, tokio::process::Child)> {
    use std::os::unix::fs::PermissionsExt;
    let binary = folder.join("helloworld");
    std::fs::write(&binary, include_bytes!(env!("VHIVE_HELLOWORLD")))?;
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755))?;
    let free = free_port()?;
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

/// Takes an upgrade and sends back what comes, on a thread of its own, until this process ends.
fn start_echo() -> Result<SocketAddr> {
    let bound = bind()?;
    let address = bound.local_addr()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("echo".to_owned())
        .spawn(move || runtime.block_on(serve_echo(bound)))?;
    Ok(address)
}

async fn serve_echo(bound: Bound) -> std::io::Result<()> {
    let listener = TcpListener::from_std(bound)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(answer).await?;
    let (mut reader, mut writer) = stream.split();
    tokio::io::copy(&mut reader, &mut writer).await?;
    Ok(())
}

struct Loopback(SocketAddr);

impl Connector for Loopback {
    fn connect(&self) -> BoxFuture<'static, std::io::Result<TcpStream>> {
        TcpStream::connect(self.0).boxed()
    }
}
