//! Sends requests when they are due, and keeps what came of each.
//!
//! Everything runs on the thread of the runtime that [`run`] is called in, which should be of the current-thread kind: so it is one
//! processor that a run takes at most, and its share is told.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, header};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::arrivals::{Arrival, Schedule};
use crate::call::{Connections, Failed, Request};
use crate::pacer::Pacer;
use crate::spans::{Span, Spans};
use crate::{Failure, Outcome, Sample, Target, grpc, timing};

/// More than this many requests without an answer are not sent, but counted as failed: memory has an end.
const OUTSTANDING: u64 = 100_000;
/// Connections to an address over HTTP/1.1, which has one call at a time on each.
const HTTP1_CONNECTIONS: usize = 1024;

/// What is spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// `helloworld.Greeter/SayHello` over HTTP/2 with prior knowledge.
    Grpc {
        /// The name to greet.
        name: String,
    },
    /// HTTP/1.1.
    Http {
        /// The method.
        method: Method,
        /// Path and query.
        path: PathAndQuery,
        /// The body.
        body: Bytes,
    },
}

/// Who waits for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loop {
    /// A request is sent when it is due.
    Open,
    /// So many connections take turns with one request at a time on each, which is sent as soon as the one before is answered. Its
    /// clock starts when it was due all the same: what wrk2 does.
    Closed(usize),
}

/// Why a run cannot begin, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The endpoints are none.
    #[error("there is no endpoint to call")]
    NoTarget,
    /// An endpoint's name is no authority of a URL.
    #[error("{0:?} is no authority of a URL")]
    Authority(String),
    /// The clock.
    #[error("the timer failed")]
    Timer(#[source] io::Error),
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whom to call. Those with one address share its connections.
    pub targets: Vec<Target>,
    /// How to call them.
    pub protocol: Protocol,
    /// When: what is due in the warm-up is sent, and not recorded.
    pub schedule: Schedule,
    /// The beginning that is not recorded.
    pub warm_up: Duration,
    /// How long is recorded.
    pub length: Duration,
    /// The longest a request may take, from when it is sent.
    pub timeout: Duration,
    /// Whether a request waits for the one before.
    pub turns: Loop,
    /// HTTP/2 connections to each address.
    pub connections: usize,
    /// Ask the gateway whether an answer was a cold one.
    pub explain: bool,
    /// Read the function's own time out of its answers.
    pub profile: bool,
    /// Where a span of each request goes.
    pub spans: Option<Spans>,
}

/// What a run does right now.
#[derive(Debug, Default)]
pub struct Live {
    /// Sent, or failed to be; the warm-up's too.
    pub issued: AtomicU64,
    /// Ended, well or not.
    pub ended: AtomicU64,
    /// Of these, those that failed.
    pub failed: AtomicU64,
    recent: Mutex<Option<Histogram<u64>>>,
}

impl Live {
    /// Latencies in nanoseconds of what has been answered since this was last asked, beginning with the second time.
    pub fn recent(&self) -> Option<Histogram<u64>> {
        let fresh = histogram();
        lock(&self.recent).replace(fresh)
    }

    fn answered(&self, latency: u64) {
        if let Some(recent) = lock(&self.recent).as_mut() {
            recent.saturating_record(latency);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of nanoseconds, up to an hour, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    const HOUR: u64 = 3_600_000_000_000;
    Histogram::new_with_bounds(1, HOUR, 3).unwrap_or_else(|_| unreachable!("bounds that are right"))
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// When what is recorded began.
    pub started: SystemTime,
    /// How long requests were sent that are recorded.
    pub length: Duration,
    /// Until the last of them ended, or the length if that is longer.
    pub elapsed: Duration,
    /// Processor time that all of it took.
    pub processor: Duration,
    /// How long all of it took.
    pub wall: Duration,
    /// In the order in which they ended.
    pub samples: Vec<Sample>,
    /// What was said at the first failure of each kind, by the endpoint's place.
    pub messages: HashMap<(u32, Failure), String>,
    /// The endpoints' names.
    pub hostnames: Vec<String>,
}

/// Endpoint and connections of a request.
struct Callee {
    authority: Authority,
    connections: Connections,
}

/// What all requests of a run share.
struct Shared {
    callees: Vec<Callee>,
    request: Request,
    plan: Plan,
    /// When what is recorded begins.
    recorded_from: Instant,
    live: Arc<Live>,
    samples: Mutex<Vec<Sample>>,
    messages: Mutex<HashMap<(u32, Failure), String>>,
}

/// A request that is due.
#[derive(Clone, Copy)]
struct Due {
    at: Instant,
    sent: Instant,
    endpoint: u32,
}

/// Carries out a plan. When `stop` is cancelled nothing more is sent, and the run is as long as it was.
pub async fn run(plan: Plan, live: Arc<Live>, stop: CancellationToken) -> Result<Run, Error> {
    let processor = processor_time();
    let callees = callees(&plan)?;
    if callees.is_empty() {
        return Err(Error::NoTarget);
    }
    for callee in &callees {
        // A dead host must not hold up the others.
        let opening = callee.connections.open();
        let _ = tokio::time::timeout(Duration::from_secs(1), opening).await;
    }
    let mut pacer = Pacer::new().map_err(Error::Timer)?;
    let start = Instant::now();
    let recorded_from = start + plan.warm_up;
    let started = SystemTime::now() + plan.warm_up;
    let schedule = plan.schedule.clone();
    let shared = Arc::new(Shared {
        request: request(&plan),
        callees,
        recorded_from,
        live,
        samples: Mutex::default(),
        messages: Mutex::default(),
        plan,
    });
    let tasks = TaskTracker::new();
    let mut lanes = Lanes::start(&shared, &tasks)?;
    let mut turn = 0u32;
    let mut stopped = false;
    for arrival in schedule {
        let at = start + arrival.at;
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                stopped = true;
                break;
            }
            waited = pacer.until(at) => waited.map_err(Error::Timer)?,
        }
        let endpoint = endpoint(arrival, &mut turn, shared.callees.len() as u32);
        let due = Due {
            at,
            sent: Instant::now(),
            endpoint,
        };
        shared.issue(due, &mut lanes, &tasks);
    }
    let end = recorded_from + shared.plan.length;
    if !stopped {
        // The last is rarely due at the very end.
        tokio::select! {
            () = stop.cancelled() => {}
            waited = pacer.until(end) => waited.map_err(Error::Timer)?,
        }
    }
    let length = Instant::now()
        .min(end)
        .saturating_duration_since(recorded_from);
    drop(lanes);
    tasks.close();
    tasks.wait().await;
    let samples = std::mem::take(&mut *lock(&shared.samples));
    let messages = std::mem::take(&mut *lock(&shared.messages));
    let last = samples.iter().map(|it| it.due + it.latency).max();
    let last = Duration::from_nanos(last.unwrap_or(0));
    let hostnames = shared.plan.targets.iter();
    Ok(Run {
        started,
        length,
        elapsed: last.max(length),
        processor: processor_time().saturating_sub(processor),
        wall: start.elapsed(),
        samples,
        messages,
        hostnames: hostnames.map(|it| it.hostname.clone()).collect(),
    })
}

/// Endpoints take turns, but for a trace's functions, which have one each.
fn endpoint(arrival: Arrival, turn: &mut u32, count: u32) -> u32 {
    let nth = arrival.function.unwrap_or_else(|| {
        let nth = *turn;
        *turn = turn.wrapping_add(1) % count;
        nth
    });
    nth % count
}

fn callees(plan: &Plan) -> Result<Vec<Callee>, Error> {
    let mut pools: HashMap<SocketAddr, Connections> = HashMap::new();
    let callees = plan.targets.iter().map(|target| {
        let authority = target.authority.parse();
        let authority = authority.map_err(|_| Error::Authority(target.authority.clone()))?;
        let connections = pools
            .entry(target.address)
            .or_insert_with(|| connections(plan, target.address, plan.connections));
        Ok(Callee {
            authority,
            connections: connections.clone(),
        })
    });
    callees.collect()
}

fn connections(plan: &Plan, address: SocketAddr, count: usize) -> Connections {
    match plan.protocol {
        Protocol::Grpc { .. } => Connections::http2(address, count),
        Protocol::Http { .. } => Connections::http1(address, HTTP1_CONNECTIONS),
    }
}

fn request(plan: &Plan) -> Request {
    let mut headers = HeaderMap::new();
    if plan.explain {
        headers.insert(timing::EXPLAIN, HeaderValue::from_static("1"));
    }
    let (method, path, body) = match &plan.protocol {
        Protocol::Grpc { name } => {
            let kind = HeaderValue::from_static("application/grpc");
            headers.insert(header::CONTENT_TYPE, kind);
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
            let path = PathAndQuery::from_static(grpc::SAY_HELLO);
            let message = grpc::HelloRequest { name: name.clone() };
            (Method::POST, path, grpc::frame(&message))
        }
        Protocol::Http { method, path, body } => (method.clone(), path.clone(), body.clone()),
    };
    Request {
        method,
        path,
        headers,
        body,
    }
}

/// The queues of a closed loop's connections.
struct Lanes {
    queues: Vec<mpsc::UnboundedSender<Due>>,
    next: usize,
}

impl Lanes {
    fn start(shared: &Arc<Shared>, tasks: &TaskTracker) -> Result<Self, Error> {
        let count = match shared.plan.turns {
            Loop::Open => 0,
            Loop::Closed(count) => count.max(1),
        };
        let mut queues = Vec::new();
        for _ in 0..count {
            let plan = Plan {
                connections: 1,
                ..shared.plan.clone()
            };
            let own = callees(&plan)?;
            let (queue, mut dues) = mpsc::unbounded_channel::<Due>();
            let shared = Arc::clone(shared);
            tasks.spawn(async move {
                while let Some(due) = dues.recv().await {
                    let connections = &own[due.endpoint as usize].connections;
                    shared.call(due, connections).await;
                }
            });
            queues.push(queue);
        }
        Ok(Self { queues, next: 0 })
    }
}

impl Shared {
    fn issue(self: &Arc<Self>, due: Due, lanes: &mut Lanes, tasks: &TaskTracker) {
        let issued = self.live.issued.fetch_add(1, Ordering::Relaxed) + 1;
        if issued.saturating_sub(self.live.ended.load(Ordering::Relaxed)) > OUTSTANDING {
            let message = format!("{OUTSTANDING} others had no answer yet");
            self.end(due, Err(Failed::new(Failure::Overload, message)), None);
            return;
        }
        if let Some(queue) = lanes.queues.get(lanes.next) {
            lanes.next = (lanes.next + 1) % lanes.queues.len();
            // Its task takes all that come.
            let _ = queue.send(due);
            return;
        }
        let shared = Arc::clone(self);
        tasks.spawn(async move {
            let connections = &shared.callees[due.endpoint as usize].connections;
            shared.call(due, connections).await;
        });
    }

    async fn call(&self, due: Due, connections: &Connections) {
        let callee = &self.callees[due.endpoint as usize];
        let mut request = self.request.clone();
        let span = self.plan.spans.as_ref().map(|_| {
            let span = Span::begin();
            span.propagate(&mut request.headers);
            span
        });
        let answered = connections.call(
            &callee.authority,
            request,
            self.plan.timeout,
            self.plan.profile,
        );
        let answered = answered.await;
        let outcome = answered.map(|answer| Outcome::Answered {
            start: answer.start,
            function: answer.last_word,
        });
        self.end(due, outcome, span);
    }

    fn end(&self, due: Due, ended: Result<Outcome, Failed>, span: Option<Span>) {
        let latency = nanoseconds(due.at.elapsed());
        self.live.ended.fetch_add(1, Ordering::Relaxed);
        let recorded = due.at >= self.recorded_from;
        let outcome = match ended {
            Ok(outcome) => {
                self.live.answered(latency);
                outcome
            }
            Err(failed) => {
                self.live.failed.fetch_add(1, Ordering::Relaxed);
                let hostname = &self.plan.targets[due.endpoint as usize].hostname;
                tracing::debug!(endpoint = hostname, kind = %failed.kind, message = failed.message, "a request failed");
                if recorded {
                    lock(&self.messages)
                        .entry((due.endpoint, failed.kind))
                        .or_insert(failed.message);
                }
                Outcome::Failed(failed.kind)
            }
        };
        let late = nanoseconds(due.sent.saturating_duration_since(due.at));
        let sample = Sample {
            due: nanoseconds(due.at.saturating_duration_since(self.recorded_from)),
            latency,
            late: late.try_into().unwrap_or(u32::MAX),
            endpoint: due.endpoint,
            outcome,
        };
        if let (Some(spans), Some(span)) = (&self.plan.spans, span) {
            let ended = SystemTime::now();
            spans.end(
                span,
                ended,
                &self.plan.targets[due.endpoint as usize].hostname,
                &sample,
            );
        }
        if recorded {
            lock(&self.samples).push(sample);
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// Of this thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
