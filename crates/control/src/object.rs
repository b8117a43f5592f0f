//! What a plan is made of.

use api::meta::{ObjectMeta, OwnerReference};
use api::resource::{self, Resource};
use api::serving::{API_VERSION, Configuration, Revision, Route, Service};

/// An object of any kind that plans speak of.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// A Service.
    Service(Box<Service>),
    /// A Configuration.
    Configuration(Box<Configuration>),
    /// A Revision.
    Revision(Box<Revision>),
    /// A Route.
    Route(Box<Route>),
}

impl Object {
    /// Its kind.
    pub fn resource(&self) -> Resource {
        match self {
            Self::Service(_) => resource::SERVICES,
            Self::Configuration(_) => resource::CONFIGURATIONS,
            Self::Revision(_) => resource::REVISIONS,
            Self::Route(_) => resource::ROUTES,
        }
    }

    /// Its metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Service(it) => &it.metadata,
            Self::Configuration(it) => &it.metadata,
            Self::Revision(it) => &it.metadata,
            Self::Route(it) => &it.metadata,
        }
    }

    /// As it goes into the store.
    pub fn to_value(&self) -> serde_json::Result<serde_json::Value> {
        match self {
            Self::Service(it) => serde_json::to_value(it),
            Self::Configuration(it) => serde_json::to_value(it),
            Self::Revision(it) => serde_json::to_value(it),
            Self::Route(it) => serde_json::to_value(it),
        }
    }
}

/// One thing to do. Doing it twice does no harm: what is already so is left as it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make this object.
    Create(Object),
    /// Write this object's metadata and spec.
    Update(Object),
    /// Write this object's status.
    UpdateStatus(Object),
    /// Remove the object.
    Delete {
        /// Its kind.
        resource: Resource,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its uid: another that has its name by now is to stay.
        uid: String,
    },
}

impl Action {
    /// Kind and name of what it is done to; all actions of a plan are in one namespace.
    pub(crate) fn subject(&self) -> (&'static str, String) {
        match self {
            Self::Create(object) | Self::Update(object) | Self::UpdateStatus(object) => {
                (object.resource().kind, object.metadata().name.clone())
            }
            Self::Delete { resource, name, .. } => (resource.kind, name.clone()),
        }
    }
}

/// A reference to the object that controls another.
pub(crate) fn owner(kind: &str, metadata: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: API_VERSION.to_owned(),
        kind: kind.to_owned(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Whether a child belongs to one that had this parent's name before it, and so is gone: the collection of garbage takes it.
pub(crate) fn is_left_behind(child: &ObjectMeta, kind: &str, parent: &ObjectMeta) -> bool {
    child.controller().is_some_and(|owner| {
        owner.api_version == API_VERSION
            && owner.kind == kind
            && owner.name == parent.name
            && owner.uid != parent.uid
    })
}
