use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::config::{Failure, Options, RevisionConfig};
use crate::demand::{self, DemandReceiver, DemandSender};
use crate::endpoint::Endpoint;
use crate::key::RevisionKey;
use crate::revision::{Revision, Stats};
use crate::route::{HostRoute, Table};
use crate::{listener, metrics};

/// The data plane. Cloning is cheap; all clones are the same gateway.
///
/// Changes take effect for the next request; requests under way are not disturbed.
#[derive(Clone)]
pub struct Gateway(Arc<Shared>);

pub(crate) struct Shared {
    options: Options,
    demand: DemandSender,
    /// Read by every request, without a lock.
    table: ArcSwap<Table>,
    /// Used by changes alone.
    revisions: Mutex<HashMap<RevisionKey, Arc<Revision>>>,
}

impl Shared {
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn pick(&self, authority: &str) -> Option<Arc<Revision>> {
        self.table.load().pick(authority)
    }

    fn revisions(&self) -> MutexGuard<'_, HashMap<RevisionKey, Arc<Revision>>> {
        self.revisions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn revision(&self, key: &RevisionKey) -> Option<Arc<Revision>> {
        self.revisions().get(key).cloned()
    }

    fn known_or_new(
        &self,
        revisions: &mut HashMap<RevisionKey, Arc<Revision>>,
        key: &RevisionKey,
    ) -> Arc<Revision> {
        let make = || Revision::new(key.clone(), self.options, self.demand.clone());
        let entry = revisions.entry(key.clone());
        entry.or_insert_with(|| Arc::new(make())).clone()
    }
}

impl Gateway {
    /// A gateway without routes, and where it tells which revisions are in demand.
    pub fn new(options: Options) -> (Self, DemandReceiver) {
        let (sender, receiver) = demand::channel();
        let shared = Shared {
            options,
            demand: sender,
            table: ArcSwap::default(),
            revisions: Mutex::default(),
        };
        (Self(Arc::new(shared)), receiver)
    }

    /// Replaces all routes. A revision may be routed to before it is set up with
    /// [`Self::upsert_revision`]; until then its requests are answered with 503.
    pub fn set_routes(&self, routes: &[HostRoute]) {
        let mut revisions = self.0.revisions();
        let table = Table::new(routes, |key| self.0.known_or_new(&mut revisions, key));
        self.0.table.store(Arc::new(table));
        sweep(&mut revisions);
    }

    /// Changes the routes of some hosts and takes others out. It costs less than [`Self::set_routes`] where there are many.
    pub fn change_routes(&self, routes: &[HostRoute], gone: &[String]) {
        // Whoever changes the table holds these, so that no change is lost.
        let mut revisions = self.0.revisions();
        let mut table = Table::clone(&self.0.table.load());
        for host in gone {
            table.remove(host);
        }
        table.put(routes, |key| self.0.known_or_new(&mut revisions, key));
        self.0.table.store(Arc::new(table));
        sweep(&mut revisions);
    }

    /// Sets up a revision, or changes it.
    pub fn upsert_revision(&self, key: &RevisionKey, config: RevisionConfig) {
        let revision = self.0.known_or_new(&mut self.0.revisions(), key);
        revision.configure(config);
    }

    /// Takes a revision out: its waiting requests are refused, those in flight finish.
    pub fn remove_revision(&self, key: &RevisionKey) {
        if let Some(revision) = self.0.revision(key) {
            revision.retire();
        }
        sweep(&mut self.0.revisions());
    }

    /// Replaces the ready endpoints of a revision, which must be set up. One that is left out gets no new
    /// requests and drains (see [`Self::drained`]). Having an endpoint clears the failure.
    pub fn set_endpoints(&self, key: &RevisionKey, endpoints: Vec<Endpoint>) {
        match self.0.revision(key) {
            Some(revision) if revision.is_configured() => revision.set_endpoints(endpoints),
            _ => debug!(revision = %key, "endpoints for a revision that is not set up"),
        }
    }

    /// Says why a revision has no endpoint, or with `None` that it may have one again. While a failure is
    /// set and no endpoint is ready, requests are refused at once with it, waiting ones included; they
    /// still raise demand, so that the revision is tried again.
    pub fn set_failure(&self, key: &RevisionKey, failure: Option<Failure>) {
        if let Some(revision) = self.0.revision(key) {
            revision.set_failure(failure);
        }
    }

    /// Whether the endpoint is one of the last [`Self::set_endpoints`], and so may get requests.
    pub fn serves(&self, key: &RevisionKey, endpoint: &str) -> bool {
        let revision = self.0.revision(key);
        let backend = revision.and_then(|revision| revision.find_backend(endpoint));
        backend.is_some_and(|backend| backend.serving())
    }

    /// Resolves when the endpoint has been left out of [`Self::set_endpoints`] and no request uses it; at
    /// once if there is no such endpoint.
    pub fn drained(
        &self,
        key: &RevisionKey,
        endpoint: &str,
    ) -> impl Future<Output = ()> + Send + 'static {
        let revision = self.0.revision(key);
        let backend = revision.and_then(|revision| revision.find_backend(endpoint));
        async move {
            if let Some(backend) = backend {
                backend.drained().await;
            }
        }
    }

    /// What the revision does; starts a new averaging window, so it has one reader: the autoscaler. All
    /// zero for a revision that is not known.
    pub fn stats(&self, key: &RevisionKey) -> Stats {
        let revision = self.0.revision(key);
        revision.map(|it| it.stats()).unwrap_or_default()
    }

    /// All counters in the Prometheus text format. Does not touch the averaging window.
    pub fn metrics(&self) -> String {
        let mut revisions: Vec<_> = self
            .0
            .revisions()
            .values()
            .filter(|revision| revision.is_configured())
            .map(|revision| (revision.key().clone(), revision.peek()))
            .collect();
        revisions.sort_by(|(left, _), (right, _)| left.cmp(right));
        metrics::text(&revisions)
    }

    /// Serves HTTP/1.1 and h2c (prior knowledge) until `shutdown`; then accepts no more, lets requests and
    /// upgraded connections finish, and returns. The caller sets the deadline.
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) {
        listener::serve(self.0.clone(), listener, None, shutdown).await;
    }

    /// As [`Self::serve`], over TLS. `tls` says with which certificate; which of HTTP/2 and HTTP/1.1 is spoken is agreed on in the
    /// handshake (ALPN).
    pub async fn serve_tls(
        &self,
        listener: TcpListener,
        mut tls: ServerConfig,
        shutdown: CancellationToken,
    ) {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        listener::serve(self.0.clone(), listener, Some(acceptor), shutdown).await;
    }
}

/// Forgets revisions that are not set up and that neither the table nor a request refers to.
fn sweep(revisions: &mut HashMap<RevisionKey, Arc<Revision>>) {
    revisions.retain(|_, revision| revision.is_configured() || Arc::strong_count(revision) > 1);
}
