//! `vhive describe`: one service with its conditions, revisions and instances, and what happened to all of them; or one revision, and
//! why it is scaled as it is.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cli;
use crate::client::api::{Api, Kind, Printed};
use crate::exit::Outcome;
use crate::output::{self, text};

/// The latest events that are shown.
const EVENTS: usize = 20;

pub(crate) async fn run(api: &Api, args: &cli::Named) -> Outcome {
    let service = match api.get(Kind::Service, &args.namespace, &args.name).await {
        Err(failure) if failure.is_not_found() => {
            let revision = api
                .find(Kind::Revision, &args.namespace, &args.name)
                .await?;
            return match revision {
                Some(revision) => revision_of(api, args, &revision).await,
                None => Err(failure),
            };
        }
        service => service?,
    };
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
    let family = [&service]
        .into_iter()
        .chain(&revisions)
        .chain(&instances)
        .chain(&pods);
    let events = events_of(api, &args.namespace, family).await?;
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
    listed("Revisions", Kind::Revision, &revisions)?;
    listed("Instances", Kind::Instance, &instances)?;
    happened(events, &args.namespace)
}

/// What happened to some objects.
async fn events_of<'a>(
    api: &Api,
    namespace: &str,
    objects: impl Iterator<Item = &'a Value>,
) -> Outcome<Printed> {
    let mut events = api.rows(Kind::Event, Some(namespace), None).await?;
    let names: BTreeSet<String> = objects.map(|it| text(it, "/metadata/name")).collect();
    events
        .rows
        .retain(|row| names.contains(&text(&row.object, "/involvedObject/name")));
    Ok(events)
}

/// A revision, what scales it, and its instances.
async fn revision_of(api: &Api, args: &cli::Named, revision: &Value) -> Outcome {
    let (namespace, name) = (&args.namespace, &args.name);
    let autoscaler = api.find(Kind::Autoscaler, namespace, name).await?;
    let selector = format!("serving.knative.dev/revision%3D{name}");
    let instances = api
        .list(Kind::Instance, Some(namespace), Some(&selector))
        .await?;
    let pods = api
        .list(Kind::Pod, Some(namespace), Some(&selector))
        .await?;
    let family = [revision].into_iter().chain(&instances).chain(&pods);
    let events = events_of(api, namespace, family).await?;
    output::say(format_args!("Name:       {name}"))?;
    output::say(format_args!("Namespace:  {namespace}"))?;
    output::say(format_args!(
        "Image:      {}",
        text(revision, "/spec/containers/0/image")
    ))?;
    output::say(format_args!("\nConditions:\n{}", conditions(revision)))?;
    if let Some(autoscaler) = autoscaler {
        output::say(format_args!("\nScale:\n{}", scale(&autoscaler)))?;
        output::say(format_args!("\nDecisions:\n{}", decisions(&autoscaler)))?;
    }
    listed("Instances", Kind::Instance, &instances)?;
    happened(events, namespace)
}

/// How many there are and should be, and the load of which that comes.
fn scale(autoscaler: &Value) -> String {
    let of = |field: &str| text(autoscaler, &format!("/status/{field}"));
    let rows = [
        ("Desired", of("desiredScale")),
        ("Ready", of("actualScale")),
        ("Active", output::condition(autoscaler, "Active", "status")),
        ("Target", of("metrics/target")),
        ("Load, stable window", of("metrics/stable")),
        ("Load, panic window", of("metrics/panic")),
        ("Panic", of("metrics/panicking")),
        ("Excess burst capacity", of("metrics/excessBurstCapacity")),
    ];
    let rows = rows
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| [name.to_owned(), value]);
    output::table(["", ""], rows).trim_start().to_owned()
}

/// What was decided lately, newest first.
fn decisions(autoscaler: &Value) -> String {
    let mut rows: Vec<_> = list(autoscaler, "/status/decisions")
        .map(|it| {
            [
                text(it, "/time"),
                text(it, "/desiredScale"),
                text(it, "/reason"),
                text(it, "/message"),
            ]
        })
        .collect();
    rows.reverse();
    output::table(["TIME", "DESIRED", "REASON", "WHY"], rows)
}

fn listed(title: &str, kind: Kind, items: &[Value]) -> Outcome {
    if !items.is_empty() {
        let (header, rows) = output::rows(kind, items, false, true);
        output::say(format_args!("\n{title}:\n{}", output::table(header, rows)))?;
    }
    Ok(())
}

fn happened(events: Printed, namespace: &str) -> Outcome {
    let (header, rows) = output::printed(events, false, false);
    let older = rows.len().saturating_sub(EVENTS);
    if !rows.is_empty() {
        let rows = rows.into_iter().skip(older);
        output::say(format_args!("\nEvents:\n{}", output::table(header, rows)))?;
    }
    if older > 0 {
        output::say(format_args!(
            "{older} earlier ones: vhive get events -n {namespace}"
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
