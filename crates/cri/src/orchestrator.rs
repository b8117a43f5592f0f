//! The original's own services, for its tools: `proto.Orchestrator` starts and stops microVMs by hand, without a pod, and the greeter
//! beside it forwards a request to one, which it starts first if need be.
//!
//! They listen on the loopback alone: whoever reaches them can run any image.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use sandbox::State as InstanceState;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{debug, warn};

use crate::grpc::{self, Body, Raw};
use crate::machine::{self, Machine};
use crate::mounts::Mounts;
use crate::plan::Plan;
use crate::proto::runtime_v1 as cri;
use crate::proto::vhive::{self, FWD_HELLO, SAY_HELLO, START_VM, STOP_SINGLE_VM, STOP_VMS};
use crate::service::{answer, malformed, new_id};
use crate::{Cri, connection};

/// Where the original's functions listen.
const PORT: u16 = 50051;
/// When no connection can be accepted, for want of descriptors say.
const PAUSE: Duration = Duration::from_millis(50);

/// The microVMs that were started by hand, by the id that they were given.
#[derive(Clone)]
pub(crate) struct Orchestrator {
    cri: Cri,
    machines: Arc<Mutex<HashMap<String, Arc<OnceCell<Machine>>>>>,
}

/// Listens on `port` and the next, or for 0 on any two. Whichever is asked, both services answer.
pub(crate) async fn listen(port: u16) -> std::io::Result<[TcpListener; 2]> {
    let bind = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let next = if port == 0 { 0 } else { port.saturating_add(1) };
    Ok([bind(port).await?, bind(next).await?])
}

impl Orchestrator {
    pub(crate) fn new(cri: Cri) -> Self {
        Self {
            cri,
            machines: Arc::default(),
        }
    }

    pub(crate) async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(self.clone().connection(stream));
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |request: Request<Incoming>| {
            let this = self.clone();
            async move { Ok::<_, Infallible>(this.answer(request).await) }
        });
        let served = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            debug!(%error, "a client's connection ended");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        grpc::unary(request, |request| self.dispatch(&path, request)).await
    }

    async fn dispatch(&self, path: &str, request: tonic::Request<Bytes>) -> Result<Bytes, Status> {
        let message = request.into_inner();
        match path {
            START_VM => {
                let asked = vhive::StartVmReq::decode(message).map_err(malformed)?;
                let (profile, cold) = self.start(&asked.id, &asked.image).await?;
                let message = if cold {
                    format!("started {} as {}", asked.image, asked.id)
                } else {
                    format!("{} was running already", asked.id)
                };
                Ok(answer(&vhive::StartVmResp { message, profile }))
            }
            STOP_SINGLE_VM => {
                let asked = vhive::StopSingleVmReq::decode(message).map_err(malformed)?;
                let machine = self.machines().remove(&asked.id);
                let machine = machine.ok_or_else(|| {
                    Status::not_found(format!("no microVM {:?} was started here", asked.id))
                })?;
                end(&machine).await;
                let message = format!("stopped {}", asked.id);
                Ok(answer(&vhive::Status { message }))
            }
            STOP_VMS => {
                let machines: Vec<_> = self.machines().drain().map(|(_, it)| it).collect();
                futures_util::future::join_all(machines.iter().map(|it| end(it))).await;
                let message = format!("stopped {} microVMs", machines.len());
                Ok(answer(&vhive::Status { message }))
            }
            FWD_HELLO => {
                let asked = vhive::FwdHelloReq::decode(message).map_err(malformed)?;
                let (_, is_cold_start) = self.start(&asked.id, &asked.image).await?;
                let payload = self.greet(&asked.id, asked.payload).await?;
                Ok(answer(&vhive::FwdHelloResp {
                    is_cold_start,
                    payload,
                }))
            }
            _ => Err(Status::unimplemented(format!(
                "{path} is not served here: {START_VM}, {STOP_SINGLE_VM}, {STOP_VMS} and {FWD_HELLO} are"
            ))),
        }
    }

    /// Where the time of the start went, and whether it was this call that started it.
    async fn start(&self, id: &str, image: &str) -> Result<(String, bool), Status> {
        if id.is_empty() || image.is_empty() {
            return Err(Status::invalid_argument("an id and an image are needed"));
        }
        let cell = self.machines().entry(id.to_owned()).or_default().clone();
        let mut cold = false;
        let started = cell.get_or_try_init(|| {
            cold = true;
            self.launch(image)
        });
        let started = started.await;
        let failed = |status| {
            // The next call tries anew, whether with another image or after a failure.
            let mut machines = self.machines();
            if machines.get(id).is_some_and(|it| Arc::ptr_eq(it, &cell)) {
                machines.remove(id);
            }
            status
        };
        let machine = started.map_err(failed)?;
        match machine.handle().settled().await {
            InstanceState::Failed(failure) => {
                machine.remove_log();
                Err(failed(machine::refused(&failure)))
            }
            _ => Ok((profile(machine), cold)),
        }
    }

    async fn launch(&self, image: &str) -> Result<Machine, Status> {
        let inner = &self.cri.0;
        inner.images.pull(image).await?;
        let prepared = inner.images.prepare(image).await?;
        let id = new_id()?;
        let mut plan = Plan::of(
            &id[..16],
            &cri::ContainerConfig::default(),
            &cri::PodSandboxConfig::default(),
            &prepared.config,
            prepared.root,
            Mounts::default(),
        );
        plan.ports = vec![PORT];
        plan.listens = true;
        plan.log = inner.state.logs().join(format!("{id}.log"));
        Ok(plan.launch(&inner.sandbox, Vec::new()))
    }

    /// Asks the function for a greeting.
    async fn greet(&self, id: &str, name: String) -> Result<String, Status> {
        let gone = || Status::aborted(format!("microVM {id:?} was stopped meanwhile"));
        let cell = self.machines().get(id).cloned().ok_or_else(gone)?;
        let machine = cell.get().ok_or_else(gone)?;
        let unreachable = |error: &dyn std::error::Error| Status::unavailable(crate::chain(error));
        let stream = machine.handle().connect().await;
        let stream = stream.map_err(|error| unreachable(&error))?;
        let (sender, connection) = connection::handshake(stream)
            .await
            .map_err(|error| unreachable(&error))?;
        let connection = tokio::spawn(connection);
        let _connection = tokio_util::task::AbortOnDropHandle::new(connection);
        let request = vhive::HelloRequest { name }.encode_to_vec();
        let reply = tonic::client::Grpc::new(connection::Caller(sender))
            .unary(
                tonic::Request::new(request.into()),
                PathAndQuery::from_static(SAY_HELLO),
                Raw,
            )
            .await?;
        let reply = vhive::HelloReply::decode(reply.into_inner()).map_err(malformed)?;
        Ok(reply.message)
    }

    fn machines(&self) -> MutexGuard<'_, HashMap<String, Arc<OnceCell<Machine>>>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn end(machine: &OnceCell<Machine>) {
    if let Some(machine) = machine.get() {
        machine.handle().stop(Duration::ZERO);
        machine.ended().await;
        machine.remove_log();
    }
}

/// The phases of the start with the original's names, where it has one, and theirs in milliseconds.
fn profile(machine: &Machine) -> String {
    let phases = machine.handle().phases();
    let phases = phases
        .iter()
        .map(|it| format!("{}: {:.1} ms", it.name, it.duration.as_secs_f64() * 1e3));
    phases.collect::<Vec<_>>().join(", ")
}
