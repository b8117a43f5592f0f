use std::time::Duration;

use super::Error;

const ATTEMPTS: u32 = 4;
/// Before the second attempt; doubled with each.
const PAUSE: Duration = Duration::from_millis(250);

/// Tries again while errors are of the kind that passes.
pub(super) async fn retry<T, F>(attempt: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut tried = 1;
    loop {
        match attempt().await {
            Err(error) if tried < ATTEMPTS && error.is_transient() => {
                tracing::debug!(%error, tried, "trying again");
                tokio::time::sleep(PAUSE * 2_u32.pow(tried - 1)).await;
                tried += 1;
            }
            result => return result,
        }
    }
}
