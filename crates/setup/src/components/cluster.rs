//! The cluster itself: created by kubeadm on its master, joined by its workers.

use crate::facts::Facts;
use crate::paths::{ADMIN_CONF, CONTAINERD_SOCKET};
use crate::plan::{Action, Check, Command, Component, Step, Target, Undo};
use crate::verb::Verb;

use super::kubelet;

const KUBEADM: &str = "/var/lib/vhive/setup/kubeadm.yaml";

/// Created here.
pub(super) fn created(target: &Target) -> Component {
    let alone = target.verb != Verb::CreateMultinodeCluster;
    let socket = if alone {
        kubelet::worker_socket(target.sandbox)
    } else {
        CONTAINERD_SOCKET
    };
    let mut init = Command::words(["kubeadm", "init", "--config", KUBEADM]);
    if alone {
        // As the seed has it: a single machine to try it on is often smaller than kubeadm asks for.
        init.words.push("--ignore-preflight-errors=all".to_owned());
    }
    let reset = Command::line(&format!("kubeadm reset -f --cri-socket unix://{socket}"));
    super::component(
        "cluster",
        &["kubelet"],
        vec![
            Step::new(
                "cluster/kubeadm-config",
                "addresses, version and networks of the cluster, in one file",
                Action::Write {
                    path: KUBEADM.into(),
                    content: kubeadm(target, socket),
                    mode: 0o600,
                },
            ),
            Step::new(
                "cluster/init",
                "the control plane starts on this node",
                Action::Run {
                    command: init,
                    check: Check::Exists(ADMIN_CONF.into()),
                    undo: Undo::By(reset.clone()),
                    // An attempt that failed leaves ports and files taken, and the next would fail for them.
                    recover: Some(reset),
                },
            ),
            kubeconfig(target.facts),
        ],
    )
}

/// Whoever asked can use kubectl and kn.
fn kubeconfig(facts: &Facts) -> Step {
    Step::new(
        "cluster/kubeconfig",
        "kubectl and kn work for whoever set this up",
        Action::Copy {
            from: ADMIN_CONF.into(),
            to: facts.user.home.join(".kube/config"),
            mode: 0o600,
            owner: Some((facts.user.uid, facts.user.gid)),
        },
    )
}

/// The master runs functions, too.
pub(super) fn untainted() -> Component {
    let taints = "get nodes -o jsonpath={.items[*].spec.taints[*].key}";
    super::component(
        "alone",
        &["cluster"],
        vec![Step::new(
            "alone/untaint",
            "there is no other node to run functions on",
            Action::Run {
                command: Command::kubectl(
                    "taint nodes --all node-role.kubernetes.io/control-plane-",
                ),
                check: Check::PrintsNot {
                    command: Command::kubectl(taints),
                    text: "node-role.kubernetes.io/control-plane".to_owned(),
                },
                undo: Undo::WithCluster,
                recover: None,
            },
        )],
    )
}

/// How workers join.
pub(super) fn key(target: &Target) -> Component {
    let user = &target.facts.user;
    super::component(
        "join",
        &["cluster"],
        vec![Step::new(
            "join/key",
            "workers need the address, a token and the certificate's digest",
            Action::MasterKey {
                path: target.facts.folder.join("masterKey.yaml"),
                owner: (user.uid, user.gid),
            },
        )],
    )
}

/// Whether they have.
pub(super) fn asked() -> Component {
    super::component(
        "joined",
        &["join"],
        vec![Step::new(
            "joined/ask",
            "what comes next waits for all nodes to be ready",
            Action::Ask {
                question: "All nodes need to be joined in the cluster. Have you joined all nodes? (y/n): ",
            },
        )],
    )
}

/// Joined, by a worker.
pub(super) fn joined(target: &Target) -> Component {
    let socket = kubelet::worker_socket(target.sandbox);
    let reset = Command::line(&format!("kubeadm reset -f --cri-socket unix://{socket}"));
    let config = target
        .options
        .master_key
        .as_ref()
        .map_or_else(String::new, |key| {
            format!(
                "apiVersion: kubeadm.k8s.io/v1beta4\n\
             kind: JoinConfiguration\n\
             discovery:\n  \
               bootstrapToken:\n    \
                 apiServerEndpoint: {}:{}\n    \
                 token: {}\n    \
                 caCertHashes: [\"{}\"]\n\
             nodeRegistration:\n  \
               criSocket: unix://{socket}\n",
                key.address, key.port, key.token, key.hash
            )
        });
    super::component(
        "member",
        &["kubelet"],
        vec![
            Step::new(
                "member/kubeadm-config",
                "the token is no argument, which every user of this node could see",
                Action::Write {
                    path: KUBEADM.into(),
                    content: config,
                    mode: 0o600,
                },
            ),
            Step::new(
                "member/join",
                "the cluster knows this node",
                Action::Run {
                    command: Command::words(["kubeadm", "join", "--config", KUBEADM]),
                    check: Check::Exists("/etc/kubernetes/kubelet.conf".into()),
                    undo: Undo::By(reset.clone()),
                    recover: Some(reset),
                },
            ),
        ],
    )
}

/// kubeadm's configuration; the version of its API is that of kubeadm 1.31 and later.
fn kubeadm(target: &Target, socket: &str) -> String {
    let kube = &target.config.kube;
    let address = match kube.apiserver_advertise_address.as_str() {
        "" => target.facts.node_ip.to_string(),
        address => address.to_owned(),
    };
    let images = match kube.alternative_image_repo.as_str() {
        "" => String::new(),
        repository => format!("imageRepository: {repository}\n"),
    };
    let proxy = if target.options.nftables {
        "mode: nftables\n"
    } else {
        ""
    };
    let logs = if target.config.system.log_verbosity > 0 {
        "containerLogMaxSize: 512Mi\n"
    } else {
        ""
    };
    format!(
        "# Written by vhive setup.\n\
         apiVersion: kubeadm.k8s.io/v1beta4\n\
         kind: InitConfiguration\n\
         localAPIEndpoint:\n  \
           advertiseAddress: {address}\n  \
           bindPort: {}\n\
         nodeRegistration:\n  \
           criSocket: unix://{socket}\n\
         ---\n\
         apiVersion: kubeadm.k8s.io/v1beta4\n\
         kind: ClusterConfiguration\n\
         kubernetesVersion: {}\n\
         {images}\
         networking:\n  \
           podSubnet: {}\n\
         ---\n\
         apiVersion: kubelet.config.k8s.io/v1beta1\n\
         kind: KubeletConfiguration\n\
         cgroupDriver: systemd\n\
         {logs}\
         ---\n\
         apiVersion: kubeproxy.config.k8s.io/v1alpha1\n\
         kind: KubeProxyConfiguration\n\
         {proxy}\
         ipvs:\n  \
           # MetalLB answers ARP for the addresses it gives out; IPVS must not.\n  \
           strictARP: true\n",
        kube.apiserver_port, kube.k8s_version, kube.pod_network_cidr
    )
}
