//! What a Revision asks to be run, taken out of its Kubernetes shape: the door behind which nothing knows Knative.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use api::core::{Container, EnvVar};
use api::meta::StringMap;
use api::quantity;
use api::serving::{Revision, condition, label};
use gateway::{Protocol, RevisionConfig, RevisionKey};
use image::{Digest, Image, Reference, RootImage};
use jiff::Timestamp;
use sandbox::{Limits, Memory, Process, SnapshotUse, Spec};
use serde_json::Value;

use crate::images::Wanted;
use crate::probes::Probes;
use crate::sources::{self, Given, ObjectName, Sources, Wishes, expand};

/// The annotation that says how a restored guest's memory arrives.
const MEMORY: &str = "vhive.dev/memory";
const DEFAULT_PORT: u16 = 8080;
const DEFAULT_MEMORY_MIB: u32 = 256;
/// Less does not boot a distribution's kernel.
const LEAST_MEMORY_MIB: u32 = 96;
const READY_DEADLINE: Duration = Duration::from_secs(60);
const QUEUE_TIMEOUT: Duration = Duration::from_secs(600);
const OPEN_FILES: u64 = 1_048_576;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A revision as the actor that runs it sees it.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) key: RevisionKey,
    pub(crate) image: Wanted,
    command: Vec<String>,
    args: Vec<String>,
    /// Values and files from elsewhere, among those that are written out.
    wishes: Wishes,
    /// Name of the Service; empty for a revision of a bare Configuration.
    service: String,
    configuration: String,
    workdir: String,
    user: Option<String>,
    port: u16,
    probes: Probes,
    /// How memory arrives, if it says.
    memory: Option<Memory>,
    vcpus: u32,
    memory_mib: u32,
    /// What of that the function may use.
    limits: Limits,
    /// Room for bursts is the autoscaler's to say.
    pub(crate) gateway: RevisionConfig,
    /// What is said of its scale, among other things.
    pub(crate) annotations: StringMap,
    /// Whether it has been ready before, under a node that has ended.
    pub(crate) proven: bool,
    /// How long it is tried by itself when it does not become ready.
    pub(crate) deadline: Option<Timestamp>,
}

/// Why a Revision cannot be run as it is written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the revision has no container")]
    NoContainer,
    #[error(
        "{0} containers are asked for, and a microVM runs one: make functions of their own of the sidecars"
    )]
    Sidecars(usize),
    #[error("image {image:?} is not a valid reference")]
    Image {
        image: String,
        #[source]
        source: image::reference::Error,
    },
    #[error(
        "env {0} has a valueFrom that names no source: write configMapKeyRef or secretKeyRef there"
    )]
    ValueFrom(String),
    #[error("{field} {value:?} is not a quantity such as 500m or 128Mi")]
    Quantity { field: &'static str, value: String },
    #[error("GUEST_PORT {0:?} is not a port number")]
    GuestPort(String),
    #[error("{MEMORY}: {0:?} is none of auto, file, lazy and reap")]
    Memory(String),
}

impl Workload {
    /// Reads a Revision. The stub containers of the original vHive, which name the real image and port in `GUEST_IMAGE` and
    /// `GUEST_PORT`, are run by their real image.
    pub(crate) fn of(revision: &Revision) -> Result<Self, Error> {
        let metadata = &revision.metadata;
        let container = match revision.spec.containers.as_slice() {
            [] => return Err(Error::NoContainer),
            [container] => container,
            several => return Err(Error::Sidecars(several.len())),
        };
        let sourceless = |variable: &&EnvVar| {
            let source = variable.value_from.as_ref();
            source.is_some_and(|it| it.config_map_key_ref.is_none() && it.secret_key_ref.is_none())
        };
        if let Some(variable) = container.env.iter().find(sourceless) {
            return Err(Error::ValueFrom(variable.name.clone()));
        }
        let guest = |name: &str| {
            container
                .env
                .iter()
                .find(|it| it.name == name)
                .map(|it| it.value.clone())
        };
        let image = guest("GUEST_IMAGE").unwrap_or_else(|| container.image.clone());
        let image = Reference::from_str(&image).map_err(|source| Error::Image { image, source })?;
        let port = port(container, guest("GUEST_PORT"))?;
        let concurrency = revision
            .spec
            .container_concurrency
            .unwrap_or(0)
            .clamp(0, i64::from(u32::MAX)) as u32;
        let service = metadata
            .label(label::SERVICE)
            .unwrap_or_default()
            .to_owned();
        let configuration = metadata
            .label(label::CONFIGURATION)
            .unwrap_or_default()
            .to_owned();
        Ok(Self {
            key: RevisionKey::new(metadata.namespace.as_str(), metadata.name.as_str()),
            memory: memory(&metadata.annotations)?,
            image: Wanted {
                reference: image,
                digest: resolved(revision),
                holder: metadata.uid.clone(),
            },
            wishes: Wishes::of(container, &revision.spec.volumes),
            configuration,
            service,
            command: container.command.clone(),
            args: container.args.clone(),
            workdir: container.working_dir.clone(),
            user: user(container),
            port,
            probes: Probes::of(container, port),
            vcpus: vcpus(container)?,
            memory_mib: memory_mib(container)?,
            limits: limits(container),
            gateway: RevisionConfig {
                protocol: if container.ports.iter().any(|port| port.name == "h2c") {
                    Protocol::H2c
                } else {
                    Protocol::Http1
                },
                container_concurrency: concurrency,
                timeout: seconds(revision.spec.timeout_seconds.or(Some(300))),
                response_start_timeout: seconds(revision.spec.response_start_timeout_seconds),
                idle_timeout: seconds(revision.spec.idle_timeout_seconds),
                queue_timeout: QUEUE_TIMEOUT,
                ..RevisionConfig::default()
            },
            annotations: metadata.annotations.clone(),
            proven: condition(&revision.status.conditions, "ResourcesAvailable")
                .is_some_and(|available| available.status == "True"),
            deadline: control::progress_deadline(revision),
        })
    }

    /// How long an instance that is taken out of service may work on the requests it has: as long as a request may take.
    pub(crate) fn drain(&self) -> Duration {
        let timeout = self.gateway.timeout;
        if timeout.is_zero() {
            QUEUE_TIMEOUT
        } else {
            timeout
        }
    }

    /// The memory of its guests.
    pub(crate) fn memory_mib(&self) -> u32 {
        self.memory_mib
    }

    /// Names the snapshots of this revision, and of no other that was or will be of its name.
    pub(crate) fn snapshot_key(&self) -> String {
        crate::snapshots::key(&self.key, &self.image.holder)
    }

    /// The objects that it takes values and files from.
    pub(crate) fn references(&self) -> BTreeSet<ObjectName> {
        self.wishes.references()
    }

    /// What its process is given of what there is now.
    pub(crate) fn given(&self, sources: &Sources) -> Result<Given, sources::Error> {
        let namespace = &*self.key.namespace;
        let lookup = |object: &ObjectName| sources.find(namespace, object);
        self.wishes.fulfil(namespace, &lookup, &self.own_env())
    }

    /// The variables that every function has (Knative's runtime contract, "Process").
    pub(crate) fn own_env(&self) -> [(&'static str, Cow<'_, str>); 4] {
        [
            ("PORT", self.port.to_string().into()),
            ("K_SERVICE", self.service.as_str().into()),
            ("K_CONFIGURATION", self.configuration.as_str().into()),
            ("K_REVISION", (&*self.key.name).into()),
        ]
    }

    /// Where its function listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What the sandbox is to start. `memory` is how memory arrives where the revision does not say; without, no snapshot is
    /// used or taken.
    pub(crate) fn spec(
        &self,
        id: String,
        (image, root): (&Image, &RootImage),
        given: &Given,
        log: PathBuf,
        memory: Option<Memory>,
    ) -> Spec {
        let config = &image.config;
        // References are to the container's own variables: the image's are not known to Kubernetes.
        let expanded = |texts: &[String]| {
            let value = |name: &str| {
                let known = given.env.iter().find(|(known, _)| known == name);
                known.map(|(_, value)| value.as_str())
            };
            let texts = texts.iter();
            texts
                .map(|text| expand(text, value))
                .collect::<Vec<String>>()
        };
        let mut argv = if self.command.is_empty() {
            config.entrypoint.clone()
        } else {
            expanded(&self.command)
        };
        // As Kubernetes has it: a command of one's own takes the image's arguments away too.
        if !self.args.is_empty() {
            argv.extend(expanded(&self.args));
        } else if self.command.is_empty() {
            argv.extend(config.cmd.iter().cloned());
        }
        let first = |own: &str, images: &str| {
            if own.is_empty() {
                images.to_owned()
            } else {
                own.to_owned()
            }
        };
        let process = Process {
            argv,
            env: merged(&config.env, &given.env),
            cwd: first(&self.workdir, &config.workdir),
            user: self.user.clone().unwrap_or_else(|| config.user.clone()),
            hostname: id.clone(),
            time_unix_us: 0,
            files: Vec::new(),
            dns: Vec::new(),
            rlimit_nofile: OPEN_FILES,
            volumes: given.volumes.clone(),
            limits: self.limits,
        };
        Spec {
            id,
            root: root.path.clone(),
            process,
            vcpus: self.vcpus,
            memory_mib: self.memory_mib,
            log,
            port: self.port,
            probe: self.probes.readiness.clone(),
            checks: self.probes.checks.clone(),
            ready_deadline: READY_DEADLINE + self.probes.allowance(),
            snapshot: memory.map(|memory| SnapshotUse {
                key: self.snapshot_key(),
                memory: self.memory.unwrap_or(memory),
            }),
        }
    }
}

/// What the image was resolved to when the revision was made: `status.containerStatuses[].imageDigest` is `repository@digest`.
fn resolved(revision: &Revision) -> Option<Digest> {
    let status = revision.status.container_statuses.first()?;
    let (_, digest) = status.image_digest.split_once('@')?;
    digest.parse().ok()
}

/// What the annotation says of how memory arrives.
fn memory(annotations: &StringMap) -> Result<Option<Memory>, Error> {
    let Some(text) = annotations.get(MEMORY) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(memory) => Ok(Some(memory)),
        Err(_) => Err(Error::Memory(text.clone())),
    }
}

fn port(container: &Container, guest: Option<String>) -> Result<u16, Error> {
    if let Some(text) = guest {
        return text.parse().map_err(|_| Error::GuestPort(text));
    }
    let port = container
        .ports
        .first()
        .and_then(|port| u16::try_from(port.container_port).ok());
    Ok(port.filter(|port| *port != 0).unwrap_or(DEFAULT_PORT))
}

/// The image's environment with the revision's over it, and a PATH if neither has one.
fn merged(image: &[(String, String)], own: &[(String, String)]) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    let default = [("PATH".to_owned(), PATH.to_owned())];
    for (name, value) in default.iter().chain(image).chain(own) {
        match env.iter_mut().find(|(known, _)| known == name) {
            Some((_, current)) => current.clone_from(value),
            None => env.push((name.clone(), value.clone())),
        }
    }
    env
}

fn user(container: &Container) -> Option<String> {
    let context = container.security_context.as_ref()?;
    let id = |field| context.get(field).and_then(Value::as_u64);
    let user = id("runAsUser")?;
    Some(id("runAsGroup").map_or_else(|| user.to_string(), |group| format!("{user}:{group}")))
}

/// The limit, or else the request, of a resource.
fn asked<'a>(container: &'a Container, name: &str) -> Option<&'a String> {
    container
        .resources
        .limits
        .get(name)
        .or_else(|| container.resources.requests.get(name))
}

fn vcpus(container: &Container) -> Result<u32, Error> {
    let Some(text) = asked(container, "cpu") else {
        return Ok(1);
    };
    let milli = quantity::milli_cpus(text).ok_or_else(|| Error::Quantity {
        field: "cpu",
        value: text.clone(),
    })?;
    Ok(milli.div_ceil(1000).clamp(1, 64) as u32)
}

/// What the container may use; what it asks for is that, where it does not say (Kubernetes' defaults of core/v1).
fn limits(container: &Container) -> Limits {
    let resources = &container.resources;
    let cpu = |text: Option<&String>| text.and_then(|text| quantity::milli_cpus(text));
    let (limit, request) = (resources.limits.get("cpu"), resources.requests.get("cpu"));
    let memory = resources.limits.get("memory");
    Limits {
        memory_bytes: memory.and_then(|text| quantity::bytes(text)).unwrap_or(0),
        cpu_milli: cpu(limit).unwrap_or(0),
        cpu_request_milli: cpu(request.or(limit)).unwrap_or(0),
    }
}

fn memory_mib(container: &Container) -> Result<u32, Error> {
    let Some(text) = asked(container, "memory") else {
        return Ok(DEFAULT_MEMORY_MIB);
    };
    let bytes = quantity::bytes(text).ok_or_else(|| Error::Quantity {
        field: "memory",
        value: text.clone(),
    })?;
    Ok(u32::try_from(bytes.div_ceil(1 << 20))
        .unwrap_or(u32::MAX)
        .max(LEAST_MEMORY_MIB))
}

fn seconds(value: Option<i64>) -> Duration {
    Duration::from_secs(value.and_then(|it| u64::try_from(it).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload(container: &Value) -> Result<Workload, Error> {
        let revision: Revision = serde_json::from_value(json!({
            "metadata": {"name": "f-00001", "namespace": "ns", "labels": {
                "serving.knative.dev/service": "f", "serving.knative.dev/configuration": "f"}},
            "spec": {"containers": [container]},
        }))
        .unwrap();
        Workload::of(&revision)
    }

    #[test]
    fn the_stub_containers_of_vhive_run_their_real_image() {
        let workload = workload(&json!({
            "image": "crccheck/hello-world:latest",
            "ports": [{"name": "h2c", "containerPort": 50051}],
            "env": [{"name": "GUEST_PORT", "value": "50052"}, {"name": "GUEST_IMAGE", "value": "dev.local/real"}],
        }))
        .unwrap();
        assert_eq!(workload.image.to_string(), "dev.local/real:latest");
        assert_eq!(workload.port, 50052);
        assert_eq!(workload.gateway.protocol, Protocol::H2c);
    }

    #[test]
    fn a_revision_stays_with_the_image_that_it_was_made_of() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let mut revision: Revision = serde_json::from_value(json!({
            "metadata": {"name": "f-00001", "namespace": "ns", "uid": "u"},
            "spec": {"containers": [{"image": "dev.local/a:tag"}]},
        }))
        .unwrap();
        assert_eq!(Workload::of(&revision).unwrap().image.digest, None);
        revision.status.container_statuses = vec![api::serving::ContainerStatus {
            name: String::new(),
            image_digest: format!("dev.local/a@{digest}"),
        }];
        let image = Workload::of(&revision).unwrap().image;
        assert_eq!(image.digest.map(|it| it.to_string()), Some(digest));
        assert_eq!(image.reference.to_string(), "dev.local/a:tag");
        assert_eq!(image.holder, "u");
    }

    #[test]
    fn resources_become_whole_cpus_and_mebibytes() {
        let workload = workload(
            &json!({"image": "a", "resources": {"limits": {"cpu": "1500m", "memory": "512Mi"}}}),
        )
        .unwrap();
        assert_eq!((workload.vcpus, workload.memory_mib), (2, 512));
    }

    #[test]
    fn limits_are_those_that_are_written_and_a_request_that_is_not_is_the_limit() {
        let limits = |resources: Value| {
            workload(&json!({"image": "a", "resources": resources}))
                .unwrap()
                .limits
        };
        let one = json!({"limits": {"cpu": "1500m", "memory": "128M"}});
        assert_eq!(
            limits(one),
            Limits {
                memory_bytes: 128_000_000,
                cpu_milli: 1500,
                cpu_request_milli: 1500,
            }
        );
        let two = json!({"limits": {"cpu": "1"}, "requests": {"cpu": "125m", "memory": "64Mi"}});
        assert_eq!(
            limits(two),
            Limits {
                memory_bytes: 0,
                cpu_milli: 1000,
                cpu_request_milli: 125,
            }
        );
        assert_eq!(limits(json!({})), Limits::default());
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_what_to_do() {
        let error =
            workload(&json!({"image": "a", "env": [{"name": "X", "valueFrom": {}}]})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "env X has a valueFrom that names no source: write configMapKeyRef or secretKeyRef there"
        );
    }

    #[test]
    fn the_revisions_environment_goes_over_the_images() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let env = merged(&[pair("PATH", "/app"), pair("A", "1")], &[pair("A", "2")]);
        assert_eq!(env, [pair("PATH", "/app"), pair("A", "2")]);
    }
}
