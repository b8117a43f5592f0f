//! What a request that asks (`vhive-explain: 1`) is told about its time, as a Server-Timing field
//! (<https://www.w3.org/TR/server-timing/>).

use std::fmt::Write as _;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The parts of a request's time up to the first byte of its response, and who gave it.
pub(crate) struct Timing {
    /// The endpoint.
    pub(crate) instance: String,
    /// In the queue.
    pub(crate) waited: Duration,
    /// Phases of the instance's start, if the request waited for it.
    pub(crate) phases: Vec<(String, Duration)>,
    /// Getting a connection: from the pool, or a new one.
    connect: Duration,
    /// From handing over the request to the head of the response.
    first_byte: Duration,
    /// Beginning of the part that is running.
    since: Instant,
}

impl Timing {
    pub(crate) fn new(waited: Duration) -> Self {
        Self {
            instance: String::new(),
            waited,
            phases: Vec::new(),
            connect: Duration::ZERO,
            first_byte: Duration::ZERO,
            since: Instant::now(),
        }
    }

    // Most requests do not ask, and then nobody looks at the clock.

    pub(crate) fn connecting(timing: &mut Option<Self>) {
        if let Some(timing) = timing {
            timing.since = Instant::now();
        }
    }

    pub(crate) fn connected(timing: &mut Option<Self>) {
        if let Some(timing) = timing {
            timing.connect = timing.lap();
        }
    }

    pub(crate) fn answered(timing: &mut Option<Self>) {
        if let Some(timing) = timing {
            timing.first_byte = timing.lap();
        }
    }

    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.since, now)
    }

    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        // Names that are no tokens are dropped rather than failing a request for its explanation.
        if let Ok(value) = HeaderValue::try_from(self.text()) {
            headers.append(SERVER_TIMING, value);
        }
    }

    /// `queue` is the wait that no phase accounts for, so that the parts add up to the whole.
    fn text(&self) -> String {
        let explained: Duration = self.phases.iter().map(|(_, duration)| *duration).sum();
        let mut text = String::new();
        let mut push = |name: &str, duration: Duration| {
            let separator = if text.is_empty() { "" } else { ", " };
            let milliseconds = duration.as_secs_f64() * 1e3;
            let _ = write!(text, "{separator}{name};dur={milliseconds:.3}");
        };
        if !self.waited.is_zero() {
            push("queue", self.waited.saturating_sub(explained));
        }
        for (name, duration) in &self.phases {
            push(&token(name), *duration);
        }
        push("connect", self.connect);
        push("first-byte", self.first_byte);
        let _ = write!(text, ", instance;desc=\"{}\"", token(&self.instance));
        text
    }
}

fn token(name: &str) -> String {
    name.chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => character,
            _ => '-',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_request_has_only_its_connection_and_its_first_byte() {
        let mut timing = Timing::new(Duration::ZERO);
        timing.first_byte = Duration::from_micros(1234);
        timing.instance = "f-1".into();
        assert_eq!(
            timing.text(),
            r#"connect;dur=0.000, first-byte;dur=1.234, instance;desc="f-1""#
        );
    }

    #[test]
    fn the_parts_of_a_cold_start_add_up() {
        let timing = Timing {
            instance: "f\"1".into(),
            waited: Duration::from_millis(100),
            phases: vec![
                ("network".into(), Duration::from_millis(10)),
                ("working set".into(), Duration::from_millis(70)),
            ],
            connect: Duration::from_micros(50),
            first_byte: Duration::from_millis(2),
            since: Instant::now(),
        };
        assert_eq!(
            timing.text(),
            "queue;dur=20.000, network;dur=10.000, working-set;dur=70.000, connect;dur=0.050, first-byte;dur=2.000, \
             instance;desc=\"f-1\""
        );
    }
}
