//! Plans: what a verb means on a host, as data.

mod step;

pub use step::{Action, Check, Command, Fetch, Fetched, Published, Step, Undo};

use serde::Serialize;
use thiserror::Error;

use crate::components;
use crate::config::Config;
use crate::facts::{Architecture, Facts};
use crate::verb::{Sandbox, Verb};

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What was asked for, with the sandbox, as it is typed.
    pub title: String,
    /// The verb.
    pub verb: Verb,
    /// In an order that respects what they need.
    pub components: Vec<Component>,
    /// What there is to say, where there is nothing to do.
    pub notes: Vec<&'static str>,
}

/// Steps that belong together, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Component {
    /// Its name, which its steps' names begin with.
    pub name: &'static str,
    /// Components that must be done before, if the plan has them. All others may be done at the same time.
    pub needs: &'static [&'static str],
    /// Its steps.
    pub steps: Vec<Step>,
}

/// What can be chosen beside the verb and the sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// kube-proxy and Calico speak nftables.
    pub nftables: bool,
    /// Images that are pulled as they are read.
    pub stargz: bool,
    /// The queue-proxy image of vHive, instead of the runtime class.
    pub compat: bool,
    /// Kourier instead of Istio.
    pub kourier: bool,
    /// Arguments for `vhive cri`.
    pub vhive_args: String,
    /// Images of a bundle: a name, and the file that has it.
    pub images: Vec<(String, String)>,
    /// The file by which a worker joins.
    pub master_key: Option<crate::engine::MasterKey>,
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// What was asked for.
    pub verb: Verb,
    /// In which sandbox; verbs that take none get stock-only.
    pub sandbox: Sandbox,
    /// Of the host.
    pub facts: &'a Facts,
    /// Versions and addresses.
    pub config: &'a Config,
    /// What else was chosen.
    pub options: &'a Options,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// vHive's own does neither.
    #[error("use-stargz goes with stock-only or firecracker: gVisor reads images its own way")]
    StargzInGvisor,
    /// As in the seed.
    #[error("on arm64 only stock-only is set up, not {}", .0.name())]
    NotOnArm(Sandbox),
    /// There is nothing to join.
    #[error(
        "join_cluster needs --master-key FILE: the masterKey.yaml that create_multinode_cluster wrote on the master"
    )]
    NoMasterKey,
    /// It is not for one node.
    #[error("{} has no plan of its own", .0.name())]
    NotAPlan(Verb),
}

/// The plan for a target.
pub fn of(target: &Target) -> Result<Plan, Refusal> {
    let Target {
        verb,
        sandbox,
        options,
        ..
    } = *target;
    if options.stargz && sandbox == Sandbox::Gvisor {
        return Err(Refusal::StargzInGvisor);
    }
    if target.facts.architecture == Architecture::Arm64 && sandbox != Sandbox::StockOnly {
        return Err(Refusal::NotOnArm(sandbox));
    }
    if verb == Verb::JoinCluster && options.master_key.is_none() {
        return Err(Refusal::NoMasterKey);
    }
    if !verb.is_plan() {
        return Err(Refusal::NotAPlan(verb));
    }
    let mut title = verb.name();
    if verb.needs_sandbox() {
        title.push(' ');
        title.push_str(sandbox.name());
    }
    if options.stargz {
        title.push_str(" use-stargz");
    }
    Ok(Plan {
        title,
        verb,
        components: components::of(target),
        notes: components::notes(verb),
    })
}

impl Component {
    /// Whether it takes something away, rather than seeing to it that something is so.
    pub fn takes_away(&self) -> bool {
        matches!(self.name, "reset" | "functions")
    }
}

impl Plan {
    /// All steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.components
            .iter()
            .flat_map(|component| &component.steps)
    }

    /// Everything that is downloaded.
    pub fn fetches(&self) -> impl Iterator<Item = &Fetch> {
        self.steps().filter_map(|step| match &step.action {
            Action::Fetch(fetch) => Some(fetch),
            _ => None,
        })
    }

    /// Every package, with its version where it has one.
    pub fn packages(&self) -> impl Iterator<Item = &str> {
        self.steps().flat_map(|step| match &step.action {
            Action::Packages { names, .. } => names.iter().map(String::as_str).collect::<Vec<_>>(),
            _ => Vec::new(),
        })
    }
}
