//! What the endpoint adds to a call that it passes on: `ListContainers`, over connections that stand, straight to containerd and through
//! an endpoint of this process, in turns. As many containers are listed as containerd has. Needs root.
//!
//! `cargo run --release -p cri --example list_hop -- CONTAINERD_SOCKET [CALLS]`

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use cri::{Config, Server};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use image::Store;
use sandbox::{Accel, Sandbox};
use testkit::guest::well_behaved;
use testkit::hypervisor::FakeHypervisor;
use tokio::net::UnixStream;

/// What a client of gRPC's Go library gives a stream, which then grows with what comes.
const WINDOW: u32 = 64 << 10;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let containerd = arguments.next().context("containerd's socket is missing")?;
    let calls: usize = arguments.next().map_or(Ok(2000), |calls| calls.parse())?;
    let folder = tempfile::tempdir()?;
    // With threads of its own, as in a process of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let endpoint = runtime.handle().clone();
    let (path, behind) = (folder.path().to_owned(), containerd.clone());
    let server = endpoint.spawn(async move { serve(&path, behind.as_ref()).await });
    let server = server.await??;
    let mut senders = [
        connect(containerd.as_ref()).await?,
        connect(&folder.path().join("cri.sock")).await?,
    ];
    let mut times = [Vec::new(), Vec::new()];
    let mut sizes = [0, 0];
    let warm = calls / 10;
    for round in 0..warm + calls {
        for which in [0, 1] {
            let begun = Instant::now();
            sizes[which] = list(&mut senders[which]).await?;
            if round >= warm {
                times[which].push(begun.elapsed());
            }
        }
    }
    for ((name, times), size) in ["containerd", "endpoint"]
        .into_iter()
        .zip(&mut times)
        .zip(sizes)
    {
        times.sort_unstable();
        println!(
            "{name}: {} calls of {size} bytes, median {:?}, 90 % {:?}, 99 % {:?}, mean {:?}",
            times.len(),
            times[times.len() / 2],
            times[times.len() * 9 / 10],
            times[times.len() * 99 / 100],
            times.iter().sum::<Duration>() / times.len() as u32,
        );
    }
    let median = |times: &[Duration]| times[times.len() / 2].as_secs_f64();
    println!(
        "ratio of the medians: {:.2}",
        median(&times[1]) / median(&times[0])
    );
    drop(senders);
    endpoint
        .spawn(async move { server.shutdown(Duration::from_secs(1)).await })
        .await?;
    runtime.shutdown_background();
    Ok(())
}

/// An endpoint that has no pods of its own.
async fn serve(folder: &Path, containerd: &Path) -> Result<Server> {
    let hypervisor = FakeHypervisor::new(well_behaved);
    let kernel = hypervisor.kernel();
    let config = sandbox::Config {
        run_dir: folder.join("run"),
        node_id: format!("hop-{}", std::process::id()),
        net_pool_size: 0,
        spare_hypervisors: 0,
        snapshot_space: 0,
        snapshot_dir: folder.join("snapshots"),
        accel: Accel::Tcg,
        log_max_bytes: 1 << 20,
        boot_deadline: Duration::from_secs(60),
        hypervisor_users: None,
    };
    let (sandbox, _) = Sandbox::open(config, Arc::new(hypervisor), kernel).await?;
    let server = Server::start(Config {
        socket: folder.join("cri.sock"),
        containerd: containerd.to_owned(),
        state_dir: folder.join("state"),
        images: Store::open(&folder.join("images"))?,
        sandbox,
        handlers: vec!["vhive".into()],
        memory: None,
        orchestrator: None,
    });
    Ok(server.await?)
}

async fn connect(socket: &Path) -> Result<SendRequest<Full<Bytes>>> {
    let stream = UnixStream::connect(socket).await;
    let stream = stream.with_context(|| format!("nobody listens at {}", socket.display()))?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .adaptive_window(true)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Lists all containers; returns how many bytes that are.
async fn list(sender: &mut SendRequest<Full<Bytes>>) -> Result<usize> {
    // A message without fields, after its prefix.
    let body = Full::new(Bytes::from_static(&[0; 5]));
    let request = http::Request::post("http://localhost/runtime.v1.RuntimeService/ListContainers")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)?;
    sender.ready().await?;
    let answer = sender
        .send_request(request)
        .await?
        .into_body()
        .collect()
        .await?;
    let status = answer
        .trailers()
        .and_then(|it| it.get("grpc-status").cloned());
    if status.as_ref().is_none_or(|it| it != "0") {
        bail!("the call failed: {status:?}");
    }
    Ok(answer.to_bytes().len())
}
