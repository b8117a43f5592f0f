//! Shares of a Route as they move.

use api::serving::{Route, TrafficTarget};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Split, record, split};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn route(duration: &str, status: &Value) -> Route {
    let annotations = json!({"serving.knative.dev/rollout-duration": duration});
    serde_json::from_value(json!({
        "metadata": {"name": "f", "annotations": annotations}, "status": {"traffic": status}}))
    .unwrap()
}

/// Shares that are to go to these Revisions: of the latest, unless it is written `=REVISION`.
fn wanted(shares: &[(&str, &str, i64)]) -> Vec<TrafficTarget> {
    let target = |(tag, revision, percent): &(&str, &str, i64)| {
        let pinned = revision.strip_prefix('=');
        TrafficTarget {
            tag: (*tag).to_owned(),
            revision_name: pinned.unwrap_or(revision).to_owned(),
            configuration_name: pinned.map_or_else(|| "f".to_owned(), |_| String::new()),
            latest_revision: Some(pinned.is_none()),
            percent: Some(*percent),
            ..TrafficTarget::default()
        }
    };
    shares.iter().map(target).collect()
}

fn shown(targets: &[TrafficTarget]) -> Vec<String> {
    targets
        .iter()
        .map(|it| format!("{}:{}={}", it.tag, it.revision_name, it.percent.unwrap()))
        .collect()
}

/// Writes into the status what was split, as the Route's plan does.
fn apply(route: &mut Route, split: &Split) {
    route.status.traffic.clone_from(&split.targets);
    record(&split.rollout, &mut route.status.annotations);
}

#[test]
fn without_a_duration_traffic_moves_at_once() {
    for duration in ["", "0s"] {
        let route = route(
            duration,
            &json!([{"revisionName": "a", "latestRevision": true, "percent": 100}]),
        );
        let split = split(&route, wanted(&[("", "b", 100)]), |_| true, at(0));
        assert_eq!(shown(&split.targets), [":b=100"]);
        assert!(split.rollout.is_done());
    }
}

#[test]
fn a_new_revision_gets_one_percent_first_and_all_of_it_in_the_end() {
    let mut route = route(
        "10s",
        &json!([{"revisionName": "a", "latestRevision": true, "percent": 100}]),
    );
    let goal = || wanted(&[("", "b", 100)]);
    let mut seen = Vec::new();
    let mut now = at(0);
    loop {
        let split = split(&route, goal(), |_| true, now);
        apply(&mut route, &split);
        seen.push((
            now.duration_since(at(0)).as_secs(),
            shown(&split.targets).join(" "),
        ));
        if split.rollout.is_done() {
            break;
        }
        now = split.rollout.next_step().unwrap_or(now);
    }
    let expected: Vec<(i64, String)> = [
        (0, 99, 1),
        (0, 99, 1),
        (1, 88, 12),
        (2, 77, 23),
        (3, 66, 34),
        (4, 55, 45),
        (5, 44, 56),
        (6, 33, 67),
        (7, 22, 78),
        (8, 11, 89),
    ]
    .into_iter()
    .map(|(second, old, new)| (second, format!(":a={old} :b={new}")))
    .chain([(9, ":b=100".to_owned())])
    .collect();
    assert_eq!(seen, expected);
    assert!(route.status.annotations.is_empty(), "nothing is on its way");
}

#[test]
fn what_was_pinned_is_not_moved_and_shares_sum_to_a_hundred() {
    let mut route = route(
        "1m",
        &json!([
            {"revisionName": "a", "latestRevision": true, "percent": 60, "tag": "next"},
            {"revisionName": "old", "latestRevision": false, "percent": 40}]),
    );
    let goal = || wanted(&[("next", "b", 60), ("", "=old", 40)]);
    let first = split(&route, goal(), |_| true, at(0));
    assert_eq!(shown(&first.targets), ["next:a=59", "next:b=1", ":old=40"]);
    // The tag's own host moves by itself.
    let tag = first.rollout.stage("next").unwrap();
    let shares: Vec<_> = tag
        .revisions
        .iter()
        .map(|it| (it.revision_name.as_str(), it.percent))
        .collect();
    assert_eq!(shares, [("a", 99), ("b", 1)]);
    apply(&mut route, &first);
    let second = split(&route, goal(), |_| true, at(1));
    let sum: i64 = second.targets.iter().filter_map(|it| it.percent).sum();
    assert_eq!(sum, 100);
}

#[test]
fn several_shares_of_the_latest_are_filled_in_turn() {
    let route = route(
        "1m",
        &json!([{"revisionName": "a", "latestRevision": true, "percent": 100}]),
    );
    let goal = wanted(&[("x", "b", 30), ("y", "b", 70)]);
    let split = split(&route, goal, |_| true, at(0));
    assert_eq!(shown(&split.targets), ["x:a=30", "y:a=69", "y:b=1"]);
}

#[test]
fn equal_shares_are_one() {
    let route = route("", &json!([]));
    let goal = wanted(&[("", "a", 30), ("", "=a", 20), ("", "a", 50)]);
    let split = split(&route, goal, |_| true, at(0));
    assert_eq!(shown(&split.targets), [":a=80", ":a=20"]);
}

#[test]
fn a_revision_that_is_deleted_on_the_way_gets_nothing() {
    let mut route = route(
        "1m",
        &json!([{"revisionName": "a", "latestRevision": true, "percent": 100}]),
    );
    let goal = || wanted(&[("", "b", 100)]);
    let first = split(&route, goal(), |_| true, at(0));
    apply(&mut route, &first);
    let second = split(&route, goal(), |revision| revision != "a", at(1));
    assert_eq!(shown(&second.targets), [":b=100"]);
    assert!(second.rollout.is_done());
}

#[test]
fn a_state_that_makes_no_sense_is_not_gone_on_with() {
    let mut route = route(
        "1m",
        &json!([{"revisionName": "a", "latestRevision": true, "percent": 100}]),
    );
    let goal = || wanted(&[("", "a", 100)]);
    for state in [
        "x",
        r#"{"configurations":[{"configurationName":"f","percent":101,"revisions":[{"revisionName":"a","percent":101}]}]}"#,
        r#"{"configurations":[{"configurationName":"f","percent":100,"revisions":[{"revisionName":"a","percent":40}]}]}"#,
        r#"{"configurations":[{"configurationName":"f","percent":100,"revisions":[{"revisionName":"a","percent":100}],"stepParams":{"stepSize":101}}]}"#,
    ] {
        route
            .status
            .annotations
            .insert(super::STATE.to_owned(), state.to_owned());
        let split = split(&route, goal(), |_| true, at(0));
        assert_eq!(shown(&split.targets), [":a=100"], "{state}");
    }
}

#[test]
fn a_duration_that_is_taken_away_ends_the_rollout() {
    let mut route = route(
        "1h",
        &json!([{"revisionName": "a", "latestRevision": true, "percent": 100}]),
    );
    let goal = || wanted(&[("", "b", 100)]);
    let first = split(&route, goal(), |_| true, at(0));
    apply(&mut route, &first);
    assert!(!first.rollout.is_done());
    route.metadata.annotations.clear();
    let last = split(
        &route,
        goal(),
        |_| true,
        at(0) + SignedDuration::from_secs(5),
    );
    apply(&mut route, &last);
    assert_eq!(shown(&last.targets), [":b=100"]);
    assert!(route.status.annotations.is_empty());
}
