//! `vhive functions deploy`: from a name to a URL.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::build::Builder;
use super::catalogue::Function;
use crate::cli::{FunctionsDeploy, Global};
use crate::client::api::{Api, Kind};
use crate::commands::apply;
use crate::exit::{Failure, Outcome};
use crate::output::text;

/// The digest of the image that was deployed. A revision keeps the image that it was made of, so that it takes another template to run
/// one that was made anew.
const DIGEST: &str = "client.vhive.dev/image-digest";

pub(super) async fn run(global: &Global, args: &FunctionsDeploy) -> Outcome {
    if args.name.is_some() && args.functions.len() > 1 {
        return Err(Failure::usage("--name is for one function")
            .hint("deploy them one by one, or leave the names to them"));
    }
    let named = args.functions.iter().map(|word| Function::named(word));
    let functions = named.collect::<Outcome<Vec<_>>>()?;
    // Before images are made, which may take long: whether there is a node.
    let api = Api::new(&global.server, &global.data_dir)?;
    api.list(Kind::Namespace, None, None).await?;
    let builder = Builder::new(global)?;
    let mut services = Vec::new();
    for function in &functions {
        let digest = match (function, builder.built(function)?) {
            (Function::Sample(_), Some(digest)) if !args.rebuild => digest,
            _ => builder.build(function).await?,
        };
        for object in objects(function, &digest, args)? {
            let (kind, object) = object;
            let stored = apply::put(&api, kind, &object).await?;
            if kind == Kind::Service {
                services.push((function, stored));
            }
        }
    }
    if args.no_wait {
        return Ok(());
    }
    let limit = Duration::from_secs(args.wait_timeout);
    for (function, stored) in services {
        apply::await_ready(&api, &stored, limit).await?;
        eprintln!("call it: {}", invocation(global, function, &stored));
    }
    Ok(())
}

/// What is applied: the function's manifest, its services as often as is asked for.
fn objects(
    function: &Function,
    digest: &str,
    args: &FunctionsDeploy,
) -> Outcome<Vec<(Kind, Value)>> {
    let mut objects = Vec::new();
    for mut object in function.manifest()? {
        if text(&object, "/kind") != "Service" {
            objects.push(object);
            continue;
        }
        let name = match (&args.name, text(&object, "/metadata/name")) {
            (Some(name), _) => name.clone(),
            // Those of samples have none: a name of Kubernetes has no underscores.
            (None, written) if written.is_empty() => function.title().replace('_', "-"),
            (None, written) => written,
        };
        let annotations = object
            .pointer_mut("/spec/template")
            .and_then(|template| mapping(template, "metadata"))
            .and_then(|metadata| mapping(metadata, "annotations"));
        let Some(Value::Object(annotations)) = annotations else {
            return Err(anyhow!(
                "the manifest of {name} has no spec.template that can be annotated"
            )
            .into());
        };
        annotations.insert(DIGEST.to_owned(), json!(digest));
        let names = match args.count {
            None => vec![name],
            Some(count) => (0..count)
                .map(|number| format!("{name}-{number}"))
                .collect(),
        };
        for name in names {
            let mut service = object.clone();
            let Some(Value::Object(metadata)) = mapping(&mut service, "metadata") else {
                return Err(anyhow!("metadata of the manifest of {name} is not an object").into());
            };
            metadata.insert("name".to_owned(), json!(name));
            objects.push(service);
        }
    }
    apply::prepared(
        objects,
        None,
        Some(&args.namespace),
        Path::new("the manifest"),
    )
}

/// A field of an object, which is made an empty object if it is not there.
fn mapping<'a>(object: &'a mut Value, field: &str) -> Option<&'a mut Value> {
    let value = object.as_object_mut()?.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    Some(value)
}

/// The command that calls it, with what the next one would not know by itself.
fn invocation(global: &Global, function: &Function, service: &Value) -> String {
    let mut line = "vhive".to_owned();
    let unset = |name: &str| std::env::var_os(name).is_none();
    if global.data_dir != Path::new("/var/lib/vhive") && unset("VHIVE_DATA_DIR") {
        line = format!("{line} --data-dir {}", global.data_dir.display());
    }
    if global.server != "https://127.0.0.1:7443" && unset("VHIVE_SERVER") {
        line = format!("{line} --server {}", global.server);
    }
    line = format!("{line} invoke {}", text(service, "/metadata/name"));
    let namespace = text(service, "/metadata/namespace");
    if namespace != "default" {
        line = format!("{line} -n {namespace}");
    }
    if matches!(function, Function::Sample(_)) {
        line += " --data hello";
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(count: Option<usize>, name: Option<&str>) -> FunctionsDeploy {
        FunctionsDeploy {
            functions: vec!["rnn_serving".to_owned()],
            count,
            name: name.map(str::to_owned),
            namespace: "default".to_owned(),
            rebuild: false,
            no_wait: false,
            wait_timeout: 1,
        }
    }

    fn names(args: &FunctionsDeploy) -> Vec<String> {
        let function = Function::named("rnn_serving").unwrap();
        let objects = objects(&function, "sha256:1", args).unwrap();
        for (_, object) in &objects {
            let digest = &object["spec"]["template"]["metadata"]["annotations"][DIGEST];
            assert_eq!(digest, "sha256:1");
        }
        objects
            .iter()
            .map(|(_, object)| text(object, "/metadata/name"))
            .collect()
    }

    #[test]
    fn services_are_named_as_the_deployer_names_them() {
        assert_eq!(names(&args(None, None)), ["rnn-serving"]);
        assert_eq!(
            names(&args(Some(2), None)),
            ["rnn-serving-0", "rnn-serving-1"]
        );
        assert_eq!(names(&args(Some(1), Some("x"))), ["x-0"]);
        assert_eq!(names(&args(None, Some("x"))), ["x"]);
    }
}
