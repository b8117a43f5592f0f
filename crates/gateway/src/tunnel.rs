//! After `101 Switching Protocols`: bytes in both directions until both have ended.

use futures_util::future::{join, try_join};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tracing::debug;

use crate::revision::Permit;
use crate::session::Busy;
use crate::upstream::http1::Driver;

/// Carries the upgraded connection. `driver` is what remains of the instance's HTTP/1.1 connection: it hands
/// the bytes over once it is polled. The permit is held to the end: an open WebSocket is a request in
/// flight. So is the mark that its connection is in use, which in HTTP/2 goes on for other requests.
pub(crate) async fn run(
    client: OnUpgrade,
    instance: OnUpgrade,
    driver: Option<Driver>,
    permit: Permit,
    _busy: Busy,
) {
    let hand_over = async {
        if let Some(driver) = driver {
            let _ = driver.await;
        }
    };
    let (upgraded, ()) = join(try_join(client, instance), hand_over).await;
    match upgraded {
        Ok((client, instance)) => {
            let (mut client, mut instance) = (TokioIo::new(client), TokioIo::new(instance));
            if let Err(error) = copy_bidirectional(&mut client, &mut instance).await {
                debug!(%error, endpoint = permit.backend().id(), "tunnel broke off");
            }
        }
        Err(error) => debug!(%error, endpoint = permit.backend().id(), "upgrade did not happen"),
    }
}
