//! `vhive get`: lists.

use serde_json::Value;

use crate::cli::{self, Format};
use crate::client::api::{Api, Kind};
use crate::exit::Outcome;
use crate::output;

pub(crate) async fn run(api: &Api, args: &cli::Get) -> Outcome {
    let kind = Kind::parse(&args.kind)?;
    let namespace = (!args.all_namespaces).then_some(args.namespace.as_str());
    let yaml = match args.output {
        Some(Format::Json) => false,
        Some(Format::Yaml) => true,
        wide => return print(api, args, (kind, namespace), wide.is_some()).await,
    };
    let items = objects(api, args, (kind, namespace)).await?;
    output::say(output::objects(items, args.name.is_some(), yaml)?)?;
    Ok(())
}

async fn objects(
    api: &Api,
    args: &cli::Get,
    (kind, namespace): (Kind, Option<&str>),
) -> Outcome<Vec<Value>> {
    match &args.name {
        Some(name) => Ok(vec![api.get(kind, &args.namespace, name).await?]),
        None => api.list(kind, namespace, None).await,
    }
}

async fn print(
    api: &Api,
    args: &cli::Get,
    (kind, namespace): (Kind, Option<&str>),
    wide: bool,
) -> Outcome {
    let all = args.all_namespaces;
    let (header, rows) = if matches!(kind, Kind::Pod | Kind::Event) {
        let printed = api.rows(kind, namespace, args.name.as_deref()).await?;
        output::printed(printed, all, wide)
    } else {
        let items = objects(api, args, (kind, namespace)).await?;
        output::rows(kind, &items, all, wide)
    };
    if rows.is_empty() {
        eprintln!("no {} found", args.kind);
    } else {
        output::say(output::table(header, rows))?;
    }
    Ok(())
}
