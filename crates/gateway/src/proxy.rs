//! One request, from its head to the head of its response.
//!
//! ```text
//! probe? ─► route ─► admit (breaker, queue) ─► connect ─► send ─► response
//!                       ▲                         │         │
//!                       └──── pause, elsewhere ───┴─────────┘ nothing of it reached an instance
//! ```

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::body::{Carrier, Deadlines, Progress, RequestBody, ResponseBody, Stream};
use crate::config::{Protocol, RevisionConfig};
use crate::expect;
use crate::fields::{Field, Fields};
use crate::headers::{self, Hop, Upgrade};
use crate::probe;
use crate::refusal::{Limit, Refusal};
use crate::revision::{Backend, Permit, Revision};
use crate::session::{Busy, Session, Verdict};
use crate::tasks::AbortOnDrop;
use crate::timing::Timing;
use crate::tunnel;
use crate::upstream::{Received, SendError, Timer, WireError, http1, http2};

/// First pause before a request that reached nobody is tried again; each later one is three times longer.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

impl Session {
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let fields = Fields::of(request.headers());
        let draining = self.verdict() != Verdict::Serve;
        let ready = || Some(self.route(&request).ok()?.is_ready());
        if let Some(answer) = probe::answer(request.headers(), fields, draining, ready) {
            return answer;
        }
        let busy = self.begin();
        let grpc = headers::is_grpc(request.headers(), fields);
        let revision = match self.route(&request) {
            Ok(revision) => revision,
            Err(refusal) => return refusal.into_response(grpc),
        };
        match self.forward(&revision, request, fields, grpc, busy).await {
            Ok(response) => {
                revision.count(response.status());
                response
            }
            Err(refusal) => {
                debug!(revision = %revision.key(), %refusal, "refused");
                revision.count(refusal.status());
                refusal.into_response(grpc)
            }
        }
    }

    fn route<B>(&self, request: &Request<B>) -> Result<Arc<Revision>, Refusal> {
        if request.method() == Method::CONNECT && headers::extended_connect(request).is_none() {
            return Err(Refusal::Connect);
        }
        let authority =
            headers::authority(request.uri(), request.headers()).ok_or(Refusal::NoHost)?;
        self.gateway
            .pick(authority)
            .ok_or_else(|| Refusal::UnknownHost {
                host: authority.to_owned(),
            })
    }

    async fn forward(
        self: &Arc<Self>,
        revision: &Arc<Revision>,
        mut request: Request<Incoming>,
        fields: Fields,
        grpc: bool,
        busy: Busy,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let explain = fields.has(Field::Explain);
        let client_version = request.version();
        let mut admission = revision.admit(None).await?;
        let mut timing = explain.then(|| Timing::new(admission.waited));
        let mut cold = admission.cold;

        let config = admission.config;
        let hop = match config.protocol {
            Protocol::Http1 if !grpc => Hop::Http1,
            _ => Hop::Http2 { grpc },
        };
        // Protocols change in HTTP/1.1. Where HTTP/2 is spoken only those are tried that make no sense without the change.
        let upgrade = headers::wanted_upgrade(&request, fields)
            .filter(|it| hop == Hop::Http1 || it.extended || it.is_websocket());
        let hop = if upgrade.is_some() { Hop::Http1 } else { hop };
        let extended = upgrade.as_ref().is_some_and(|it| it.extended);
        let client_upgrade = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (mut request, progress) = self.outgoing(request, fields, hop, upgrade.as_ref());

        let client = (client_version == Version::HTTP_11).then_some(&**self);
        let deadlines = HeadDeadlines::new(&config, admission.at);
        let mut attempts = 1;
        let answer = loop {
            let backend = admission.permit.backend();
            let missed = match attempt(hop, backend, request, client, &deadlines, &mut timing).await
            {
                Ok(answer) => break answer,
                Err(Missed::Unreached(unsent, error)) => {
                    request = *unsent;
                    error
                }
                Err(Missed::BrokeOff(source)) => {
                    return Err(Refusal::BrokeOff {
                        key: revision.key().clone(),
                        endpoint: backend.id().to_owned(),
                        source,
                    });
                }
                Err(Missed::TimedOut) => return Err(deadlines.refusal(revision, &config)),
            };
            if attempts >= self.gateway.options().connect_attempts || deadlines.passed() {
                return Err(Refusal::Unreachable {
                    key: revision.key().clone(),
                    endpoint: backend.id().to_owned(),
                    attempts,
                    source: missed,
                });
            }
            warn!(
                revision = %revision.key(), endpoint = backend.id(), error = %missed, attempts,
                "cannot reach endpoint"
            );
            let avoid = backend.clone();
            drop(admission.permit);
            tokio::time::sleep(FIRST_PAUSE * 3u32.saturating_pow(attempts - 1)).await;
            admission = revision.admit(Some(&avoid)).await?;
            if let Some(timing) = &mut timing {
                timing.waited += admission.waited;
            }
            cold |= admission.cold;
            attempts += 1;
        };

        if let Some(timing) = &mut timing {
            let backend = admission.permit.backend();
            backend.id().clone_into(&mut timing.instance);
            if cold {
                timing.phases.clone_from(&backend.endpoint.phases);
            }
        }
        let mut response = self.incoming(
            answer,
            Context {
                progress,
                client_upgrade,
                extended,
                client_version,
                permit: admission.permit,
                revision,
                grpc,
                busy,
                deadlines: Deadlines {
                    total: deadlines.total,
                    idle: config.idle_timeout,
                },
            },
        )?;
        if let Some(timing) = timing {
            timing.write(response.headers_mut());
        }
        Ok(response)
    }

    /// The request as it goes to the instance.
    fn outgoing(
        self: &Arc<Self>,
        request: Request<Incoming>,
        fields: Fields,
        hop: Hop,
        upgrade: Option<&Upgrade>,
    ) -> (Request<RequestBody>, Progress) {
        let gated = hop == Hop::Http1 && expect::is_expected(request.headers(), fields);
        let (gate, opener) = gated.then(expect::gate).unzip();
        let (mut parts, incoming) = request.into_parts();
        let interim = hop == Hop::Http1 && parts.version == Version::HTTP_11;
        parts.extensions.clear();
        headers::to_instance(&mut parts, fields, &self.client, hop, upgrade);
        let (body, progress) = RequestBody::new(incoming, gate);
        let mut request = Request::from_parts(parts, body);
        if interim || opener.is_some() {
            let session = self.clone();
            hyper::ext::on_informational(&mut request, move |response| {
                match (response.status(), &opener) {
                    (StatusCode::CONTINUE, Some(opener)) => opener.open(),
                    // The client did not ask for it, or gets it when its body is wanted.
                    (StatusCode::CONTINUE, None) => {}
                    (status, _) if interim => {
                        session.interim(status, &headers::of_interim(response.headers()));
                    }
                    _ => {}
                }
            });
        }
        (request, progress)
    }

    /// The response as it goes to the client.
    fn incoming(
        &self,
        answer: Answer,
        context: Context<'_>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let Answer {
            mut response,
            timer,
            carrier,
        } = answer;
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if context.extended && !upgraded && response.status().is_success() {
            // To the client that would mean that it has its tunnel.
            return Err(Refusal::UpgradeIgnored {
                key: context.revision.key().clone(),
                endpoint: context.permit.backend().id().to_owned(),
                status: response.status(),
            });
        }
        let instance_upgrade = upgraded.then(|| hyper::upgrade::on(&mut response));
        let (mut parts, body) = response.into_parts();
        parts.extensions.clear();
        let reusable = headers::from_instance(&mut parts, context.client_version);
        if let Some(instance) = instance_upgrade {
            let (Some(client), Carried::Http1(connection)) = (context.client_upgrade, carrier)
            else {
                return Err(Refusal::UnaskedUpgrade {
                    key: context.revision.key().clone(),
                    endpoint: context.permit.backend().id().to_owned(),
                });
            };
            let driver = connection.into_driver();
            if !context.extended {
                self.line.becomes_tunnel();
            }
            let idle = context.deadlines.idle;
            let tunnel = tunnel::run(client, instance, driver, idle, context.permit, context.busy);
            self.tunnels.spawn(tunnel);
            return Ok(Response::from_parts(parts, ResponseBody::empty()));
        }
        let carrier = match carrier {
            Carried::Http2(slot) => Carrier::Http2 { slot },
            Carried::Http1(connection) if context.progress.is_complete() => Carrier::Http1 {
                connection,
                reusable,
            },
            Carried::Http1(connection) => Carrier::Detached {
                _driver: AbortOnDrop(tokio::spawn(async move {
                    if let Some(driver) = connection.into_driver() {
                        // What goes wrong reaches the body.
                        let _ = driver.await;
                    }
                })),
            },
        };
        let mut stream = Stream {
            body,
            carrier,
            timer,
            deadlines: context.deadlines,
            grpc: context.grpc,
            permit: context.permit,
            _busy: context.busy,
        };
        stream.timer.set(stream.deadlines.next());
        Ok(Response::from_parts(parts, ResponseBody::stream(stream)))
    }
}

/// What is needed to pass a response on, beside the response.
struct Context<'a> {
    progress: Progress,
    client_upgrade: Option<OnUpgrade>,
    /// Whether it is an extended CONNECT.
    extended: bool,
    client_version: Version,
    permit: Permit,
    revision: &'a Revision,
    grpc: bool,
    busy: Busy,
    deadlines: Deadlines,
}

/// Limits until the head of the response.
struct HeadDeadlines {
    total: Option<Instant>,
    start: Option<Instant>,
    idle: Option<Instant>,
}

impl HeadDeadlines {
    fn new(config: &RevisionConfig, now: Instant) -> Self {
        let after = |timeout: Duration| (!timeout.is_zero()).then(|| now + timeout);
        Self {
            total: after(config.timeout),
            start: after(config.response_start_timeout),
            idle: after(config.idle_timeout),
        }
    }

    fn next(&self) -> Option<Instant> {
        let limits = [self.total, self.start, self.idle];
        limits.into_iter().flatten().min()
    }

    fn passed(&self) -> bool {
        self.next()
            .is_some_and(|deadline| deadline <= Instant::now())
    }

    fn refusal(&self, revision: &Revision, config: &RevisionConfig) -> Refusal {
        let first = self.next();
        let (limit, timeout) = if first == self.total {
            (Limit::Total, config.timeout)
        } else if first == self.start {
            (Limit::ResponseStart, config.response_start_timeout)
        } else {
            (Limit::Idle, config.idle_timeout)
        };
        Refusal::RequestTimeout {
            key: revision.key().clone(),
            limit,
            timeout,
        }
    }
}

/// A response, and what it comes on.
struct Answer {
    response: Response<Received>,
    timer: Timer,
    carrier: Carried,
}

enum Carried {
    Http1(Box<http1::Connection>),
    Http2(http2::Slot),
}

/// Why there is no response.
enum Missed {
    /// Nothing of the request was sent; here it is again.
    Unreached(Box<Request<RequestBody>>, io::Error),
    BrokeOff(WireError),
    TimedOut,
}

/// Sends the request to one backend, on a connection that is there or on a new one. A kept connection that
/// turns out to be closed is passed over: nothing was sent on it. Interim responses over HTTP/2 go to `client`.
async fn attempt(
    hop: Hop,
    backend: &Backend,
    mut request: Request<RequestBody>,
    client: Option<&Session>,
    deadlines: &HeadDeadlines,
    timing: &mut Option<Timing>,
) -> Result<Answer, Missed> {
    let interim = client.map(|session| {
        |status: StatusCode, fields: &HeaderMap| {
            // That one the client gets when its body is wanted.
            if status != StatusCode::CONTINUE {
                session.interim(status, &headers::of_interim(fields));
            }
        }
    });
    loop {
        Timing::connecting(timing);
        let outcome = match hop {
            Hop::Http1 => {
                let kept = backend.http1.take().await;
                let fresh = kept.is_none();
                let opened = match kept {
                    Some(connection) => Ok(connection),
                    None => backend.http1.open(&*backend.endpoint.connector).await,
                };
                let mut connection = match opened {
                    Ok(connection) => connection,
                    Err(error) => return Err(Missed::Unreached(Box::new(request), error)),
                };
                Timing::connected(timing);
                let mut timer = std::mem::take(&mut connection.timer);
                let response = in_time(&mut timer, deadlines, connection.send(request)).await?;
                Timing::answered(timing);
                response
                    .map(|response| Answer {
                        response: response.map(Received::Http1),
                        timer,
                        carrier: Carried::Http1(connection),
                    })
                    .map_err(|error| (error, fresh))
            }
            Hop::Http2 { .. } => {
                let kept = backend.http2.take();
                let fresh = kept.is_none();
                let opened = match kept {
                    Some(stream) => Ok(stream),
                    None => backend.http2.open(&*backend.endpoint.connector).await,
                };
                let stream = match opened {
                    Ok(stream) => stream,
                    Err(error) => return Err(Missed::Unreached(Box::new(request), error)),
                };
                Timing::connected(timing);
                let mut timer = stream.timer();
                let response = stream.send(request, interim);
                let response = in_time(&mut timer, deadlines, response).await?;
                Timing::answered(timing);
                response
                    .map(|(response, slot)| Answer {
                        response,
                        timer,
                        carrier: Carried::Http2(slot),
                    })
                    .map_err(|error| (error, fresh))
            }
        };
        match outcome {
            Ok(answer) => {
                backend.answered(answer.response.status());
                return Ok(answer);
            }
            Err((SendError::Sent(error), _)) => return Err(Missed::BrokeOff(error)),
            Err((SendError::Unsent(unsent, error), true)) => {
                return Err(Missed::Unreached(unsent, io::Error::other(error)));
            }
            Err((SendError::Unsent(unsent, _), false)) => request = *unsent,
        }
    }
}

async fn in_time<T>(
    timer: &mut Timer,
    deadlines: &HeadDeadlines,
    work: impl Future<Output = T>,
) -> Result<T, Missed> {
    timer.set(deadlines.next());
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => timer.poll(cx).map(|()| Err(Missed::TimedOut)),
    })
    .await
}
