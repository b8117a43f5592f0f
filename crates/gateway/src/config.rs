use std::time::Duration;

use tokio::time::Instant;

/// How the instances of a revision are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1 with kept-alive connections; gRPC requests still go as HTTP/2.
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge (a port named `h2c`).
    H2c,
}

/// What the data plane needs to know of a revision. A duration of zero means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevisionConfig {
    /// Protocol of the instances.
    pub protocol: Protocol,
    /// `containerConcurrency`: most requests at once in one instance; 0 is no limit.
    pub container_concurrency: u32,
    /// `target-burst-capacity`: requests that the instances must be able to take on top of what they have, before more than
    /// ten times what they can take at once is refused. 0 is none; negative is more than there ever can be.
    pub target_burst_capacity: i64,
    /// `timeoutSeconds`: from the moment an instance takes the request until the end of the response.
    /// Time spent in the queue is bounded by `queue_timeout` instead, so that a function with a short
    /// timeout can still be started from zero. After the head the response ends cleanly, unless its client does not read:
    /// then there is no clean end, and the stream (HTTP/2) is reset or the connection (HTTP/1.1) closed.
    pub timeout: Duration,
    /// `responseStartTimeoutSeconds`: until the head of the response.
    pub response_start_timeout: Duration,
    /// `idleTimeoutSeconds`: longest silence before and between the parts of a response.
    pub idle_timeout: Duration,
    /// Longest wait for an instance.
    pub queue_timeout: Duration,
}

impl Default for RevisionConfig {
    /// Knative's defaults: no concurrency limit, room for a burst of 211 requests, 300 s in all, and 600 s (the progress deadline) to wait
    /// for an instance.
    fn default() -> Self {
        Self {
            protocol: Protocol::Http1,
            container_concurrency: 0,
            target_burst_capacity: 211,
            timeout: Duration::from_secs(300),
            response_start_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            queue_timeout: Duration::from_secs(600),
        }
    }
}

/// Why a revision has no instances: told to the requests that wait for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One word, as in the revision's condition: `ExitCode1`, `ImagePullFailed`.
    pub reason: String,
    /// What happened, for people.
    pub message: String,
    /// When it is tried again, if that is known.
    pub next_try: Option<Instant>,
}

/// Limits of a gateway as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Requests that may wait for one revision while it has no instance (Knative: 10 000).
    pub activator_queue: usize,
    /// Idle HTTP/1.1 connections kept per endpoint.
    pub idle_connections: usize,
    /// An idle connection older than this is closed.
    pub idle_connection_age: Duration,
    /// Longest time to open a connection to an endpoint.
    pub connect_timeout: Duration,
    /// How often a request that has not reached any instance is tried, pauses growing from 10 ms.
    pub connect_attempts: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            activator_queue: 10_000,
            idle_connections: 256,
            idle_connection_age: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            connect_attempts: 6,
        }
    }
}
