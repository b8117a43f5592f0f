//! `ConfigMaps` and Secrets that functions take values and files from: read out of the store, and turned into what a process is
//! given. Past this, nobody knows where an environment or a file came from.

mod environment;
mod expansion;
mod volumes;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use api::core::{ConfigMap, Container, Secret, Volume};
use api::resource::{CONFIG_MAPS, Resource, SECRETS};
use apiserver::Store;
use apiserver::store::Key;
use sandbox::{HOST_VOLUME_SIZE, MAX_VOLUME_BYTES};
use tracing::error;

pub(crate) use expansion::expand;

/// Why a function cannot be given what it asks for. Each says what to do; none says a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "{object} does not exist in namespace {namespace:?}, and {user} needs it: create it, and the function starts; or say \
         there that it is optional"
    )]
    NoObject {
        object: ObjectName,
        namespace: String,
        user: User,
    },
    #[error(
        "{object} in namespace {namespace:?} has no key {key:?}, and {user} needs it: add the key, and the function starts; or \
         say there that it is optional"
    )]
    NoKey {
        object: ObjectName,
        namespace: String,
        key: String,
        user: User,
    },
    #[error(
        "key {key:?} of {object} is no text, and {user} can only have one: mount it as a file instead"
    )]
    NoText {
        object: ObjectName,
        key: String,
        user: User,
    },
    #[error(
        "volume {volume:?} has no {path:?}, which {mount_path} is to be: add such a key, and the function starts; or mount \
         another subPath"
    )]
    NoSubPath {
        volume: String,
        path: String,
        mount_path: String,
    },
    #[error(
        "the files of all volumes have {bytes} bytes, and at most {MAX_VOLUME_BYTES} can be mounted: mount fewer keys, or put \
         files into the image"
    )]
    TooLarge { bytes: usize },
    #[error(
        "the {files} files of volume {volume:?} take {bytes} bytes of a guest's memory, at least 4096 each, and at most {most} are allowed: \
         mount fewer keys, or put files into the image", most = HOST_VOLUME_SIZE / 2
    )]
    TooManyFiles {
        volume: String,
        files: usize,
        bytes: u64,
    },
}

/// One of the two kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    ConfigMap,
    Secret,
}

impl Kind {
    fn resource(self) -> Resource {
        match self {
            Self::ConfigMap => CONFIG_MAPS,
            Self::Secret => SECRETS,
        }
    }
}

/// An object in the namespace of whoever names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectName {
    pub(crate) kind: Kind,
    pub(crate) name: String,
}

impl ObjectName {
    fn new(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
        }
    }

    /// What the object at that place in the store is called; `None` if it is of another kind.
    pub(crate) fn of(key: &Key) -> Option<Self> {
        let kinds = [Kind::ConfigMap, Kind::Secret];
        let kind = kinds
            .into_iter()
            .find(|kind| kind.resource().qualified() == key.resource())?;
        Some(Self::new(kind, key.name()))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind.resource().kind, self.name)
    }
}

/// What in a container needs an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum User {
    /// The variable of that name.
    Env(String),
    /// That one of `envFrom`.
    EnvFrom(usize),
    /// The volume of that name.
    Volume(String),
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env {name}"),
            Self::EnvFrom(index) => write!(f, "envFrom[{index}]"),
            Self::Volume(name) => write!(f, "volume {name:?}"),
        }
    }
}

/// An object as it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Object {
    ConfigMap(ConfigMap),
    Secret(Secret),
}

impl Object {
    /// What a variable can be: texts, in a `ConfigMap` only those that are kept as such.
    fn values(&self) -> BTreeMap<&str, &[u8]> {
        match self {
            Self::ConfigMap(map) => texts(map),
            Self::Secret(secret) => bytes(&secret.data),
        }
    }

    /// What a file can be.
    fn files(&self) -> BTreeMap<&str, &[u8]> {
        match self {
            Self::ConfigMap(map) => {
                let mut files = texts(map);
                files.extend(bytes(&map.binary_data));
                files
            }
            Self::Secret(secret) => bytes(&secret.data),
        }
    }
}

fn texts(map: &ConfigMap) -> BTreeMap<&str, &[u8]> {
    let texts = map.data.iter();
    texts
        .map(|(key, text)| (key.as_str(), text.as_bytes()))
        .collect()
}

fn bytes(data: &BTreeMap<String, api::core::Bytes>) -> BTreeMap<&str, &[u8]> {
    let bytes = data.iter();
    bytes
        .map(|(key, bytes)| (key.as_str(), bytes.0.as_slice()))
        .collect()
}

/// What looks an object up.
pub(crate) type Lookup<'a> = &'a dyn Fn(&ObjectName) -> Option<Object>;

/// The objects of one namespace, as they are now.
#[derive(Clone, Copy)]
struct Namespace<'a> {
    name: &'a str,
    lookup: Lookup<'a>,
}

impl Namespace<'_> {
    /// The object; `None` if it may be missing and is.
    fn object(
        &self,
        reference: &ObjectName,
        optional: Option<bool>,
        user: &User,
    ) -> Result<Option<Object>, Error> {
        match (self.lookup)(reference) {
            None if optional != Some(true) => Err(Error::NoObject {
                object: reference.clone(),
                namespace: self.name.to_owned(),
                user: user.clone(),
            }),
            found => Ok(found),
        }
    }

    fn no_key(&self, object: &ObjectName, key: &str, user: &User) -> Error {
        Error::NoKey {
            object: object.clone(),
            namespace: self.name.to_owned(),
            key: key.to_owned(),
            user: user.clone(),
        }
    }
}

/// What a container takes from elsewhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Wishes {
    env: Vec<api::core::EnvVar>,
    env_from: Vec<api::core::EnvFromSource>,
    volumes: Vec<Volume>,
    mounts: Vec<api::core::VolumeMount>,
}

/// What a process is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Given {
    /// In the order in which they were declared; each name once.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) volumes: Vec<sandbox::Volume>,
}

impl Given {
    /// What those of its volumes hold that are written from outside.
    pub(crate) fn contents(&self) -> Vec<sandbox::Contents> {
        let volumes = self.volumes.iter();
        volumes.filter_map(sandbox::Volume::contents).collect()
    }
}

impl Wishes {
    pub(crate) fn of(container: &Container, volumes: &[Volume]) -> Self {
        Self {
            env: container.env.clone(),
            env_from: container.env_from.clone(),
            volumes: volumes.to_vec(),
            mounts: container.volume_mounts.clone(),
        }
    }

    /// The objects that are named.
    pub(crate) fn references(&self) -> BTreeSet<ObjectName> {
        environment::references(&self.env, &self.env_from)
            .chain(volumes::references(&self.volumes))
            .collect()
    }

    /// What they come to in a namespace; `own` are variables that come after all others.
    pub(crate) fn fulfil(
        &self,
        namespace: &str,
        lookup: Lookup<'_>,
        own: &[(&str, Cow<'_, str>)],
    ) -> Result<Given, Error> {
        let namespace = Namespace {
            name: namespace,
            lookup,
        };
        let mut env = environment::resolve(&self.env, &self.env_from, namespace)?;
        for (name, value) in own {
            environment::set(&mut env, name, value.to_string());
        }
        Ok(Given {
            env,
            volumes: volumes::resolve(&self.volumes, &self.mounts, namespace)?,
        })
    }
}

/// The objects in the store.
#[derive(Clone)]
pub(crate) struct Sources(Store);

impl Sources {
    pub(crate) fn new(store: Store) -> Self {
        Self(store)
    }

    /// The object, as it is now.
    pub(crate) fn find(&self, namespace: &str, reference: &ObjectName) -> Option<Object> {
        let resource = reference.kind.resource().qualified();
        let key = Key::new(&resource, namespace, &reference.name)?;
        let stored = self.0.get(&key)?;
        let object = match reference.kind {
            Kind::ConfigMap => stored.decode().map(Object::ConfigMap),
            Kind::Secret => stored.decode().map(Object::Secret),
        };
        object
            .inspect_err(
                |reason| error!(error = %reason, object = %key, "cannot read a stored object"),
            )
            .ok()
    }
}

#[cfg(test)]
mod tests;
