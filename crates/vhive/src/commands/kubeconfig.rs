//! `vhive kubeconfig`: how kubectl and kn reach the node.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, anyhow};

use crate::cli::{Global, Kubeconfig};
use crate::exit::{Code, Failure, Outcome};
use crate::output;

pub(crate) fn run(global: &Global, args: &Kubeconfig) -> Outcome {
    let folder = node::pki_dir(&global.data_dir);
    if !folder.is_dir() {
        return Err(
            Failure::new(Code::Failed, anyhow!("{} is not there", folder.display()))
                .hint("start a node with `vhive up` first, and use its --data-dir here"),
        );
    }
    let pki = apiserver::auth::ensure(&folder, &[], SystemTime::now())?;
    let text = apiserver::auth::kubeconfig(&pki, &global.server);
    if args.path {
        let path = write(&global.data_dir, &text)?;
        output::say(path.display())?;
    } else {
        output::say(text.trim_end())?;
    }
    Ok(())
}

/// Writes it to `kubeconfig` in the data directory, for nobody else to read: it has the client's key. Who reads the file
/// meanwhile finds the old text or the new one.
fn write(data_dir: &Path, text: &str) -> Outcome<PathBuf> {
    // Whoever is given the path may be in another directory.
    let data_dir = fs::canonicalize(data_dir)
        .with_context(|| format!("cannot find {}", data_dir.display()))?;
    let path = data_dir.join("kubeconfig");
    let written = tempfile::NamedTempFile::new_in(&data_dir).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.persist(&path).map_err(|error| error.error)
    });
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
