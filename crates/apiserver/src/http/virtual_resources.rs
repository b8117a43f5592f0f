//! Resources that are views of what runs: they are listed, read and watched as stored objects are, and nobody but the node
//! writes them. Of some a client may ask that what they show be ended.

use std::sync::Arc;

use api::{Resource, Status, meta::whole_seconds};
use axum::body::Body;
use http::{Method, StatusCode, request::Parts};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Answer, Config, Elsewhere,
    accept::{self, Form},
    deletion::{self, Deletion},
    error::Failure,
    path::{self, Target},
    read, value_response,
};
use crate::store::{self, Key, Memory, Store};

/// What is done when a client deletes the object under the key; with the seconds it gives that to end, if it says. It is not
/// waited for: the object leaves when what it shows has ended.
pub type End = Arc<dyn Fn(&Key, Option<u64>) + Send + Sync>;

/// A subresource that clients know from elsewhere, and that makes no sense here.
#[derive(Debug, Clone, Copy)]
pub struct Refused {
    /// Its name in paths: `exec`, …
    pub subresource: &'static str,
    /// Why there is no such thing, and what to do instead.
    pub instead: &'static str,
}

/// One resource of this kind.
#[derive(Clone)]
pub struct View {
    /// The resource.
    pub resource: Resource,
    /// Its subresources, which routes beside these serve: `log`, …
    pub subresources: &'static [&'static str],
    /// Those that are refused with advice; discovery does not name them.
    pub refused: &'static [Refused],
    /// How what it shows is ended; without, it cannot be deleted.
    pub end: Option<End>,
}

/// All of them, with their objects. Clones share the objects.
#[derive(Clone)]
pub struct Views {
    resources: Arc<[Resource]>,
    all: Arc<[View]>,
    objects: Memory,
}

const LOOK: [&str; 3] = ["get", "list", "watch"];
const LOOK_AND_END: [&str; 4] = ["delete", "get", "list", "watch"];

impl Views {
    /// Views whose objects are shown in `objects`.
    pub fn new(views: Vec<View>, objects: Memory) -> Self {
        Self {
            resources: views.iter().map(|view| view.resource).collect(),
            all: views.into(),
            objects,
        }
    }

    /// How discovery names them.
    pub(super) fn discovered(&self) -> impl Iterator<Item = Elsewhere> {
        self.all.iter().map(|view| Elsewhere {
            resource: view.resource,
            verbs: match view.end {
                Some(_) => &LOOK_AND_END,
                None => &LOOK,
            },
            subresources: view.subresources,
        })
    }

    /// What a path names of them.
    pub(super) fn target<'a>(&'a self, path: &'a str) -> Option<Target<'a>> {
        path::parse(path, &self.resources)
            .filter(|target| matches!(target, Target::Collection { .. } | Target::Object { .. }))
    }

    /// Why what a path names is refused whatever is done with it, if it is.
    pub(super) fn refusal(&self, path: &str) -> Option<Failure> {
        let (object, subresource) = path.trim_end_matches('/').rsplit_once('/')?;
        let Target::Object {
            resource,
            namespace,
            name,
            ..
        } = path::parse(object, &self.resources)?
        else {
            return None;
        };
        let view = self.all.iter().find(|view| view.resource == *resource)?;
        let mut refused = view.refused.iter();
        let refused = refused.find(|it| it.subresource == subresource)?;
        let key = Key::new(&resource.qualified(), namespace, name)?;
        if self.store().get(&key).is_none() {
            return Some(Status::not_found(resource, name).into());
        }
        let message = format!(
            "{subresource} is not supported on {} {name:?}: {}",
            resource.qualified(),
            refused.instead
        );
        let status = Status::failure(405, "MethodNotAllowed", message);
        Some(status.of(resource, name).into())
    }

    fn store(&self) -> &Store {
        self.objects.store()
    }

    fn end(&self, resource: &Resource) -> Option<&End> {
        let view = self.all.iter().find(|view| view.resource == *resource)?;
        view.end.as_ref()
    }
}

/// Answers a request for one of them.
pub(super) async fn answer(
    config: &Config,
    parts: &Parts,
    body: Body,
    target: Target<'_>,
) -> Answer {
    // The same readers, on other objects.
    let seen = Config {
        store: config.views.store().clone(),
        ..config.clone()
    };
    let look = matches!(parts.method, Method::GET | Method::HEAD);
    match target {
        Target::Collection {
            resource,
            namespace,
        } if look => read::list(&seen, parts, resource, namespace),
        Target::Collection { resource, .. } => Err(unsupported(&parts.method, true, resource)),
        Target::Object {
            resource,
            namespace,
            name,
            ..
        } => {
            let key =
                Key::new(&resource.qualified(), namespace, name).ok_or_else(Failure::no_path)?;
            match config.views.end(resource) {
                _ if look => read::get(&seen, parts, resource, &key),
                Some(end) if parts.method == Method::DELETE => {
                    delete(&seen, parts, body, resource, &key, end).await
                }
                _ => Err(unsupported(&parts.method, false, resource)),
            }
        }
        _ => Err(Failure::no_path()),
    }
}

/// Has what an object shows ended, and answers with the object as it then is: on its way out.
async fn delete(
    seen: &Config,
    parts: &Parts,
    body: Body,
    resource: &Resource,
    key: &Key,
    end: &End,
) -> Answer {
    accept::negotiate(&parts.headers, &[Form::Table])?;
    let deletion = Deletion::read(parts, body).await?;
    let refused = |error| Failure::of_store(resource, error);
    let object = seen.store.get(key);
    let mut object: Value = object
        .ok_or_else(|| refused(store::Error::NotFound(key.clone())))?
        .value();
    deletion
        .preconditions
        .check(key, &object["metadata"])
        .map_err(refused)?;
    if !deletion.dry_run {
        end(key, deletion.grace);
    }
    let metadata = &mut object["metadata"];
    if metadata["deletionTimestamp"].is_null() {
        metadata["deletionTimestamp"] = whole_seconds(Timestamp::now()).into();
        metadata["deletionGracePeriodSeconds"] = json!(deletion.grace.unwrap_or(30));
    }
    let response = value_response(StatusCode::OK, &object);
    Ok(deletion::marked(response, deletion.dry_run))
}

/// In the words of `k8s.io/apimachinery/pkg/api/errors`, `NewMethodNotSupported`.
fn unsupported(method: &Method, collection: bool, resource: &Resource) -> Failure {
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        _ => return Failure::method_not_allowed(),
    };
    let message = format!(
        "{verb} is not supported on resources of kind {:?}",
        resource.qualified()
    );
    Status::failure(405, "MethodNotAllowed", message)
        .of(resource, "")
        .into()
}
