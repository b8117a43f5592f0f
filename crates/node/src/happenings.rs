//! What plans do to objects that is worth an event, in the words of Knative's reconcilers.

use api::serving::Service;
use control::Object;
use serde_json::Value;

use crate::shown::{About, Recorder};

/// An object was made for another.
pub(crate) fn created(object: &Object, events: &Recorder) {
    let metadata = object.metadata();
    let Some(owner) = metadata.controller() else {
        return;
    };
    let about = About {
        api_version: owner.api_version.clone(),
        kind: owner.kind.clone(),
        namespace: metadata.namespace.clone(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
    };
    let message = format!("Created {} {:?}", object.resource().kind, metadata.name);
    events.normal(&about, "Created", message);
}

/// The status of an object was written, where there was `before`.
pub(crate) fn status_written(object: &Object, before: &Value, events: &Recorder) {
    let (metadata, resource) = (object.metadata(), object.resource());
    let Ok(after) = object.to_value() else {
        return;
    };
    let about = About {
        api_version: resource.api_version(),
        kind: resource.kind.to_owned(),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
    };
    for (warning, reason, message) in news(resource.kind, before, &after) {
        if warning {
            events.warning(&about, &reason, message);
        } else {
            events.normal(&about, &reason, message);
        }
    }
}

/// Whether it is a warning, a reason and a message.
type News = (bool, String, String);

fn news(kind: &str, before: &Value, after: &Value) -> Vec<News> {
    let mut news = Vec::new();
    let (was, is) = (ready(before), ready(after));
    if was.status != is.status {
        match is.status {
            "True" => news.push((false, format!("{kind}Ready"), becomes_ready(kind, after))),
            "False" => news.push((true, is.reason.to_owned(), is.message.to_owned())),
            _ => {}
        }
    }
    let latest = |object: &Value| text(object, "/status/latestReadyRevisionName").to_owned();
    let revision = latest(after);
    // A Service repeats what its Configuration says.
    if kind != Service::KIND && !revision.is_empty() && revision != latest(before) {
        let message = format!("LatestReadyRevisionName updated to {revision:?}");
        news.push((false, "LatestReadyUpdate".to_owned(), message));
    }
    news
}

fn becomes_ready(kind: &str, object: &Value) -> String {
    match (kind, text(object, "/status/url")) {
        ("Revision", _) => "Revision becomes ready upon all resources being ready".to_owned(),
        (_, "") => format!("{kind} becomes ready"),
        (_, url) => format!("{kind} becomes ready at {url}"),
    }
}

/// The condition of that name.
#[derive(Default)]
struct Ready<'a> {
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

fn ready(object: &Value) -> Ready<'_> {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions
        .find(|it| it["type"] == "Ready")
        .map(|it| Ready {
            status: text(it, "/status"),
            reason: text(it, "/reason"),
            message: text(it, "/message"),
        })
        .unwrap_or_default()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(status: &str) -> Value {
        json!({"status": {
            "url": "http://a", "latestReadyRevisionName": "a-00001",
            "conditions": [{"type": "Ready", "status": status, "reason": "R", "message": "m"}],
        }})
    }

    fn reasons(kind: &str, before: &Value, after: &Value) -> Vec<(bool, String)> {
        let news = news(kind, before, after).into_iter();
        news.map(|(warning, reason, _)| (warning, reason)).collect()
    }

    #[test]
    fn becoming_ready_and_failing_are_told_once() {
        let (good, bad, unknown) = (object("True"), object("False"), object("Unknown"));
        let told = |before, after| reasons("Service", before, after);
        assert_eq!(told(&unknown, &good), [(false, "ServiceReady".to_owned())]);
        assert_eq!(told(&good, &bad), [(true, "R".to_owned())]);
        assert_eq!(told(&good, &good), []);
        assert_eq!(told(&bad, &unknown), []);
        let message = news("Service", &unknown, &good).remove(0).2;
        assert_eq!(message, "Service becomes ready at http://a");
    }

    #[test]
    fn a_configuration_tells_which_revision_is_the_latest_that_is_ready() {
        let good = object("True");
        assert_eq!(
            reasons("Configuration", &json!({}), &good),
            [
                (false, "ConfigurationReady".to_owned()),
                (false, "LatestReadyUpdate".to_owned())
            ]
        );
        assert_eq!(reasons("Configuration", &good, &good), []);
    }
}
