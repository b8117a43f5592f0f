//! Whatever is sent, the answer is an answer: never a panic, never an error of the server's own, and a refusal is a `Status`.

use std::sync::Arc;

use apiserver::{Config, Metrics, Store, Views, namespaces, router, store::Memory};
use axum::body::{Body, to_bytes};
use http::Request;
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Parts of paths that mean something, and some that do not.
const SEGMENTS: &[&str] = &[
    "api",
    "apis",
    "v1",
    "serving.knative.dev",
    "namespaces",
    "configmaps",
    "default",
    "services",
    "revisions",
    "a",
    "status",
    "openapi",
    "v3",
    "",
    ".",
    "..",
    "%2F",
    "%00",
    "%ff",
    "A",
    "version",
];
const PARAMETERS: &[&str] = &[
    "labelSelector",
    "fieldSelector",
    "limit",
    "continue",
    "resourceVersion",
    "resourceVersionMatch",
    "fieldManager",
    "force",
    "fieldValidation",
    "propagationPolicy",
    "includeObject",
    "timeoutSeconds",
    "x",
];
const VALUES: &[&str] = &[
    "",
    "a",
    "a=b",
    "a in (b,c)",
    "!a",
    "a>1",
    "metadata.name=a",
    "0",
    "1",
    "18446744073709551616",
    "-1",
    "true",
    "Exact",
    "Strict",
    "Foreground",
    "e30",
    "eyJydiI6MSwiYWZ0ZXIiOiJhIn0",
    "%",
    "%zz",
    "a,,b",
    "((",
    "=",
];
const MEDIA_TYPES: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
    "application/strategic-merge-patch+json",
    "application/vnd.kubernetes.protobuf",
    "",
];
const BODIES: &[&str] = &[
    "",
    "{}",
    "[]",
    "null",
    "1",
    "{",
    "{\"metadata\":null}",
    "{\"metadata\":[]}",
    "{\"metadata\":{\"name\":1}}",
    "{\"metadata\":{\"name\":\"a\",\"managedFields\":[{\"manager\":\"x\",\"operation\":\"Apply\",\"fieldsV1\":{\"f:spec\":1}}]}}",
    "{\"metadata\":{\"name\":\"a\",\"finalizers\":{},\"ownerReferences\":1}}",
    "[{\"op\":\"remove\",\"path\":\"\"}]",
    "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"image\":\"x\"}]}}}}",
    "{\"spec\":{\"template\":{\"spec\":{\"containers\":[null,1,{}]}}}}",
    "a: &a [*a]",
    "a: !!binary x",
    "\u{0}",
    "k8s\0",
    "k8s\0\n\u{f}\n\u{2}v1\u{12}\tConfigMap\u{12}\u{1b}\n\u{11}\n\u{1}c\u{12}\0\u{1a}\0\"\0*\u{0}2\u{0}8\0B\0\u{12}\u{6}\n\u{1}a\u{12}\u{1}b\u{1a}\0\"\0",
];

fn request() -> impl Strategy<Value = (String, String, String, String)> {
    let method = select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]);
    let random = vec(select(SEGMENTS), 1..8).prop_map(|parts| format!("/{}", parts.join("/")));
    let known = select(vec![
        "/apis/serving.knative.dev/v1/namespaces/default/services".to_owned(),
        "/apis/serving.knative.dev/v1/namespaces/default/services/a".to_owned(),
        "/apis/serving.knative.dev/v1/namespaces/default/services/a/status".to_owned(),
        "/api/v1/namespaces/default/configmaps".to_owned(),
        "/api/v1/namespaces".to_owned(),
        "/api/v1/namespaces/default".to_owned(),
    ]);
    let query = vec((select(PARAMETERS), select(VALUES)), 0..4);
    let target = (prop_oneof![random, known], query).prop_map(|(path, query)| {
        let query: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{name}={}", value.replace([' ', '(', ')'], "+")))
            .collect();
        // Nothing is written, so that the disk does not set the pace.
        format!("{path}?dryRun=All&{}", query.join("&"))
    });
    let body = prop_oneof![select(BODIES).prop_map(str::to_owned), ".{0,40}"];
    (
        method.prop_map(str::to_owned),
        target,
        select(MEDIA_TYPES).prop_map(str::to_owned),
        body,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_sent_gets_an_answer(requests in vec(request(), 16)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store.redb")).unwrap();
        runtime.block_on(namespaces::ensure(&store)).unwrap();
        let routes = router(Config {
            metrics: Metrics::new(&store),
            store,
            admission: Arc::new(api::admit_by),
            views: Views::new(Vec::new(), Memory::new(jiff::Timestamp::UNIX_EPOCH)),
            elsewhere: Vec::new(),
            shutdown: CancellationToken::new(),
        });
        for (method, target, media_type, body) in requests {
            let line = format!("{method} {target} {media_type} {body:?}");
            let request = Request::builder().method(method.as_str()).uri(&target).header("content-type", media_type);
            let Ok(request) = request.body(Body::from(body)) else { continue };
            let (code, bytes) = runtime.block_on(async {
                let response = routes.clone().oneshot(request).await.unwrap();
                let code = response.status().as_u16();
                (code, to_bytes(response.into_body(), usize::MAX).await.unwrap())
            });
            prop_assert!(code < 500 || code == 504, "{}: {}", line, code);
            if code >= 400 && method != "HEAD" {
                let status: Value = serde_json::from_slice(&bytes).unwrap();
                prop_assert_eq!(&status["kind"], "Status", "{}", &line);
                prop_assert_eq!(&status["code"], code, "{}", &line);
            }
        }
    }
}
