//! `vhive kubeconfig`: how kubectl and kn reach the node.

use std::time::SystemTime;

use anyhow::anyhow;

use crate::cli::Global;
use crate::exit::{Code, Failure, Outcome};
use crate::output;

pub(crate) fn run(global: &Global) -> Outcome {
    let folder = node::pki_dir(&global.data_dir);
    if !folder.is_dir() {
        return Err(
            Failure::new(Code::Failed, anyhow!("{} is not there", folder.display()))
                .hint("start a node with `vhive up` first, and use its --data-dir here"),
        );
    }
    let pki = apiserver::auth::ensure(&folder, &[], SystemTime::now())?;
    output::say(apiserver::auth::kubeconfig(&pki, &global.server).trim_end())?;
    Ok(())
}
