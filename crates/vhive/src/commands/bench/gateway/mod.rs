//! Requests through the gateway beside requests straight to the same backend and, if it is installed, through haproxy.

mod caller;
mod haproxy;
pub(super) mod servers;
mod stream;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;

use self::caller::{Caller, Kind};
use self::haproxy::Haproxy;
use self::servers::Servers;
use super::{Samples, print};
use crate::cli::GatewayBench;
use crate::exit::Outcome;

/// What the requests are for.
const HOST: &str = "bench.default.example.com";
const WARM_UP: usize = 200;
/// How often the large response is taken.
const STREAMS: usize = 5;

pub(super) async fn run(args: &GatewayBench) -> Outcome {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let servers = Servers::start(folder.path()).await?;
    let haproxy = Haproxy::find();
    println!(
        "latency: one request at a time over one connection, {} of each kind, in turns\n\
         throughput: {} connections, one request at a time on each",
        args.requests, args.clients
    );
    match &haproxy {
        Some(haproxy) => println!("beside: {}", haproxy.version()),
        None => println!(
            "beside: nothing, for haproxy is not there: apt-get install --no-install-recommends haproxy"
        ),
    }
    for kind in [Kind::Http1, Kind::Http2, Kind::Grpc, Kind::WebSocket] {
        let backend = servers.backend(kind);
        let mut ways = vec![
            ("direct".to_owned(), backend),
            ("gateway".to_owned(), servers.gateway(kind, 1)?),
        ];
        if args.services > 1 {
            let address = servers.gateway(kind, args.services)?;
            ways.push((format!("gateway, {} services", args.services), address));
        }
        let _process = match &haproxy {
            Some(haproxy) => {
                let (address, process) = haproxy.start(folder.path(), kind, backend).await?;
                ways.push(("haproxy".to_owned(), address));
                Some(process)
            }
            None => None,
        };
        measure(kind, &ways, args).await?;
    }
    large(&servers, haproxy.as_ref(), folder.path()).await
}

/// One large response over one HTTP/2 stream, in turns.
async fn large(servers: &Servers, haproxy: Option<&Haproxy>, folder: &Path) -> Outcome {
    let backend = stream::start()?;
    let gateway = servers.gateway_to(backend, gateway::Protocol::H2c, 1)?;
    let mut ways = vec![("direct", backend), ("gateway", gateway)];
    let _process = match haproxy {
        Some(haproxy) => {
            let (address, process) = haproxy.start(folder, Kind::Http2, backend).await?;
            ways.push(("haproxy", address));
            Some(process)
        }
        None => None,
    };
    let mut rates = vec![Vec::new(); ways.len()];
    for _ in 0..STREAMS {
        for ((name, address), rates) in ways.iter().zip(&mut rates) {
            let rate = stream::take(*address).await;
            rates.push(rate.with_context(|| format!("one large response: {name}"))?);
        }
    }
    println!("\none large response over one HTTP/2 stream, median of {STREAMS}");
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or(0.0)
    };
    let medians: Vec<f64> = rates.iter_mut().map(median).collect();
    for ((name, _), rate) in ways.iter().zip(&medians) {
        let ratio = rate / medians[0].max(f64::EPSILON);
        println!("{name}: {rate:.0} MiB a second, ratio {ratio:.2}");
    }
    Ok(())
}

async fn measure(kind: Kind, ways: &[(String, SocketAddr)], args: &GatewayBench) -> Outcome {
    let mut callers = Vec::new();
    for (name, address) in ways {
        let caller = Caller::open(kind, *address).await;
        callers.push(caller.with_context(|| format!("{kind}: {name}"))?);
    }
    let mut samples: Vec<Samples> = ways.iter().map(|_| Samples::default()).collect();
    for round in 0..args.requests + WARM_UP {
        for ((caller, samples), (name, _)) in callers.iter_mut().zip(&mut samples).zip(ways) {
            let elapsed = caller.call().await;
            let elapsed = elapsed.with_context(|| format!("{kind}: {name}"))?;
            if round >= WARM_UP {
                samples.add(elapsed);
            }
        }
    }
    println!("\n{kind}");
    let rows: Vec<_> = ways.iter().map(|(name, _)| &**name).zip(&samples).collect();
    print(&rows);
    let mut rates = Vec::new();
    for (name, address) in ways {
        let rate = throughput(kind, *address, args).await;
        rates.push(rate.with_context(|| format!("{kind}: {name}, {} at once", args.clients))?);
    }
    let direct = &samples[0];
    println!("direct: {:.0} a second", rates[0]);
    for (((name, _), samples), rate) in ways.iter().zip(&samples).zip(&rates).skip(1) {
        let added = |fraction| {
            let more =
                samples.quantile(fraction).as_secs_f64() - direct.quantile(fraction).as_secs_f64();
            more * 1e6
        };
        let ratio =
            samples.median().as_secs_f64() / direct.median().as_secs_f64().max(f64::EPSILON);
        println!(
            "{name}: added p50 {:.0} µs, p99 {:.0} µs, ratio {ratio:.2}; {rate:.0} a second",
            added(0.5),
            added(0.99)
        );
    }
    Ok(())
}

/// Requests a second.
async fn throughput(kind: Kind, address: SocketAddr, args: &GatewayBench) -> anyhow::Result<f64> {
    let mut callers = Vec::new();
    for _ in 0..args.clients {
        let mut caller = Caller::open(kind, address).await?;
        caller.call().await?;
        callers.push(caller);
    }
    let each = args.requests.div_ceil(args.clients.max(1));
    let start = Instant::now();
    let mut running = JoinSet::new();
    for mut caller in callers {
        running.spawn(async move {
            for _ in 0..each {
                caller.call().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    let elapsed = start.elapsed().max(Duration::from_nanos(1));
    Ok((each * args.clients) as f64 / elapsed.as_secs_f64())
}
