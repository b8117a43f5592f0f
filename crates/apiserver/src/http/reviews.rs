//! What users ask of themselves: who they are (`kubectl auth whoami`) and what they may do (`kubectl auth can-i`). Nothing of it is
//! stored.

use api::Resource;
use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Elsewhere,
    accept::{self},
    authorize::{Attributes, REVIEWS, allows},
    body,
    error::Failure,
    value_response,
};
use crate::auth::{Role, User};

const fn elsewhere(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
) -> Elsewhere {
    Elsewhere {
        resource: Resource {
            group,
            version: "v1",
            kind,
            plural,
            singular,
            short_names: &[],
            namespaced: false,
        },
        verbs: &["create"],
        subresources: &[],
    }
}

/// How discovery names them.
pub(super) const ELSEWHERE: [Elsewhere; 3] = [
    elsewhere(
        REVIEWS[0].0,
        "SelfSubjectReview",
        REVIEWS[0].1,
        "selfsubjectreview",
    ),
    elsewhere(
        REVIEWS[1].0,
        "SelfSubjectAccessReview",
        REVIEWS[1].1,
        "selfsubjectaccessreview",
    ),
    elsewhere(
        REVIEWS[2].0,
        "SelfSubjectRulesReview",
        REVIEWS[2].1,
        "selfsubjectrulesreview",
    ),
];

type Decide = fn(&User, &Value) -> Result<Value, Failure>;

/// Whether a path is where they are asked for.
pub(super) fn is(path: &str) -> bool {
    let path = path.strip_prefix("/apis/").unwrap_or_default();
    REVIEWS.iter().any(|(group, plural)| {
        let path = path.strip_prefix(group);
        path.and_then(|path| path.strip_prefix("/v1/")) == Some(*plural)
    })
}

/// The routes that answer them.
pub(super) fn routes() -> Router {
    let decide: [Decide; 3] = [whoami, can_i, rules];
    let mut router = Router::new();
    for (review, decide) in ELSEWHERE.iter().zip(decide) {
        let resource = review.resource;
        let path = format!("/apis/{}/v1/{}", resource.group, resource.plural);
        let handler = move |request: Request| answer(resource, decide, request);
        router = router.route(&path, post(handler));
    }
    router
}

async fn answer(resource: Resource, decide: Decide, request: Request) -> Response {
    review(resource, decide, request)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn review(resource: Resource, decide: Decide, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    accept::negotiate(&parts.headers, &[])?;
    // Who may do nothing but look may ask; aliases and anchors are none of it.
    if body::is_yaml(&parts.headers) {
        return Err(Failure::unsupported_media_type(&[body::JSON]));
    }
    let user = User::of(&parts.extensions);
    let asked = body::object(&parts.headers, body).await?.value;
    if asked["kind"] != resource.kind {
        return Err(Failure::bad_request(format!(
            "the kind in the data does not match the expected kind ({})",
            resource.kind
        )));
    }
    let mut review = json!({
        "kind": resource.kind, "apiVersion": resource.api_version(), "metadata": {"creationTimestamp": null},
        "status": decide(&user, &asked["spec"])?,
    });
    if let Some(spec) = asked.get("spec") {
        review["spec"] = spec.clone();
    }
    Ok(value_response(StatusCode::CREATED, &review))
}

#[allow(clippy::unnecessary_wraps, reason = "as its neighbours")]
fn whoami(user: &User, _: &Value) -> Result<Value, Failure> {
    Ok(json!({"userInfo": {"username": user.name, "groups": user.groups()}}))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Question {
    resource_attributes: Option<About>,
    non_resource_attributes: Option<About>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct About {
    verb: String,
    group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    path: String,
}

fn can_i(user: &User, spec: &Value) -> Result<Value, Failure> {
    let question: Question = serde_json::from_value(spec.clone())
        .map_err(|error| Failure::bad_request(format!("SelfSubjectAccessReview: {error}")))?;
    let about = match (
        question.resource_attributes,
        question.non_resource_attributes,
    ) {
        (Some(about), None) if !about.resource.is_empty() => about,
        (None, Some(about)) => About {
            resource: String::new(),
            ..about
        },
        _ => {
            return Err(Failure::bad_request(
                "exactly one of spec.resourceAttributes (with a resource) and spec.nonResourceAttributes must be given",
            ));
        }
    };
    let what = Attributes {
        verb: about.verb,
        group: about.group,
        resource: about.resource,
        subresource: about.subresource,
        namespace: about.namespace,
        name: about.name,
        path: about.path,
    };
    let allowed = allows(user, &what);
    let mut status = json!({"allowed": allowed});
    if allowed && user.role == Role::Admin {
        status["reason"] = "the user administers the node".into();
    }
    Ok(status)
}

#[allow(clippy::unnecessary_wraps, reason = "as its neighbours")]
fn rules(user: &User, _: &Value) -> Result<Value, Failure> {
    let (resources, paths) = match user.role {
        Role::Admin => (
            json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]),
            json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]),
        ),
        Role::Viewer => {
            let look = ["get", "list", "watch"];
            let core = [
                "configmaps",
                "events",
                "namespaces",
                "pods",
                "pods/log",
                "services",
            ];
            let mut rules = vec![
                json!({"verbs": look, "apiGroups": [""], "resources": core}),
                json!({"verbs": look, "apiGroups": ["serving.knative.dev", "vhive.dev"], "resources": ["*"]}),
            ];
            rules.extend(REVIEWS.map(|(group, plural)| {
                json!({"verbs": ["create"], "apiGroups": [group], "resources": [plural]})
            }));
            (
                Value::Array(rules),
                json!([{"verbs": ["get"], "nonResourceURLs": ["*"]}]),
            )
        }
    };
    Ok(json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false}))
}
