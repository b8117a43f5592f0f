//! Load on backends of the test itself, and deployments to an API of the test itself: over real connections, on loopback.

mod backend;
mod deploying;
mod failures;
mod kubernetes;
mod open_loop;
mod protocols;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use load::arrivals::{Process, Schedule};
use load::generator::{self, Loop, Protocol};
use load::{Live, Plan, Run, Summary, Target, Told};
use tokio_util::sync::CancellationToken;

/// Longer than any answer of a backend that answers takes, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// A target at an address, under a name.
fn target(name: &str, address: std::net::SocketAddr) -> Target {
    Target {
        address,
        authority: format!("{name}.default.example.com"),
        hostname: format!("{name}.default.example.com"),
    }
}

/// `count` gRPC requests to the targets in turn, 5 ms apart.
fn plan(targets: Vec<Target>, count: u32) -> Plan {
    const RATE: f64 = 200.0;
    let length = Duration::from_millis(5) * count;
    Plan {
        targets,
        protocol: Protocol::Grpc {
            name: "Invoke relay".to_owned(),
        },
        schedule: Schedule::of(Process::Constant, RATE, length, 0),
        warm_up: Duration::ZERO,
        length,
        timeout: PATIENCE,
        turns: Loop::Open,
        connections: 2,
        explain: true,
        profile: true,
        spans: None,
    }
}

async fn run(plan: Plan) -> Run {
    generator::run(plan, Arc::new(Live::default()), CancellationToken::new())
        .await
        .expect("a run")
}

fn summary(run: &Run) -> Summary {
    Summary::of(run, &Told::default())
}
