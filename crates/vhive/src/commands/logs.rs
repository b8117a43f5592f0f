//! `vhive logs`: what a function printed.

use std::io::Write;

use anyhow::Context;
use futures_util::StreamExt;
use serde_json::Value;

use crate::cli;
use crate::client::api::{Api, Kind};
use crate::exit::{Failure, Outcome};
use crate::output::{condition, text};

pub(crate) async fn run(api: &Api, args: &cli::Logs) -> Outcome {
    let instance = match api
        .find(Kind::Instance, &args.namespace, &args.name)
        .await?
    {
        Some(_) => args.name.clone(),
        None => newest(api, args).await?,
    };
    let mut log = api
        .log(&args.namespace, &instance, args.follow, args.tail)
        .await
        .map_err(|failure| {
            failure.hint(format!(
                "`vhive get events -n {}` shows what happened",
                args.namespace
            ))
        })?;
    let mut stdout = std::io::stdout().lock();
    while let Some(chunk) = log.next().await {
        let chunk = chunk.context("the log broke off")?;
        let written = stdout.write_all(&chunk).and_then(|()| stdout.flush());
        match written {
            // The reader has seen enough, as in `vhive logs f -f | head`.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => break,
            written => written.context("cannot write to standard output")?,
        }
    }
    Ok(())
}

/// The newest instance of a service that is ready; without one, the newest of all, ended ones included. Where there has been none,
/// the one that is to come, which has no log and says what it waits for.
async fn newest(api: &Api, args: &cli::Logs) -> Outcome<String> {
    api.get(Kind::Service, &args.namespace, &args.name).await?;
    let selector = format!("serving.knative.dev/service%3D{}", args.name);
    for kind in [Kind::Instance, Kind::Pod] {
        let found = api
            .list(kind, Some(&args.namespace), Some(&selector))
            .await?;
        if let Some(chosen) = chosen(&found) {
            return Ok(text(chosen, "/metadata/name"));
        }
    }
    let none = Failure::not_found(format!(
        "service {} has had no instance since the node started",
        args.name
    ));
    Err(none.hint(format!("invoke it: vhive invoke {}", args.name)))
}

/// By the condition and not by the phase: one that is being stopped, or saved, is `Running` too.
fn chosen(instances: &[Value]) -> Option<&Value> {
    instances.iter().max_by_key(|it| {
        let ready = condition(it, "Ready", "status") == "True";
        (ready, text(it, "/metadata/creationTimestamp"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_that_is_ready_is_chosen_and_else_the_newest() {
        let instance = |name: &str, phase: &str, ready: &str, second: u32| {
            json!({
                "metadata": {"name": name, "creationTimestamp": format!("2026-01-02T03:04:0{second}Z")},
                "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
            })
        };
        let ready = instance("ready", "Running", "True", 2);
        let draining = instance("draining", "Running", "False", 3);
        let ended = instance("ended", "Succeeded", "False", 4);
        let first = instance("first", "Running", "True", 1);
        for (instances, expected) in [
            (vec![&first, &ready, &draining, &ended], "ready"),
            (vec![&draining, &ended], "ended"),
        ] {
            let instances: Vec<Value> = instances.into_iter().cloned().collect();
            let name = chosen(&instances).map(|it| text(it, "/metadata/name"));
            assert_eq!(name.as_deref(), Some(expected));
        }
        assert_eq!(chosen(&[]), None);
    }
}
