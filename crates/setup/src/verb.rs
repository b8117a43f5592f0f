//! What can be asked for: verbs, and the sandboxes that functions run in.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What set-up can be asked to do. The names are those of vHive's `setup_tool`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Verb {
    /// Everything that a node needs before it is part of a cluster
    SetupNode,
    /// The kubelet of a worker: its runtime and its address
    SetupWorkerKubelet,
    /// The master of a cluster, then, after its workers have joined, all that runs in the cluster
    CreateMultinodeCluster,
    /// A cluster of this node alone
    CreateOneNodeCluster,
    /// A cluster of this node alone, with nothing in it yet
    PrepareOneNodeCluster,
    /// All that runs in a cluster: network, load balancer, ingress, Knative, registry
    SetupMasterNode,
    /// Remove the cluster of this node, if there is one, and create it anew
    StartOnenodeVhiveCluster,
    /// Packages, limits, kernel settings and swap alone
    SetupSystem,
    /// containerd, runc, CNI plugins, Kubernetes and kn alone
    InstallStock,
    /// gVisor and its place in containerd
    SetupGvisorRuntime,
    /// Firecracker, its guest kernel, and vhive as the kubelet's runtime
    SetupFirecrackerContainerd,
    /// Images that are pulled as they are read
    SetupStargz,
    /// Tracing: zipkin, and Knative told of it
    SetupZipkin,
    /// The NVIDIA container toolkit, and its place in containerd
    SetupNvidiaGpu,
    /// pmu-tools, to count what processors do
    InstallPmutools,
    /// Nothing: vhive needs no image to build Firecracker in
    CreateDockerImage,
    /// Nothing: vhive keeps no thin pool
    CreateDevmapper,
    /// Stop all functions of this node, and remove what they left
    CleanFcctr,
    /// Join this node to the cluster that masterKey.yaml is of
    JoinCluster,
    /// The whole guide, on many nodes at once, over ssh
    Cluster,
    /// Compare this node with what was set up, or with a verb's plan; nothing is changed
    Check,
    /// Undo everything that was set up on this node
    Clean,
    /// Collect all that nodes need into one archive, for --bundle
    Bundle,
}

impl Verb {
    /// The name on the command line.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it cannot be asked for without naming a sandbox.
    pub fn needs_sandbox(self) -> bool {
        matches!(
            self,
            Self::SetupNode
                | Self::SetupWorkerKubelet
                | Self::CreateMultinodeCluster
                | Self::CreateOneNodeCluster
                | Self::PrepareOneNodeCluster
                | Self::SetupMasterNode
                | Self::StartOnenodeVhiveCluster
                | Self::SetupStargz
                | Self::JoinCluster
                | Self::Cluster
        )
    }

    /// Whether it is carried out by a plan for one node.
    pub fn is_plan(self) -> bool {
        !matches!(
            self,
            Self::Cluster | Self::Check | Self::Clean | Self::Bundle
        )
    }

    /// Whether nothing happens that a dry run would not show at once.
    pub fn plans() -> impl Iterator<Item = Self> {
        let all = Self::value_variants().iter().copied();
        all.filter(|verb| verb.is_plan())
    }
}

/// What functions run in.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// Containers
    StockOnly,
    /// gVisor
    Gvisor,
    /// Firecracker's microVMs
    Firecracker,
}

impl Sandbox {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::StockOnly, Self::Gvisor, Self::Firecracker];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::StockOnly => "stock-only",
            Self::Gvisor => "gvisor",
            Self::Firecracker => "firecracker",
        }
    }
}
