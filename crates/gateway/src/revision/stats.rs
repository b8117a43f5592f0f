use std::time::{Duration, SystemTime};

/// What a revision has done and does, for the autoscaler and for metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Requests that an endpoint works on.
    pub in_flight: usize,
    /// Requests that wait for one.
    pub queued: usize,
    /// Requests in flight and queued on average since the last call, weighted by time (exact, not sampled).
    pub concurrency: f64,
    /// Requests that have come since the revision was set up, each once however often it is tried.
    pub arrived_total: u64,
    /// Requests answered since the revision was set up, also those that were refused.
    pub requests_total: u64,
    /// Of these by status class, 1xx to 5xx.
    pub responses: [u64; 5],
    /// Time requests have spent in flight and queued, summed over all of them; its growth over a period
    /// is the average concurrency of that period.
    pub request_time: Duration,
    /// When a request last came; `None` if none ever did.
    pub last_request_at: Option<SystemTime>,
}
