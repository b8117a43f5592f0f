use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use http::StatusCode;
use tokio::sync::Notify;

use crate::config::Options;
use crate::endpoint::Endpoint;
use crate::upstream::{http1, http2};

/// An endpoint as the gateway keeps it: with its connections and its count of requests.
pub(crate) struct Backend {
    pub(crate) endpoint: Endpoint,
    pub(crate) http1: http1::Pool,
    pub(crate) http2: http2::Pool,
    /// Written only under the revision's lock.
    in_flight: AtomicU32,
    /// Whether new requests may come here. Written only under the revision's lock.
    serving: AtomicBool,
    /// Whether a request has been answered here.
    answered: AtomicBool,
    idle: Notify,
}

impl Backend {
    pub(crate) fn new(endpoint: Endpoint, options: &Options) -> Self {
        Self {
            endpoint,
            http1: http1::Pool::new(options),
            http2: http2::Pool::new(options),
            in_flight: AtomicU32::new(0),
            serving: AtomicBool::new(true),
            answered: AtomicBool::new(false),
            idle: Notify::new(),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.endpoint.id
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Notes that the instance has answered, and tells its connector if it is the first time.
    pub(crate) fn answered(&self, status: StatusCode) {
        let counts = !status.is_server_error();
        if counts
            && !self.answered.load(Ordering::Relaxed)
            && !self.answered.swap(true, Ordering::Relaxed)
        {
            self.endpoint.connector.answered();
        }
    }

    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        let before = self.in_flight.fetch_sub(1, Ordering::AcqRel);
        if before == 1 && !self.serving() {
            self.idle.notify_waiters();
        }
    }

    pub(crate) fn serving(&self) -> bool {
        self.serving.load(Ordering::Acquire)
    }

    /// Takes the backend in or out of service. Out of service its idle connections close at once and those
    /// in use when their request ends.
    pub(super) fn set_serving(&self, serving: bool) {
        self.serving.store(serving, Ordering::Release);
        self.http1.set_open(serving);
        self.http2.set_open(serving);
        if !serving && self.in_flight() == 0 {
            self.idle.notify_waiters();
        }
    }

    /// Resolves when the backend is out of service and no request uses it.
    pub(crate) async fn drained(&self) {
        loop {
            let notified = self.idle.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if !self.serving() && self.in_flight() == 0 {
                return;
            }
            notified.await;
        }
    }
}
