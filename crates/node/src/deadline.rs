//! Waiting for a time of day.

use std::time::Duration;

use jiff::Timestamp;

/// Waits until `time`; for ever if there is none.
pub(crate) async fn until(time: Option<Timestamp>) {
    match time {
        Some(time) => tokio::time::sleep(left(Timestamp::now(), time)).await,
        None => std::future::pending().await,
    }
}

/// How long it is from `now` to `time`; nothing if that has passed.
pub(crate) fn left(now: Timestamp, time: Timestamp) -> Duration {
    Duration::try_from(now.duration_until(time)).unwrap_or_default()
}
