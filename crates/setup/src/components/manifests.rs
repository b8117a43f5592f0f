//! Manifests of others, with our changes to them: a folder that `kubectl apply -k` reads.

use std::path::PathBuf;
use std::time::Duration;

use crate::paths::MANIFESTS;
use crate::plan::{Action, Check, Command, Fetch, Fetched, Published, Step};

/// The folder of a component.
pub(super) fn folder(name: &str) -> PathBuf {
    PathBuf::from(MANIFESTS).join(name)
}

/// A manifest of somebody else's, as it is.
pub(super) fn fetched(
    step: &'static str,
    why: &'static str,
    folder: &str,
    url: String,
    published: Published,
) -> Step {
    let file = url.rsplit('/').next().unwrap_or_default().to_owned();
    Step::new(
        step,
        why,
        Action::Fetch(Fetch {
            url,
            published,
            files: vec![Fetched {
                member: None,
                to: self::folder(folder).join(file),
                mode: 0o644,
            }],
        }),
    )
}

/// Where Knative publishes checksums: one list beside all files of a release.
pub(super) fn beside(url: &str) -> Published {
    let folder = url.rsplit_once('/').map_or("", |(folder, _)| folder);
    Published::At(format!("{folder}/checksums.txt"))
}

/// A file of ours in the folder.
pub(super) fn written(
    step: &'static str,
    why: &'static str,
    folder: &str,
    file: &str,
    content: String,
) -> Step {
    Step::new(
        step,
        why,
        Action::Write {
            path: self::folder(folder).join(file),
            content,
            mode: 0o644,
        },
    )
}

/// All of the folder is in the cluster.
pub(super) fn applied(step: &'static str, why: &'static str, folder: &str) -> Step {
    Step::new(
        step,
        why,
        Action::Apply {
            folder: self::folder(folder),
            check: None,
        },
    )
}

/// The deployments of a namespace answer.
pub(super) fn available(
    step: &'static str,
    what: &'static str,
    deployments: &str,
    namespace: &str,
) -> Step {
    let line = format!("-n {namespace} wait {deployments} --for=condition=Available --timeout=10s");
    Step::new(
        step,
        "what comes next asks it",
        Action::Wait {
            what,
            check: Check::Succeeds(Command::kubectl(&line)),
            timeout: Duration::from_secs(600),
        },
    )
}
