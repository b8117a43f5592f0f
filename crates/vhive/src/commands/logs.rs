//! `vhive logs`: what a function printed.

use std::io::Write;

use anyhow::Context;
use futures_util::StreamExt;
use serde_json::Value;

use crate::cli;
use crate::client::api::{Api, Kind};
use crate::exit::{Failure, Outcome};
use crate::output::text;

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
        .await?;
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

/// The newest instance of a service that is ready; without one, the newest of all, ended ones included.
async fn newest(api: &Api, args: &cli::Logs) -> Outcome<String> {
    api.get(Kind::Service, &args.namespace, &args.name).await?;
    let selector = format!("serving.knative.dev/service%3D{}", args.name);
    let instances = api
        .list(Kind::Instance, Some(&args.namespace), Some(&selector))
        .await?;
    let order = |it: &&Value| {
        let running = text(it, "/status/phase") == "Running";
        (running, text(it, "/metadata/creationTimestamp"))
    };
    let newest = instances.iter().max_by_key(order).ok_or_else(|| {
        Failure::not_found(format!(
            "service {} has had no instance since the node started",
            args.name
        ))
        .hint(format!("invoke it: vhive invoke {}", args.name))
    })?;
    Ok(text(newest, "/metadata/name"))
}
