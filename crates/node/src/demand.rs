//! From a request that waits to the runner that can start an instance for it, with nobody in between: the controller may be
//! busy writing to the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway::{DemandReceiver, RevisionKey};
use tokio::sync::mpsc::{UnboundedSender, WeakUnboundedSender};

use crate::revision::Command;

/// Where each runner is reached. Cloning is cheap. No request takes the lock: it is for who answers demands, and who starts and
/// retires runners.
#[derive(Clone, Default)]
pub(crate) struct Doorbells(Arc<Mutex<HashMap<RevisionKey, WeakUnboundedSender<Command>>>>);

impl Doorbells {
    fn bells(&self) -> MutexGuard<'_, HashMap<RevisionKey, WeakUnboundedSender<Command>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the revision's demands go to `runner`, until that is gone or the doorbell is removed.
    pub(crate) fn install(&self, revision: &RevisionKey, runner: &UnboundedSender<Command>) {
        self.bells().insert(revision.clone(), runner.downgrade());
    }

    pub(crate) fn remove(&self, revision: &RevisionKey) {
        self.bells().remove(revision);
    }

    /// Tells a runner something; false if there is none.
    pub(crate) fn tell(&self, revision: &RevisionKey, command: Command) -> bool {
        let runner = self
            .bells()
            .get(revision)
            .and_then(WeakUnboundedSender::upgrade);
        runner.is_some_and(|runner| runner.send(command).is_ok())
    }
}

/// Passes demands on, until the gateway is gone.
pub(crate) async fn pass_on(mut demands: DemandReceiver, doorbells: Doorbells) {
    while let Some(revision) = demands.recv().await {
        // A runner that has just ended has refused whoever waited.
        doorbells.tell(&revision, Command::Demand);
    }
}

#[cfg(test)]
mod tests {
    use gateway::{Gateway, HostRoute, Options, RevisionConfig};
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn a_waiting_request_rings_at_its_runner_though_no_controller_runs() {
        let (gateway, demands) = Gateway::new(Options::default());
        let key = RevisionKey::new("ns", "f-00001");
        gateway.upsert_revision(&key, RevisionConfig::default());
        gateway.set_routes(&[HostRoute {
            host: "f".to_owned(),
            targets: vec![(key.clone(), 100)],
        }]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { gateway.serve(listener, CancellationToken::new()).await });
        let doorbells = Doorbells::default();
        let (runner, mut inbox) = mpsc::unbounded_channel();
        doorbells.install(&key, &runner);
        tokio::spawn(pass_on(demands, doorbells.clone()));

        let mut client = TcpStream::connect(address).await.unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: f\r\n\r\n")
            .await
            .unwrap();
        assert!(matches!(inbox.recv().await, Some(Command::Demand)));

        // The doorbell keeps no runner alive.
        drop(runner);
        assert!(inbox.recv().await.is_none());
        assert!(!doorbells.tell(&key, Command::Demand));
    }
}
