//! The components that verbs are made of: one file each, with its steps.

mod calico;
mod cluster;
mod cni;
mod containerd;
mod eventing;
mod firecracker;
mod gvisor;
mod images;
mod ingress;
mod kn;
mod kubelet;
mod kubernetes;
mod limits;
mod manifests;
mod metallb;
mod nvidia;
mod packages;
mod pmutools;
mod registry;
mod reset;
mod runc;
mod serving;
mod stargz;
mod swap;
mod sysctl;
mod upgrades;
mod vhive_cri;
mod zipkin;

pub(crate) use reset::LEFTOVERS;

use crate::plan::{Component, Step, Target};
use crate::verb::{Sandbox, Verb};

/// The components of a verb, in order.
pub(crate) fn of(target: &Target) -> Vec<Component> {
    match target.verb {
        Verb::SetupNode => node(target),
        Verb::SetupSystem => system(target),
        Verb::InstallStock => stock(target),
        Verb::SetupGvisorRuntime => vec![gvisor::component(target)],
        Verb::SetupFirecrackerContainerd => {
            vec![firecracker::component(target), vhive_cri::component(target)]
        }
        Verb::SetupStargz => vec![stargz::component(target)],
        Verb::SetupZipkin => vec![zipkin::component(target)],
        Verb::SetupNvidiaGpu => vec![nvidia::component(target)],
        Verb::InstallPmutools => vec![pmutools::component(target)],
        Verb::SetupWorkerKubelet => vec![kubelet::worker(target)],
        Verb::JoinCluster => vec![kubelet::worker(target), cluster::joined(target)],
        Verb::PrepareOneNodeCluster => alone(target),
        Verb::CreateOneNodeCluster => [alone(target), master(target)].concat(),
        Verb::StartOnenodeVhiveCluster => {
            let mut first = vec![reset::cluster(target), containerd::running()];
            if target.sandbox == Sandbox::Firecracker {
                first.push(vhive_cri::component(target));
            }
            [first, alone(target), master(target)].concat()
        }
        Verb::CreateMultinodeCluster => {
            let first = vec![
                kubelet::master(target),
                cluster::created(target),
                cluster::key(target),
                cluster::asked(),
            ];
            [first, master(target)].concat()
        }
        Verb::SetupMasterNode => master(target),
        Verb::CleanFcctr => vec![reset::functions()],
        Verb::CreateDockerImage
        | Verb::CreateDevmapper
        | Verb::Cluster
        | Verb::Check
        | Verb::Clean
        | Verb::Bundle => Vec::new(),
    }
}

/// What there is to say where there is nothing to do.
pub(crate) fn notes(verb: Verb) -> Vec<&'static str> {
    match verb {
        Verb::CreateDevmapper => vec![
            "vhive keeps no thin pool: the root of an image is one read-only file that all its microVMs share",
        ],
        Verb::CreateDockerImage => vec![
            "vhive builds no Firecracker, and so needs no image to build it in: setup_node installs the release",
        ],
        _ => Vec::new(),
    }
}

fn system(target: &Target) -> Vec<Component> {
    vec![
        upgrades::component(),
        packages::component(target),
        limits::component(),
        sysctl::component(),
        swap::component(),
    ]
}

fn stock(target: &Target) -> Vec<Component> {
    vec![
        packages::stock(),
        runc::component(target),
        containerd::component(target),
        kubernetes::component(target),
        cni::component(target),
        kn::component(target),
    ]
}

fn node(target: &Target) -> Vec<Component> {
    let mut components = [system(target), stock(target)].concat();
    match target.sandbox {
        Sandbox::StockOnly => {}
        Sandbox::Gvisor => components.push(gvisor::component(target)),
        Sandbox::Firecracker => {
            components.push(firecracker::component(target));
            components.push(vhive_cri::component(target));
        }
    }
    if target.options.stargz {
        components.push(stargz::component(target));
    }
    if !target.options.images.is_empty() {
        components.push(images::component(target));
    }
    components
}

/// A cluster of one node.
fn alone(target: &Target) -> Vec<Component> {
    vec![
        kubelet::worker(target),
        cluster::created(target),
        cluster::untainted(),
    ]
}

/// All that runs in a cluster.
fn master(target: &Target) -> Vec<Component> {
    let mut components = vec![
        calico::component(target),
        metallb::component(target),
        ingress::component(target),
        serving::component(target),
        ingress::network_layer(target),
        serving::domain(target),
        eventing::component(target),
        registry::component(target),
    ];
    if let Some(class) = serving::runtime_class(target) {
        components.push(class);
    }
    components
}

/// A component of steps. Its name is the first part of theirs.
fn component(name: &'static str, needs: &'static [&'static str], steps: Vec<Step>) -> Component {
    debug_assert!(
        steps
            .iter()
            .all(|step| step.name.split('/').next() == Some(name))
    );
    Component { name, needs, steps }
}
