//! Which cluster the deployer means: the node's, or one that a kubeconfig names.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use load::cluster::{Access, Cluster};

use crate::cli::Global;
use crate::exit::{Code, Failure, Outcome};

/// A kubeconfig that is named; or else the node of the data directory, if one has run there; or else what kubectl takes.
pub(crate) fn cluster(global: &Global, kubeconfig: Option<&str>) -> Outcome<Cluster> {
    let access = match kubeconfig.filter(|it| !it.is_empty()) {
        Some(files) => from_kubeconfig(files)?,
        None => match node(global)? {
            Some(access) => access,
            None => of_the_user(global)?,
        },
    };
    Ok(Cluster::new(access)?)
}

fn from_kubeconfig(files: &str) -> Outcome<Access> {
    Access::from_kubeconfig(files).map_err(|error| {
        Failure::from(error).hint("--kubeconfig, or KUBECONFIG in the environment, names the file")
    })
}

/// By the certificate that the node made at its first start.
fn node(global: &Global) -> Outcome<Option<Access>> {
    let folder = node::pki_dir(&global.data_dir);
    if !folder.is_dir() {
        return Ok(None);
    }
    let read = |name: &str| {
        let path: PathBuf = folder.join(name);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let denied = |error: anyhow::Error| {
        Failure::from(error)
            .hint("run it with sudo, or name the cluster: `vhive kubeconfig --user NAME` makes a kubeconfig for others")
    };
    Ok(Some(Access {
        server: global.server.clone(),
        ca: Some(read("ca.pem").map_err(denied)?),
        identity: Some(read("client.pem").map_err(denied)?),
        source: format!("the node of {}", global.data_dir.display()),
        ..Access::default()
    }))
}

fn of_the_user(global: &Global) -> Outcome<Access> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let file = home.map(|home| home.join(".kube/config"));
    match file.filter(|file: &PathBuf| Path::is_file(file)) {
        Some(file) => from_kubeconfig(&file.to_string_lossy()),
        None => Err(Failure::new(
            Code::Failed,
            anyhow!(
                "there is no node in {}, and no ~/.kube/config",
                global.data_dir.display()
            ),
        )
        .hint("start a node with `vhive up`, or name a cluster with --kubeconfig FILE")),
    }
}
