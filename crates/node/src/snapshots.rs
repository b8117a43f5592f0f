//! The node's snapshots as objects of the API: listed, shown, taken by hand and removed.
//!
//! They are no objects of the store: what there is, is on disk, and the sandbox knows it.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use gateway::RevisionKey;
use sandbox::SaveError;
use sandbox::snapshots::{Error, Snapshot, Snapshots};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::demand::Doorbells;
use crate::revision::{Command, Trouble};

const API_VERSION: &str = "vhive.dev/v1";

/// What discovery says of snapshots.
pub(crate) const ELSEWHERE: apiserver::Elsewhere = apiserver::Elsewhere {
    resource: api::Resource {
        group: "vhive.dev",
        version: "v1",
        kind: "Snapshot",
        plural: "snapshots",
        singular: "snapshot",
        short_names: &["snap"],
        namespaced: true,
    },
    verbs: &["create", "delete", "get", "list"],
    subresources: &[],
};

/// Whose snapshots a key names: namespace and revision, and the revision's uid.
struct Owner<'a> {
    namespace: &'a str,
    revision: &'a str,
    uid: &'a str,
}

/// The key of a revision's snapshots. Another revision that gets its name later has another uid.
pub(crate) fn key(revision: &RevisionKey, uid: &str) -> String {
    format!("{}.{}.{uid}", revision.namespace, revision.name)
}

fn owner(key: &str) -> Option<Owner<'_>> {
    let (namespace, rest) = key.split_once('.')?;
    let (revision, uid) = rest.rsplit_once('.')?;
    Some(Owner {
        namespace,
        revision,
        uid,
    })
}

/// Removes the snapshots of revisions that are gone: their deletion was not finished. Blocks.
pub(crate) fn remove_orphans(snapshots: &Snapshots, exists: impl Fn(&str) -> bool) {
    for snapshot in snapshots.list() {
        let key = &snapshot.manifest().key;
        if !owner(key).is_some_and(|owner| exists(owner.uid)) {
            snapshots.remove_all(key);
        }
    }
}

/// What the handlers work with.
#[derive(Clone)]
struct Node {
    snapshots: Snapshots,
    doorbells: Doorbells,
}

/// The routes under `/apis/vhive.dev/v1`.
pub(crate) fn router(snapshots: Snapshots, doorbells: Doorbells) -> Router {
    let base = "/apis/vhive.dev/v1";
    Router::new()
        .route(&format!("{base}/snapshots"), get(list_all))
        .route(
            &format!("{base}/namespaces/{{namespace}}/snapshots"),
            get(list).post(create),
        )
        .route(
            &format!("{base}/namespaces/{{namespace}}/snapshots/{{name}}"),
            get(one).delete(remove),
        )
        .route(
            &format!("{base}/namespaces/{{namespace}}/snapshots/{{name}}/verify"),
            get(verify),
        )
        .with_state(Node {
            snapshots,
            doorbells,
        })
}

async fn list_all(State(node): State<Node>) -> Response {
    listed(&node, None)
}

async fn list(State(node): State<Node>, Path(namespace): Path<String>) -> Response {
    listed(&node, Some(&namespace))
}

fn listed(node: &Node, namespace: Option<&str>) -> Response {
    let items: Vec<Value> = node
        .snapshots
        .list()
        .iter()
        .filter(|it| namespace.is_none_or(|namespace| is_in(it, namespace)))
        .map(|it| object(it))
        .collect();
    Json(json!({"kind": "SnapshotList", "apiVersion": API_VERSION, "metadata": {"resourceVersion": "0"}, "items": items}))
        .into_response()
}

async fn one(
    State(node): State<Node>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    match find(&node, &namespace, &name) {
        Some(snapshot) => Json(object(&snapshot)).into_response(),
        None => not_found(&name),
    }
}

/// Reads all of a snapshot, and tells what of it is not as it was written.
async fn verify(
    State(node): State<Node>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let Some(snapshot) = find(&node, &namespace, &name) else {
        return not_found(&name);
    };
    let verified = tokio::task::spawn_blocking(move || snapshot.verify()).await;
    match verified {
        Ok(damage) => {
            let damage: Vec<String> = damage.iter().map(|it| crate::chain(it)).collect();
            Json(json!({
                "kind": "SnapshotVerification",
                "apiVersion": API_VERSION,
                "metadata": {"name": name, "namespace": namespace},
                "status": {"damage": damage},
            }))
            .into_response()
        }
        Err(error) => failed(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            &error.to_string(),
        ),
    }
}

async fn remove(
    State(node): State<Node>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    if find(&node, &namespace, &name).is_none() {
        return not_found(&name);
    }
    let (snapshots, id) = (node.snapshots, name.clone());
    let removed = tokio::task::spawn_blocking(move || snapshots.remove(&id)).await;
    match removed {
        Ok(Ok(())) => Json(
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {"name": name, "group": "vhive.dev", "kind": "snapshots"}}),
        )
        .into_response(),
        Ok(Err(Error::Unknown { .. })) => not_found(&name),
        Ok(Err(error)) => failed(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            &crate::chain(&error),
        ),
        Err(error) => failed(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            &error.to_string(),
        ),
    }
}

/// What is asked for by creating a snapshot.
#[derive(Deserialize)]
struct Wish {
    spec: WishSpec,
}

#[derive(Deserialize)]
struct WishSpec {
    /// The revision that is to be saved.
    revision: String,
}

async fn create(
    State(node): State<Node>,
    Path(namespace): Path<String>,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Response {
    let wish = match wish {
        Ok(Json(wish)) => wish,
        Err(error) => return failed(StatusCode::BAD_REQUEST, "BadRequest", &error.body_text()),
    };
    let revision = RevisionKey::new(namespace.as_str(), wish.spec.revision.as_str());
    let (answer, answered) = oneshot::channel();
    if !node.doorbells.tell(&revision, Command::Save(answer)) {
        let message = format!(
            "revisions.serving.knative.dev {:?} not found",
            wish.spec.revision
        );
        return failed(StatusCode::NOT_FOUND, "NotFound", &message);
    }
    match answered.await {
        Ok(Ok(snapshot)) => (StatusCode::CREATED, Json(object(&snapshot))).into_response(),
        Ok(Err(Trouble::Failed(SaveError::NotReady))) => failed(
            StatusCode::CONFLICT,
            "Conflict",
            &format!(
                "revision {} has no instance that can be saved: one that was booted, not restored, is ready, and began with what \
                 its ConfigMaps and Secrets hold now",
                wish.spec.revision
            ),
        ),
        Ok(Err(Trouble::Busy)) => failed(
            StatusCode::CONFLICT,
            "Conflict",
            &format!(
                "the requests of revision {} did not end; try again when it is idle",
                wish.spec.revision
            ),
        ),
        Ok(Err(Trouble::Off)) => failed(
            StatusCode::CONFLICT,
            "Conflict",
            "this node takes and uses no snapshots: it was started with --snapshot-after 0",
        ),
        Ok(Err(Trouble::Failed(error))) => failed(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            &error.to_string(),
        ),
        Err(_) => failed(
            StatusCode::CONFLICT,
            "Conflict",
            "the revision was deleted meanwhile",
        ),
    }
}

fn find(node: &Node, namespace: &str, name: &str) -> Option<Arc<Snapshot>> {
    let snapshot = node.snapshots.get(name).ok()?;
    is_in(&snapshot, namespace).then_some(snapshot)
}

fn is_in(snapshot: &Snapshot, namespace: &str) -> bool {
    owner(&snapshot.manifest().key).is_some_and(|owner| owner.namespace == namespace)
}

fn object(snapshot: &Snapshot) -> Value {
    let manifest = snapshot.manifest();
    let owner = owner(&manifest.key);
    let (namespace, revision) = owner.map_or(("", ""), |it| (it.namespace, it.revision));
    let origin = &manifest.origin;
    let (uses, hits, misses) = snapshot.working_set_uses();
    let working_set = snapshot.working_set_header().map(|header| {
        json!({
            "pages": header.content_pages(),
            "zeroPages": header.zero_pages(),
            "bytes": header.content_pages() * header.page_size().bytes(),
            "uses": uses,
            "pagesBrought": hits,
            "misses": misses,
        })
    });
    json!({
        "kind": "Snapshot",
        "apiVersion": API_VERSION,
        "metadata": {
            "name": manifest.id,
            "namespace": namespace,
            "creationTimestamp": manifest.created.to_string(),
            "labels": {"serving.knative.dev/revision": revision},
        },
        "spec": {"revision": revision},
        "status": {
            "root": origin.root,
            "kernel": origin.kernel,
            "hypervisor": origin.hypervisor,
            "processor": origin.cpu,
            "vcpus": origin.vcpus,
            "memoryMiB": origin.memory_mib,
            "stateBytes": manifest.state.bytes,
            "stateSha256": manifest.state.sha256,
            "memoryBytes": manifest.memory.bytes,
            "memorySha256": manifest.memory.sha256,
            "onDiskBytes": snapshot.on_disk(),
            "restores": snapshot.restores(),
            "lastUsed": snapshot.last_used().to_string(),
            "workingSet": working_set,
        },
    })
}

fn not_found(name: &str) -> Response {
    let message = format!("snapshots.vhive.dev {name:?} not found");
    failed(StatusCode::NOT_FOUND, "NotFound", &message)
}

fn failed(status: StatusCode, reason: &str, message: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
        "message": message, "code": status.as_u16(),
    });
    (status, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_whose_snapshots_it_names() {
        let key = key(&RevisionKey::new("ns", "hello-00001"), "12-ab");
        let owner = owner(&key).unwrap();
        assert_eq!(
            (owner.namespace, owner.revision, owner.uid),
            ("ns", "hello-00001", "12-ab")
        );
    }
}
