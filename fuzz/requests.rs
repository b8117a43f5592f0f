//! What must hold for any request to the API. A fuzz target and a test on stable share it.

use std::sync::{Arc, OnceLock};

use apiserver::{Config, Metrics, Store, Views, namespaces, router, store::Memory};
use axum::Router;
use axum::body::{Body, to_bytes};
use http::Request;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// An API that nothing is ever written to: its store is in a folder that is gone, and all writes are dry.
struct Api {
    runtime: Runtime,
    router: Router,
}

fn api() -> &'static Api {
    static API: OnceLock<Api> = OnceLock::new();
    API.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("store.redb")).expect("a store");
        runtime
            .block_on(namespaces::ensure(&store))
            .expect("namespaces");
        let router = router(Config {
            metrics: Metrics::new(&store),
            store,
            admission: Arc::new(::api::admit_by),
            views: Views::new(Vec::new(), Memory::new(jiff::Timestamp::UNIX_EPOCH)),
            elsewhere: Vec::new(),
            shutdown: CancellationToken::new(),
        });
        Api { runtime, router }
    })
}

/// A request is answered: by no error of the server's own, and a refusal is a `Status`. The input is a line with method, target and
/// media type, and the body. Says how it was answered; nothing for what is no request.
pub(crate) fn request(input: &[u8]) -> Option<u16> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&input[..end]).ok()?;
    let mut words = line.splitn(3, ' ');
    let (method, target, media_type) = (words.next()?, words.next()?, words.next()?);
    let separator = if target.contains('?') { '&' } else { '?' };
    let request = Request::builder()
        .method(method)
        .uri(format!("{target}{separator}dryRun=All"))
        .header("content-type", media_type)
        .body(Body::from(input[end + 1..].to_vec()))
        .ok()?;
    let head = request.method() == http::Method::HEAD;
    let Api { runtime, router } = api();
    runtime.block_on(async {
        let response = match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let code = response.status().as_u16();
        // 504 is for versions that have not happened.
        assert!(code < 500 || code == 504, "{line}: {code}");
        if code >= 400 && !head {
            let media_type = response.headers().get("content-type");
            assert_eq!(media_type.expect("a media type"), "application/json");
            let bytes = to_bytes(response.into_body(), usize::MAX)
                .await
                .expect("a body");
            let status: Value = serde_json::from_slice(&bytes).expect("JSON");
            assert_eq!(status["kind"], "Status", "{line}");
            assert_eq!(status["code"], code, "{line}");
        }
        Some(code)
    })
}
