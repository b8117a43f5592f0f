//! Undoing: everything that was noted, newest first.

use std::fs;
use std::io;
use std::path::Path;

use super::journal::Event;
use super::schedule::Failure;
use super::state::{Restore, State};
use super::{Error, Host};
use super::{file, kustomize, packages, process, unit};
use crate::components::LEFTOVERS;
use crate::paths::{ADMIN_CONF, HOME};
use crate::plan::Command;
use crate::verb::Verb;

/// How much is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    All,
    /// The cluster, and what is in it.
    Cluster,
}

/// What would be undone, in order, to be read by people.
pub fn restores(state: &State, extent: Extent) -> Vec<String> {
    let all = state
        .restores
        .iter()
        .rev()
        .filter(|restore| is_within(restore, extent) && !goes_with_cluster(state, restore));
    all.map(describe).collect()
}

/// Undoes. What fails stays noted: the next time begins with it.
pub fn clean(host: &Host, extent: Extent) -> Result<usize, Failure> {
    let failure = |step: String| {
        move |source| Failure::Step {
            title: "clean".to_owned(),
            step,
            source,
        }
    };
    if Path::new(ADMIN_CONF).exists()
        && process::succeeds(&Command::kubectl("get --raw /readyz"), &host.journal)
    {
        let delete = Command::line("kn service delete --all");
        // A cluster that Knative was never put into has no services.
        if process::succeeds(
            &Command::kubectl("get crd services.serving.knative.dev"),
            &host.journal,
        ) {
            process::succeed(&delete, &host.journal).map_err(failure(delete.to_string()))?;
        }
    }
    let mut undone = 0;
    loop {
        let last = host
            .store
            .look()
            .restores
            .iter()
            .rfind(|restore| is_within(restore, extent))
            .cloned();
        let Some(restore) = last else {
            break;
        };
        let what = describe(&restore);
        let skipped = goes_with_cluster(&host.store.look(), &restore);
        if !skipped {
            undo(host, &restore).map_err(failure(what.clone()))?;
            undone += 1;
            host.journal.tell(&Event::Undone { what: &what });
        }
        host.store
            .change(|state| state.restores.retain(|noted| *noted != restore))?;
    }
    if extent == Extent::Cluster {
        host.store
            .change(|state| state.runs.retain(|title, _| !is_of_a_cluster(title)))?;
        return Ok(undone);
    }
    if undone > 0 {
        let reload = Command::line("systemctl daemon-reload");
        process::succeed(&reload, &host.journal).map_err(failure(reload.to_string()))?;
    }
    fs::remove_dir_all(HOME)
        .map_err(Error::file("remove", HOME))
        .map_err(failure(format!("remove {HOME}")))?;
    // Its folder is that of the node's data, too.
    if let Some(folder) = Path::new(HOME).parent() {
        undo(host, &Restore::Folder(folder.to_owned()))
            .map_err(failure(format!("remove {}", folder.display())))?;
    }
    Ok(undone)
}

fn is_within(restore: &Restore, extent: Extent) -> bool {
    let is_key = |path: &Path| path.ends_with(".kube/config") || path.ends_with("masterKey.yaml");
    extent == Extent::All
        || is_cluster(restore)
        || match restore {
            Restore::Objects(_) => true,
            Restore::File { path, .. } => is_key(path),
            Restore::Folder(path) => path.ends_with(".kube"),
            Restore::Command { step, .. } => step.starts_with("zipkin/"),
            Restore::Lines(_) | Restore::Packages(_) | Restore::Unit(_) => false,
        }
}

/// Whether what was asked for is a cluster, or in one.
fn is_of_a_cluster(title: &str) -> bool {
    let verbs = [
        Verb::CreateMultinodeCluster,
        Verb::CreateOneNodeCluster,
        Verb::PrepareOneNodeCluster,
        Verb::SetupMasterNode,
        Verb::StartOnenodeVhiveCluster,
        Verb::JoinCluster,
        Verb::SetupZipkin,
    ];
    verbs
        .iter()
        .any(|verb| title.split(' ').next() == Some(&verb.name()))
}

/// Whether undoing it resets the cluster.
fn is_cluster(restore: &Restore) -> bool {
    matches!(restore, Restore::Command { step, .. } if step == "cluster/init" || step == "member/join")
}

/// Objects need not be deleted one by one from a cluster that is reset.
fn goes_with_cluster(state: &State, restore: &Restore) -> bool {
    matches!(restore, Restore::Objects(_)) && state.restores.iter().any(is_cluster)
}

fn describe(restore: &Restore) -> String {
    match restore {
        Restore::File { path, was: None } => format!("remove {}", path.display()),
        Restore::File { path, was: Some(_) } => format!("restore {}", path.display()),
        Restore::Folder(path) => format!("remove the folder {}, if it is empty", path.display()),
        Restore::Lines(path) => format!("uncomment lines of {}", path.display()),
        Restore::Packages(names) => format!("remove the packages {}", names.join(" ")),
        Restore::Unit(name) => format!("stop and disable {name}"),
        Restore::Command { command, .. } if is_cluster(restore) => {
            let left: Vec<&str> = LEFTOVERS.iter().map(|left| left.what).collect();
            format!("run {command}, and remove {}", left.join(", "))
        }
        Restore::Command { command, .. } => format!("run {command}"),
        Restore::Objects(folder) => {
            format!("delete what {} put into the cluster", folder.display())
        }
    }
}

fn undo(host: &Host, restore: &Restore) -> Result<(), Error> {
    match restore {
        Restore::File { path, was } => file::restore(path, was.as_deref()),
        Restore::Folder(path) => match fs::remove_dir(path) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                Ok(())
            }
            other => other.map_err(Error::file("remove", path)),
        },
        Restore::Lines(path) => file::uncomment(path),
        Restore::Packages(names) => packages::remove(host, names),
        Restore::Unit(name) => unit::restore(host, name),
        Restore::Command { command, .. } => {
            process::succeed(command, &host.journal)?;
            if is_cluster(restore) {
                for left in LEFTOVERS {
                    process::succeed(&Command::shell(left.line), &host.journal)?;
                }
            }
            Ok(())
        }
        Restore::Objects(folder) => {
            let delete = kustomize("delete --ignore-not-found", folder);
            process::succeed(&delete, &host.journal).map(|_| ())
        }
    }
}
