//! Discovery: how `kubectl` learns which resources there are.

use api::Resource;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE, request::Parts};
use serde_json::{Value, json};

use super::{
    Answer, Elsewhere,
    accept::{self, Form},
    error::Failure,
    path::Target,
    value_response,
};

const VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const STATUS_VERBS: [&str; 3] = ["get", "patch", "update"];
const AGGREGATED: [Form; 2] = [
    Form::AggregatedDiscovery("v2"),
    Form::AggregatedDiscovery("v2beta1"),
];

/// A resource as discovery shows it.
struct Entry {
    resource: Resource,
    verbs: Vec<&'static str>,
    /// Each with its verbs.
    subresources: Vec<(&'static str, Vec<&'static str>)>,
}

/// Names under which `kubectl get` finds several kinds at once.
fn categories(resource: &Resource) -> &'static [&'static str] {
    match (resource.group, resource.plural) {
        ("serving.knative.dev", _) => &["all", "knative", "serving"],
        ("", "pods" | "services") => &["all"],
        _ => &[],
    }
}

/// Everything there is: what is stored, and what is served elsewhere.
fn entries(elsewhere: &[Elsewhere]) -> Vec<Entry> {
    let stored = api::kinds().iter().map(|resource| Entry {
        resource: *resource,
        verbs: VERBS
            .into_iter()
            .filter(|verb| resource.namespaced || *verb != "deletecollection")
            .collect(),
        subresources: vec![("status", STATUS_VERBS.to_vec())],
    });
    let others = elsewhere.iter().map(|other| Entry {
        resource: other.resource,
        verbs: other.verbs.to_vec(),
        subresources: other
            .subresources
            .iter()
            .map(|name| (*name, vec!["get"]))
            .collect(),
    });
    stored.chain(others).collect()
}

/// Group, plural and subresource of everything there is.
pub(super) fn parts(elsewhere: &[Elsewhere]) -> impl Iterator<Item = (String, String, String)> {
    entries(elsewhere).into_iter().flat_map(|entry| {
        let subresources = entry.subresources.into_iter().map(|(name, _)| name);
        std::iter::once("").chain(subresources).map(move |name| {
            let resource = entry.resource;
            (
                resource.group.to_owned(),
                resource.plural.to_owned(),
                name.to_owned(),
            )
        })
    })
}

/// A path that is only known because of what is served elsewhere: its group, or its version.
pub(super) fn elsewhere<'a>(path: &'a str, elsewhere: &'a [Elsewhere]) -> Option<Target<'a>> {
    let segments: Vec<&str> = path.trim_end_matches('/').split('/').skip(1).collect();
    let (group, version) = match *segments.as_slice() {
        ["api", version] => ("", version),
        ["apis", group] => {
            let known = elsewhere.iter().any(|other| other.resource.group == group);
            return known.then_some(Target::Group(group));
        }
        ["apis", group, version] => (group, version),
        _ => return None,
    };
    // The core group is announced, so it is there even when it is empty.
    let known = (group, version) == ("", "v1")
        || elsewhere
            .iter()
            .any(|other| (other.resource.group, other.resource.version) == (group, version));
    known.then_some(Target::Version { group, version })
}

pub(super) fn core_versions(parts: &Parts, elsewhere: &[Elsewhere]) -> Answer {
    if let Some(answer) = aggregated(parts, elsewhere, true)? {
        return Ok(answer);
    }
    let versions =
        json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []});
    Ok(value_response(StatusCode::OK, &versions))
}

pub(super) fn groups(parts: &Parts, elsewhere: &[Elsewhere]) -> Answer {
    if let Some(answer) = aggregated(parts, elsewhere, false)? {
        return Ok(answer);
    }
    let groups: Vec<Value> = versions(&entries(elsewhere), false)
        .iter()
        .map(|(group, version)| group_of(group, version))
        .collect();
    Ok(value_response(
        StatusCode::OK,
        &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
    ))
}

pub(super) fn group(parts: &Parts, group: &str, elsewhere: &[Elsewhere]) -> Answer {
    accept::negotiate(&parts.headers, &[])?;
    let entries = entries(elsewhere);
    let (group, version) = versions(&entries, false)
        .into_iter()
        .find(|(name, _)| *name == group)
        .ok_or_else(Failure::no_path)?;
    let mut document = group_of(group, version);
    document["kind"] = "APIGroup".into();
    document["apiVersion"] = "v1".into();
    Ok(value_response(StatusCode::OK, &document))
}

pub(super) fn version(
    parts: &Parts,
    group: &str,
    version: &str,
    elsewhere: &[Elsewhere],
) -> Answer {
    accept::negotiate(&parts.headers, &[])?;
    let mut resources = Vec::new();
    for entry in entries(elsewhere) {
        let resource = entry.resource;
        if (resource.group, resource.version) != (group, version) {
            continue;
        }
        resources.push(json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": entry.verbs, "shortNames": resource.short_names,
            "categories": categories(&resource),
        }));
        for (name, verbs) in entry.subresources {
            resources.push(json!({
                "name": format!("{}/{name}", resource.plural), "singularName": "",
                "namespaced": resource.namespaced, "kind": resource.kind, "verbs": verbs,
            }));
        }
    }
    let document = json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") },
        "resources": resources,
    });
    Ok(value_response(StatusCode::OK, &document))
}

/// The document that has it all, if the client wants that: for the core group, or for all others.
fn aggregated(
    parts: &Parts,
    elsewhere: &[Elsewhere],
    core: bool,
) -> Result<Option<Response>, Failure> {
    let Form::AggregatedDiscovery(form) = accept::negotiate(&parts.headers, &AGGREGATED)? else {
        return Ok(None);
    };
    let entries = entries(elsewhere);
    let items: Vec<Value> = versions(&entries, core)
        .into_iter()
        .map(|(group, version)| {
            let resources: Vec<Value> = entries
                .iter()
                .filter(|entry| (entry.resource.group, entry.resource.version) == (group, version))
                .map(aggregated_resource)
                .collect();
            json!({
                "metadata": {"name": group, "creationTimestamp": null},
                "versions": [{"version": version, "resources": resources, "freshness": "Current"}],
            })
        })
        .collect();
    let document = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{form}"),
        "metadata": {},
        "items": items,
    });
    let mut answer = value_response(StatusCode::OK, &document);
    // A client tells the forms apart by the content type.
    let media_type =
        format!("application/json;g=apidiscovery.k8s.io;v={form};as=APIGroupDiscoveryList");
    if let Ok(media_type) = HeaderValue::from_str(&media_type) {
        answer.headers_mut().insert(CONTENT_TYPE, media_type);
    }
    Ok(Some(answer))
}

fn aggregated_resource(entry: &Entry) -> Value {
    let resource = &entry.resource;
    let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let subresources: Vec<Value> = entry
        .subresources
        .iter()
        .map(|(name, verbs)| json!({"subresource": name, "responseKind": kind, "verbs": verbs}))
        .collect();
    json!({
        "resource": resource.plural,
        "responseKind": kind,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": entry.verbs,
        "shortNames": resource.short_names,
        "categories": categories(resource),
        "subresources": subresources,
    })
}

/// Group and version of everything, each once: the core group's, or the others'. A group has one version.
fn versions(entries: &[Entry], core: bool) -> Vec<(&'static str, &'static str)> {
    let mut versions = Vec::new();
    if core {
        versions.push(("", "v1"));
    }
    for Entry { resource, .. } in entries {
        let version = (resource.group, resource.version);
        if resource.group.is_empty() == core && !versions.contains(&version) {
            versions.push(version);
        }
    }
    versions
}

fn group_of(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

/// The list of what defines further kinds, which is empty: `kubectl` reads it when a manifest is of a kind that no schema has, and
/// only then says that there is no such kind.
pub(super) async fn definitions() -> Response {
    value_response(
        StatusCode::OK,
        &json!({
            "kind": "CustomResourceDefinitionList",
            "apiVersion": "apiextensions.k8s.io/v1",
            "metadata": {"resourceVersion": "1"},
            "items": [],
        }),
    )
}
