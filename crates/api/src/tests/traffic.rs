//! Shares of traffic.

use serde_json::{Value, json};

use super::{refused, sound, taken};
use crate::admit;
use crate::resource::ROUTES;

fn split(traffic: &Value) -> Value {
    sound(&json!({"spec": {"traffic": traffic}}))
}

#[test]
fn shares_sum_to_a_hundred() {
    let sum = |shares: &[i64], expected: i64| {
        let targets: Vec<Value> = shares.iter().map(|it| json!({"percent": it})).collect();
        (
            split(&json!(targets)),
            format!("Traffic targets sum to {expected}, want 100: spec.traffic"),
        )
    };
    refused([
        sum(&[99], 99),
        sum(&[60, 60], 120),
        sum(&[0], 0),
        sum(&[50, 0, 49], 99),
        (
            split(&json!([{"revisionName": "svc-00001"}])),
            "Traffic targets sum to 0, want 100: spec.traffic".to_owned(),
        ),
        (
            split(&json!([{"percent": 101}])),
            "Traffic targets sum to 101, want 100: spec.traffic\n\
             expected 0 <= 101 <= 100: spec.traffic[0].percent"
                .to_owned(),
        ),
        (
            split(&json!([{"percent": -1}, {"percent": 101}])),
            "expected 0 <= -1 <= 100: spec.traffic[0].percent\n\
             expected 0 <= 101 <= 100: spec.traffic[1].percent"
                .to_owned(),
        ),
    ]);
    taken([
        split(
            &json!([{"percent": 100}, {"percent": 0, "tag": "next"}, {"tag": "old", "revisionName": "svc-00001"}]),
        ),
        split(&json!([{"percent": 1}, {"percent": 99, "revisionName": "svc-00001"}])),
    ]);
}

#[test]
fn a_tag_is_the_beginning_of_a_host_and_there_is_one_of_it() {
    const RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                        alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', \
                        regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
    let tags = |tags: &[&str]| {
        let mut targets: Vec<Value> = tags.iter().map(|tag| json!({"tag": tag})).collect();
        targets.push(json!({"percent": 100}));
        split(&json!(targets))
    };
    let long = "t".repeat(64);
    refused([
        (
            tags(&["blue", "green", "blue"]),
            "Multiple definitions for \"blue\": spec.traffic[0].tag, spec.traffic[2].tag"
                .to_owned(),
        ),
        (
            tags(&["a", "a", "a"]),
            "Multiple definitions for \"a\": spec.traffic[0].tag, spec.traffic[1].tag, spec.traffic[2].tag"
                .to_owned(),
        ),
        (
            tags(&["v1.2"]),
            format!("invalid value: not a DNS 1035 label: [{RULE}]: spec.traffic.tag[0]"),
        ),
        (
            tags(&["ok", "2nd"]),
            format!("invalid value: not a DNS 1035 label: [{RULE}]: spec.traffic.tag[1]"),
        ),
        (
            tags(&["-", "Blue"]),
            format!(
                "invalid value: not a DNS 1035 label: [{RULE}]: spec.traffic.tag[0], spec.traffic.tag[1]"
            ),
        ),
        (
            tags(&[&long]),
            "invalid value: not a DNS 1035 label: [must be no more than 63 characters]: spec.traffic.tag[0]"
                .to_owned(),
        ),
    ]);
    taken([tags(&["a", "b-1", "current"])]);
}

#[test]
fn a_target_says_once_what_it_follows() {
    let target = |fields: Value| {
        let mut target = fields;
        target["percent"] = json!(100);
        split(&json!([target]))
    };
    let rule = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    refused([
        (
            target(json!({"latestRevision": true, "revisionName": "svc-00007"})),
            "may not set revisionName \"svc-00007\" when latestRevision is true: spec.traffic[0].latestRevision"
                .to_owned(),
        ),
        (
            target(json!({"latestRevision": false})),
            "may not set revisionName \"\" when latestRevision is false: spec.traffic[0].latestRevision"
                .to_owned(),
        ),
        (
            target(json!({"configurationName": "other"})),
            "must not set the field(s): spec.traffic[0].configurationName".to_owned(),
        ),
        (
            target(json!({"configurationName": "other", "revisionName": "a"})),
            "must not set the field(s): spec.traffic[0].configurationName".to_owned(),
        ),
        (
            target(json!({"url": "http://svc.example.com"})),
            "must not set the field(s): spec.traffic[0].url".to_owned(),
        ),
        (
            target(json!({"revisionName": "svc 1"})),
            format!("invalid key name \"svc 1\": spec.traffic[0].revisionName\n{rule}"),
        ),
        (
            target(json!({"revisionName": "/"})),
            format!(
                "invalid key name \"/\": spec.traffic[0].revisionName\nprefix part must be non-empty, \
                 name part must be non-empty, {rule}"
            ),
        ),
    ]);
}

#[test]
fn a_route_that_nobody_owns_names_what_it_follows() {
    let route = |traffic: Value| json!({"metadata": {"name": "r"}, "spec": {"traffic": traffic}});
    let pair = "spec.traffic[0].configurationName, spec.traffic[0].revisionName";
    for (traffic, expected) in [
        (
            json!([]),
            "Traffic targets sum to 0, want 100: spec.traffic".to_owned(),
        ),
        (
            json!([{"percent": 100}]),
            format!("expected exactly one, got neither: {pair}"),
        ),
        (
            json!([{"percent": 100, "configurationName": "a", "revisionName": "b"}]),
            format!("expected exactly one, got both: {pair}"),
        ),
    ] {
        let status = admit(&ROUTES, &mut route(traffic.clone()), None).unwrap_err();
        assert_eq!(
            status.message,
            format!("validation failed: {expected}"),
            "{traffic}"
        );
    }
    let mut named = route(json!([{"percent": 100, "configurationName": "a"}]));
    admit(&ROUTES, &mut named, None).unwrap();
    assert_eq!(named["spec"]["traffic"][0]["latestRevision"], true);
}
