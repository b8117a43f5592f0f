//! What a container asks for, in the terms of what runs it.

use std::fmt::Write as _;
use std::path::PathBuf;

use image::{ImageConfig, RootImage};
use sandbox::{GuestFile, Limits, Memory, Process, SnapshotUse};

use crate::mounts::{Mounts, Source};
use crate::proto::runtime_v1 as cri;

const DEFAULT_MEMORY_MIB: u32 = 256;
/// Less does not boot a distribution's kernel.
const LEAST_MEMORY_MIB: u32 = 96;
const OPEN_FILES: u64 = 1_048_576;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The kubelet's annotation with the ports of a container (pkg/kubelet/kuberuntime/labels.go).
const PORTS: &str = "io.kubernetes.container.ports";

/// What a container asks for, read and ready to be started.
pub(crate) struct Plan {
    pub(crate) id: String,
    pub(crate) process: Process,
    pub(crate) sources: Vec<Source>,
    pub(crate) root: RootImage,
    pub(crate) vcpus: u32,
    pub(crate) memory_mib: u32,
    pub(crate) ports: Vec<u16>,
    /// It is ready when somebody listens on the first of its ports, and not when its program runs.
    pub(crate) listens: bool,
    pub(crate) snapshot: Option<SnapshotUse>,
    /// The instance's own log.
    pub(crate) log: PathBuf,
    /// The kubelet's.
    pub(crate) copy: Option<PathBuf>,
}

impl Plan {
    /// Reads what a container asks for. `mounts` are read already, as that blocks.
    pub(crate) fn of(
        id: &str,
        config: &cri::ContainerConfig,
        pod: &cri::PodSandboxConfig,
        image: &ImageConfig,
        root: RootImage,
        mounts: Mounts,
    ) -> Self {
        let resources = config.linux.as_ref().and_then(|it| it.resources.as_ref());
        let mut files = mounts.files;
        files.extend(resolv_conf(pod.dns_config.as_ref()));
        let process = Process {
            argv: argv(config, image),
            env: env(config, image),
            cwd: first(&config.working_dir, &image.workdir),
            user: user(config).unwrap_or_else(|| image.user.clone()),
            hostname: pod.hostname.clone(),
            time_unix_us: 0,
            files,
            dns: Vec::new(),
            rlimit_nofile: OPEN_FILES,
            volumes: mounts.volumes,
            limits: limits(resources),
        };
        Self {
            id: id.to_owned(),
            process,
            sources: mounts.sources,
            root,
            vcpus: vcpus(resources),
            memory_mib: memory_mib(resources),
            ports: ports(config, pod, image),
            listens: false,
            snapshot: None,
            log: PathBuf::new(),
            copy: None,
        }
    }

    /// Allows it to be restored from a snapshot, and one to be taken.
    pub(crate) fn saved_as(&mut self, key: String, memory: Memory) {
        self.snapshot = Some(SnapshotUse { key, memory });
    }
}

/// As Kubernetes has it: a command of one's own takes the image's arguments away too.
fn argv(config: &cri::ContainerConfig, image: &ImageConfig) -> Vec<String> {
    let mut argv = if config.command.is_empty() {
        image.entrypoint.clone()
    } else {
        config.command.clone()
    };
    if !config.args.is_empty() {
        argv.extend(config.args.iter().cloned());
    } else if config.command.is_empty() {
        argv.extend(image.cmd.iter().cloned());
    }
    argv
}

/// The image's environment with the container's over it, and a PATH if neither has one.
fn env(config: &cri::ContainerConfig, image: &ImageConfig) -> Vec<(String, String)> {
    let own = config.envs.iter().map(|it| {
        let value = String::from_utf8_lossy(&it.value).into_owned();
        (it.key.clone(), value)
    });
    let default = ("PATH".to_owned(), PATH.to_owned());
    let mut env: Vec<(String, String)> = Vec::new();
    for (name, value) in [default].into_iter().chain(image.env.clone()).chain(own) {
        match env.iter_mut().find(|(known, _)| *known == name) {
            Some((_, current)) => *current = value,
            None => env.push((name, value)),
        }
    }
    env
}

fn first(own: &str, other: &str) -> String {
    let chosen = if own.is_empty() { other } else { own };
    chosen.to_owned()
}

fn user(config: &cri::ContainerConfig) -> Option<String> {
    let context = config.linux.as_ref()?.security_context.as_ref()?;
    let user = match &context.run_as_user {
        Some(user) => user.value.to_string(),
        None if context.run_as_username.is_empty() => return None,
        None => context.run_as_username.clone(),
    };
    let group = context.run_as_group.as_ref();
    Some(group.map_or(user.clone(), |group| format!("{user}:{}", group.value)))
}

/// The file that the pod's containers have, as the kubelet says it.
fn resolv_conf(dns: Option<&cri::DnsConfig>) -> Option<GuestFile> {
    let dns = dns.filter(|dns| !dns.servers.is_empty())?;
    let mut text = String::new();
    let mut line = |words: &[String], name: &str| {
        if !words.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} {}", words.join(" "));
        }
    };
    line(&dns.searches, "search");
    for server in &dns.servers {
        line(std::slice::from_ref(server), "nameserver");
    }
    line(&dns.options, "options");
    Some(GuestFile {
        path: "/etc/resolv.conf".into(),
        mode: 0o644,
        contents: text.into_bytes(),
    })
}

/// As many as the quota asks for, at least one.
fn vcpus(resources: Option<&cri::LinuxContainerResources>) -> u32 {
    let Some(resources) = resources.filter(|it| it.cpu_quota > 0 && it.cpu_period > 0) else {
        return 1;
    };
    let (quota, period) = (resources.cpu_quota as u64, resources.cpu_period as u64);
    quota.div_ceil(period).clamp(1, 64) as u32
}

/// What its control group in the guest says: what the machine has beyond that is its kernel's.
fn limits(resources: Option<&cri::LinuxContainerResources>) -> Limits {
    let Some(resources) = resources else {
        return Limits::default();
    };
    let positive = |value: i64| u64::try_from(value).unwrap_or(0);
    let (quota, period) = (
        positive(resources.cpu_quota),
        positive(resources.cpu_period),
    );
    Limits {
        memory_bytes: positive(resources.memory_limit_in_bytes),
        cpu_milli: (quota * 1000).checked_div(period).unwrap_or(0),
        // The kubelet has made shares of it, of which a processor has 1024.
        cpu_request_milli: positive(resources.cpu_shares) * 1000 / 1024,
    }
}

fn memory_mib(resources: Option<&cri::LinuxContainerResources>) -> u32 {
    let limit = resources.map_or(0, |it| it.memory_limit_in_bytes);
    if limit <= 0 {
        return DEFAULT_MEMORY_MIB;
    }
    let mib = (limit as u64).div_ceil(1 << 20);
    u32::try_from(mib).unwrap_or(u32::MAX).max(LEAST_MEMORY_MIB)
}

/// Where the container listens: where it is told to (`PORT`, of Knative), and what its pod says of it; else what its image says.
fn ports(
    config: &cri::ContainerConfig,
    pod: &cri::PodSandboxConfig,
    image: &ImageConfig,
) -> Vec<u16> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Port {
        container_port: u16,
        #[serde(default)]
        protocol: String,
    }
    let told = config.envs.iter().find(|it| it.key == "PORT");
    let told = told.and_then(|it| str::from_utf8(&it.value).ok()?.parse().ok());
    let listed = config.annotations.get(PORTS);
    let listed = listed.and_then(|text| serde_json::from_str::<Vec<Port>>(text).ok());
    let listed: Vec<u16> = match listed {
        Some(ports) => {
            let tcp = |it: &Port| matches!(&*it.protocol, "" | "TCP");
            let ports = ports.into_iter().filter(tcp);
            ports.map(|it| it.container_port).collect()
        }
        // Who is no kubelet has no annotations, but tells the ports of the pod.
        None if told.is_none() => {
            let tcp = |it: &&cri::PortMapping| it.protocol() == cri::Protocol::Tcp;
            let ports = pod.port_mappings.iter().filter(tcp);
            ports
                .filter_map(|it| u16::try_from(it.container_port).ok())
                .collect()
        }
        None => Vec::new(),
    };
    let mut ports = Vec::new();
    for port in told.into_iter().chain(listed) {
        if port != 0 && !ports.contains(&port) {
            ports.push(port);
        }
    }
    if ports.is_empty() {
        ports.clone_from(&image.exposed_ports);
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(envs: &[(&str, &str)]) -> cri::ContainerConfig {
        let envs = envs.iter().map(|(key, value)| cri::KeyValue {
            key: (*key).into(),
            value: (*value).into(),
        });
        cri::ContainerConfig {
            envs: envs.collect(),
            ..Default::default()
        }
    }

    #[test]
    fn the_ports_are_those_that_the_kubelet_tells_and_else_those_of_the_image() {
        let image = ImageConfig {
            exposed_ports: vec![80],
            ..ImageConfig::default()
        };
        let mut pod = cri::PodSandboxConfig::default();
        assert_eq!(ports(&config(&[]), &pod, &image), [80]);
        pod.port_mappings = vec![cri::PortMapping {
            container_port: 9000,
            ..Default::default()
        }];
        assert_eq!(ports(&config(&[]), &pod, &image), [9000]);
        // The others of a Knative pod are the proxy's.
        assert_eq!(ports(&config(&[("PORT", "8080")]), &pod, &image), [8080]);
        let mut told = config(&[("PORT", "8080")]);
        let listed = r#"[{"name":"a","containerPort":8080,"protocol":"TCP"},{"containerPort":53,"protocol":"UDP"},{"containerPort":81}]"#;
        told.annotations.insert(PORTS.into(), listed.into());
        assert_eq!(ports(&told, &pod, &image), [8080, 81]);
    }

    #[test]
    fn resources_become_whole_cpus_and_mebibytes() {
        let resources = cri::LinuxContainerResources {
            cpu_period: 100_000,
            cpu_quota: 150_000,
            memory_limit_in_bytes: (512 << 20) - 1,
            ..Default::default()
        };
        assert_eq!(vcpus(Some(&resources)), 2);
        assert_eq!(memory_mib(Some(&resources)), 512);
        assert_eq!((vcpus(None), memory_mib(None)), (1, DEFAULT_MEMORY_MIB));
    }

    #[test]
    fn the_containers_environment_goes_over_the_images() {
        let image = ImageConfig {
            env: vec![("A".into(), "1".into()), ("B".into(), "1".into())],
            ..ImageConfig::default()
        };
        let merged = env(&config(&[("A", "2")]), &image);
        assert_eq!(merged[0].0, "PATH");
        assert_eq!(
            merged[1..],
            [("A".into(), "2".into()), ("B".into(), "1".into())]
        );
    }

    #[test]
    fn a_command_of_ones_own_takes_the_images_arguments_away() {
        let image = ImageConfig {
            entrypoint: vec!["/e".into()],
            cmd: vec!["c".into()],
            ..ImageConfig::default()
        };
        let mut own = config(&[]);
        assert_eq!(argv(&own, &image), ["/e", "c"]);
        own.args = vec!["a".into()];
        assert_eq!(argv(&own, &image), ["/e", "a"]);
        own.command = vec!["/o".into()];
        own.args.clear();
        assert_eq!(argv(&own, &image), ["/o"]);
    }
}
