//! Who learns that an instance has answered.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::BoxFuture;
use gateway::{Connector, Endpoint, RevisionConfig};
use http::StatusCode;
use tokio::net::TcpStream;

use crate::instance::{Instance, text};
use crate::rig::Rig;

/// Counts what it is told.
struct Listening {
    address: SocketAddr,
    told: Arc<AtomicU32>,
}

impl Connector for Listening {
    fn connect(&self) -> BoxFuture<'static, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(self.address))
    }

    fn answered(&self) {
        self.told.fetch_add(1, Ordering::SeqCst);
    }
}

fn listening(id: &str, instance: &Instance) -> (Endpoint, Arc<AtomicU32>) {
    let told = Arc::<AtomicU32>::default();
    let endpoint = Endpoint {
        connector: Arc::new(Listening {
            address: instance.address,
            told: told.clone(),
        }),
        ..instance.endpoint(id)
    };
    (endpoint, told)
}

#[tokio::test]
async fn an_instance_is_told_of_its_own_first_answer_and_of_no_other() {
    let asked = Arc::<AtomicU32>::default();
    // Its first answer is a failure.
    let first = Instance::http(move |_| {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut response = text("first");
            if number == 0 {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            response
        }
    })
    .await;
    let second = Instance::answering("second").await;
    let (first, told_first) = listening("first", &first);
    let (second, told_second) = listening("second", &second);
    let told = || {
        (
            told_first.load(Ordering::SeqCst),
            told_second.load(Ordering::SeqCst),
        )
    };
    let rig = Rig::start(RevisionConfig::default(), vec![first.clone()]).await;
    assert_eq!(rig.get().await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(told(), (0, 0), "a failure is no answer");
    for _ in 0..2 {
        assert_eq!(rig.get().await.body, "first");
        assert_eq!(told(), (1, 0));
    }
    rig.gateway
        .set_endpoints(&crate::rig::key(), vec![second, first]);
    let mut bodies = Vec::new();
    while !bodies.contains(&"second".to_owned()) {
        bodies.push(rig.get().await.body);
    }
    assert_eq!(told(), (1, 1), "{bodies:?}");
}
