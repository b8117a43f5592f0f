//! `vhive kubeconfig`: how kubectl and kn reach the node.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, anyhow};
use apiserver::auth::{self, Role, UserError, Users};

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
    let users = Users::under(&folder);
    if let Some(name) = &args.revoke {
        users.revoke(name).map_err(|error| match error {
            UserError::Absent { .. } => Failure::new(Code::NotFound, error),
            error => Failure::from(error),
        })?;
        return Ok(output::say(format_args!("user {name:?} removed"))?);
    }
    let pki = auth::ensure(&folder, &[], SystemTime::now())?;
    let (text, file) = if let Some(name) = &args.user {
        let role = if args.read_only {
            Role::Viewer
        } else {
            Role::Admin
        };
        let token = users.issue(name, role)?;
        let text = auth::user_kubeconfig(&pki, &global.server, name, &token);
        (text, format!("kubeconfig-{name}"))
    } else {
        (
            auth::kubeconfig(&pki, &global.server),
            "kubeconfig".to_owned(),
        )
    };
    if args.path {
        let path = write(&global.data_dir, &file, &text)?;
        output::say(path.display())?;
    } else {
        output::say(text.trim_end())?;
    }
    Ok(())
}

/// Writes it to a file in the data directory, for nobody else to read: it has the client's key or token. Who reads the file
/// meanwhile finds the old text or the new one.
fn write(data_dir: &Path, file: &str, text: &str) -> Outcome<PathBuf> {
    // Whoever is given the path may be in another directory.
    let data_dir = fs::canonicalize(data_dir)
        .with_context(|| format!("cannot find {}", data_dir.display()))?;
    let path = data_dir.join(file);
    let written = tempfile::NamedTempFile::new_in(&data_dir).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.persist(&path).map_err(|error| error.error)
    });
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
