//! `vhive apply`: manifests become services.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli;
use crate::client::api::{Api, Applied, Kind};
use crate::exit::{Code, Failure, Outcome};
use crate::output::{self, condition, text};

pub(crate) async fn run(api: &Api, args: &cli::Apply) -> Outcome {
    let objects = read(&args.file)?;
    if args.name.is_some() && objects.len() > 1 {
        return Err(Failure::usage(
            "a NAME is given, but the manifest has several objects",
        ));
    }
    let objects = prepared(
        objects,
        args.name.as_deref(),
        args.namespace.as_deref(),
        &args.file,
    )?;
    for (kind, object) in objects {
        let stored = put(api, kind, &object).await?;
        if kind == Kind::Service && !args.no_wait {
            await_ready(api, &stored, Duration::from_secs(args.wait_timeout)).await?;
        }
    }
    Ok(())
}

/// The objects of a manifest with what it may leave to the command line, in the order in which they are applied.
pub(crate) fn prepared(
    objects: Vec<Value>,
    name: Option<&str>,
    namespace: Option<&str>,
    file: &Path,
) -> Outcome<Vec<(Kind, Value)>> {
    let mut objects = objects
        .into_iter()
        .map(|object| {
            let mut object = completed(object, name, namespace, file)?;
            let kind = Kind::parse(&text(&object, "/kind"))?;
            if kind == Kind::Namespace
                && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
            {
                // It is in none itself.
                metadata.remove("namespace");
            }
            Ok((kind, object))
        })
        .collect::<Outcome<Vec<_>>>()?;
    // What others are in, and what functions take values and files from, has to be there before they can start.
    objects.sort_by_key(|(kind, _)| match kind {
        Kind::Namespace => 0,
        Kind::ConfigMap | Kind::Secret => 1,
        _ => 2,
    });
    Ok(objects)
}

/// Applies an object, says what that did, and returns it as it is stored.
pub(crate) async fn put(api: &Api, kind: Kind, object: &Value) -> Outcome<Value> {
    let namespace = text(object, "/metadata/namespace");
    let name = text(object, "/metadata/name");
    let (stored, applied) = api.apply(kind, &namespace, object).await?;
    let word = match applied {
        Applied::Created => "created",
        Applied::Configured => "configured",
        Applied::Unchanged => "unchanged",
    };
    output::say(format_args!("{} {name} {word}", kind.name().to_lowercase()))?;
    Ok(stored)
}

/// Waits until a service is ready as it was stored, and says where.
pub(crate) async fn await_ready(api: &Api, stored: &Value, limit: Duration) -> Outcome {
    let namespace = text(stored, "/metadata/namespace");
    let name = text(stored, "/metadata/name");
    let generation = stored
        .pointer("/metadata/generation")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    let ready = wait_ready(api, &namespace, &name, generation, limit).await?;
    output::say(format_args!("ready at {}", text(&ready, "/status/url")))?;
    Ok(())
}

/// All objects of a manifest.
pub(crate) fn read(file: &Path) -> Outcome<Vec<Value>> {
    let content = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?
    } else {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
    };
    parse(&content, file)
}

/// All objects of a manifest's text, which is from `file`.
pub(crate) fn parse(content: &str, file: &Path) -> Outcome<Vec<Value>> {
    let mut objects = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(content) {
        let value = Value::deserialize(document)
            .with_context(|| format!("{} is not YAML or JSON", file.display()))?;
        if !value.is_null() {
            objects.push(value);
        }
    }
    if objects.is_empty() {
        return Err(anyhow!("{} has no object in it", file.display()).into());
    }
    Ok(objects)
}

/// Fills in the name and namespace that a manifest may leave to the command line. Manifests of functions often have no
/// name, since one of them is deployed under many.
fn completed(
    mut object: Value,
    name: Option<&str>,
    namespace: Option<&str>,
    file: &Path,
) -> Outcome<Value> {
    let written = text(&object, "/metadata/name");
    let name = match (name, written.is_empty()) {
        (Some(name), false) if name != written => {
            return Err(Failure::usage(format!(
                "the name {name:?} is given, but the manifest says {written:?}"
            )));
        }
        (Some(name), _) => name.to_owned(),
        (None, false) => written,
        (None, true) => named_after(file)?,
    };
    let Some(root) = object.as_object_mut() else {
        return Err(anyhow!("{} has no object in it", file.display()).into());
    };
    let metadata = root.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        return Err(anyhow!("metadata is not an object").into());
    }
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    } else if metadata.get("namespace").is_none_or(Value::is_null) {
        metadata["namespace"] = json!("default");
    }
    metadata["name"] = json!(name);
    Ok(object)
}

/// `rnn_serving.yaml` names its service `rnn-serving`.
fn named_after(file: &Path) -> Outcome<String> {
    match file.file_stem().and_then(|stem| stem.to_str()) {
        Some(stem) if stem != "-" => Ok(stem.to_lowercase().replace(['_', '.'], "-")),
        _ => Err(Failure::usage("the manifest has no metadata.name")
            .hint("give it: vhive apply NAME -f FILE")),
    }
}

/// How long a failure must last. What was mended a moment ago may be told as broken until the node has looked.
const LASTING: Duration = Duration::from_secs(3);

/// Waits until a service is ready at `generation` or better; a failure that lasts is an error with the revision's own
/// words.
pub(crate) async fn wait_ready(
    api: &Api,
    namespace: &str,
    name: &str,
    generation: i64,
    limit: Duration,
) -> Outcome<Value> {
    let waiting = async {
        loop {
            let mut changes = api.watch(Kind::Service, namespace, name).await?;
            let mut failure = None;
            loop {
                let change = match failure.take() {
                    None => changes.next().await,
                    Some(failure) => match tokio::time::timeout(LASTING, changes.next()).await {
                        Ok(change) => change,
                        Err(_) => return Err(failure),
                    },
                };
                let Some(service) = change else {
                    break;
                };
                let service = service?;
                let observed = service
                    .pointer("/status/observedGeneration")
                    .and_then(Value::as_i64);
                if observed.is_none_or(|observed| observed < generation) {
                    continue;
                }
                match condition(&service, "Ready", "status").as_str() {
                    "True" => return Ok(service),
                    "False" => {
                        let reason = condition(&service, "Ready", "reason");
                        let message = condition(&service, "Ready", "message");
                        let error = anyhow!("service {name} failed: {reason}: {message}");
                        let hint = format!(
                            "look at `vhive describe {name} -n {namespace}` and `vhive logs {name} -n {namespace}`"
                        );
                        failure = Some(Failure::new(Code::Failed, error).hint(hint));
                    }
                    _ => {}
                }
            }
            if api.find(Kind::Service, namespace, name).await?.is_none() {
                return Err(Failure::not_found(format!(
                    "service {name} was deleted while waiting for it"
                )));
            }
        }
    };
    tokio::time::timeout(limit, waiting)
        .await
        .unwrap_or_else(|_| {
            Err(Failure::timed_out(format!(
                "service {name} is not ready after {} s",
                limit.as_secs()
            ))
            .hint(format!("look at `vhive describe {name} -n {namespace}`")))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nameless_manifest_is_named_after_its_file() {
        assert_eq!(
            named_after(Path::new("configs/rnn_serving.yaml")).ok(),
            Some("rnn-serving".to_owned())
        );
        assert!(named_after(Path::new("-")).is_err());
    }
}
