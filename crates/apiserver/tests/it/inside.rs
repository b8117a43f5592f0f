//! The API without a listener before it: requests straight to its routes.

use std::sync::Arc;

use apiserver::{
    Config, Metrics, Store, Views, namespaces, router,
    store::{Memory, Options},
};
use axum::{
    Router,
    body::{Body, BodyDataStream, to_bytes},
};
use futures_util::StreamExt;
use http::Request;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(crate) struct Inside {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
    pub(crate) router: Router,
}

impl Inside {
    pub(crate) async fn new(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_with(&folder.path().join("store.redb"), options).unwrap();
        namespaces::ensure(&store).await.unwrap();
        let router = router(Config {
            metrics: Metrics::new(&store),
            store: store.clone(),
            admission: Arc::new(api::admit_by),
            views: Views::new(Vec::new(), Memory::new(jiff::Timestamp::now())),
            elsewhere: Vec::new(),
            shutdown: CancellationToken::new(),
        });
        Self {
            folder,
            store,
            router,
        }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        media_type: &str,
        body: String,
    ) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media_type)
            .body(Body::from(body))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let value = serde_json::from_slice(&bytes);
        (
            code,
            value.unwrap_or_else(|error| panic!("{error}: {bytes:?}")),
        )
    }

    /// What is at a path, as text.
    pub(crate) async fn text(&self, path: &str) -> String {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// A watch, of which nothing is read yet.
    pub(crate) async fn watch(&self, path: &str) -> Lines {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        Lines {
            stream: response.into_body().into_data_stream(),
            buffer: Vec::new(),
        }
    }
}

/// The events of a watch, one by one.
pub(crate) struct Lines {
    stream: BodyDataStream,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let piece = self.stream.next().await?.unwrap();
            self.buffer.extend_from_slice(&piece);
        }
    }
}
