//! `vhive describe`: one service with its conditions, revisions and instances, and what happened to all of them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cli;
use crate::client::api::{Api, Kind};
use crate::exit::Outcome;
use crate::output::{self, text};

/// The latest events that are shown.
const EVENTS: usize = 20;

pub(crate) async fn run(api: &Api, args: &cli::Named) -> Outcome {
    let service = api.get(Kind::Service, &args.namespace, &args.name).await?;
    let selector = format!("serving.knative.dev/service%3D{}", args.name);
    let revisions = api
        .list(Kind::Revision, Some(&args.namespace), Some(&selector))
        .await?;
    let instances = api
        .list(Kind::Instance, Some(&args.namespace), Some(&selector))
        .await?;
    // Those among them that are not there yet.
    let pods = api
        .list(Kind::Pod, Some(&args.namespace), Some(&selector))
        .await?;
    let mut events = api.rows(Kind::Event, Some(&args.namespace), None).await?;
    let family: BTreeSet<String> = [&service]
        .into_iter()
        .chain(&revisions)
        .chain(&instances)
        .chain(&pods)
        .map(|it| text(it, "/metadata/name"))
        .collect();
    events
        .rows
        .retain(|row| family.contains(&text(&row.object, "/involvedObject/name")));
    output::say(format_args!("Name:       {}", args.name))?;
    output::say(format_args!("Namespace:  {}", args.namespace))?;
    output::say(format_args!(
        "URL:        {}",
        text(&service, "/status/url")
    ))?;
    output::say(format_args!(
        "Image:      {}",
        text(&service, "/spec/template/spec/containers/0/image")
    ))?;
    output::say(format_args!("\nConditions:\n{}", conditions(&service)))?;
    output::say(format_args!("\nTraffic:\n{}", traffic(&service)))?;
    for (title, kind, items) in [
        ("Revisions", Kind::Revision, &revisions),
        ("Instances", Kind::Instance, &instances),
    ] {
        if !items.is_empty() {
            let (header, rows) = output::rows(kind, items, false, true);
            output::say(format_args!("\n{title}:\n{}", output::table(header, rows)))?;
        }
    }
    let (header, rows) = output::printed(events, false, false);
    let older = rows.len().saturating_sub(EVENTS);
    if !rows.is_empty() {
        let rows = rows.into_iter().skip(older);
        output::say(format_args!("\nEvents:\n{}", output::table(header, rows)))?;
    }
    if older > 0 {
        output::say(format_args!(
            "{older} earlier ones: vhive get events -n {}",
            args.namespace
        ))?;
    }
    Ok(())
}

fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn conditions(service: &Value) -> String {
    let rows = list(service, "/status/conditions").map(|it| {
        [
            text(it, "/type"),
            text(it, "/status"),
            text(it, "/reason"),
            text(it, "/message"),
        ]
    });
    output::table(["TYPE", "STATUS", "REASON", "MESSAGE"], rows)
}

fn traffic(service: &Value) -> String {
    let rows = list(service, "/status/traffic").map(|it| {
        [
            format!("{}%", text(it, "/percent")),
            text(it, "/revisionName"),
            text(it, "/tag"),
            text(it, "/url"),
        ]
    });
    output::table(["PERCENT", "REVISION", "TAG", "URL"], rows)
}
