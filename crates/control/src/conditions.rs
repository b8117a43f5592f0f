//! Writing conditions: sorted by type, the time of the last change kept while nothing changes.
//!
//! `Ready` sums up the others as upstream's does (knative.dev/pkg `apis/condition_set.go`): it tells of the newest unhappy
//! one, `False` before `Unknown`.

use std::cmp::Reverse;

use api::serving::{Condition, condition};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

/// A condition's status with its reason and message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) status: &'static str,
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Verdict {
    pub(crate) fn yes() -> Self {
        Self::new("True", "", "")
    }

    pub(crate) fn no(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new("False", reason, message)
    }

    pub(crate) fn unknown(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new("Unknown", reason, message)
    }

    pub(crate) fn new(
        status: &'static str,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// What a condition said before; unknown if it is new.
    pub(crate) fn before(conditions: &[Condition], kind: &str) -> Self {
        condition(conditions, kind).map_or_else(|| Self::unknown("", ""), Self::of)
    }

    /// What a child's `Ready` says of it, told by its parent.
    pub(crate) fn of_child(conditions: &[Condition]) -> Self {
        match Self::before(conditions, "Ready") {
            ready if ready.is_yes() => Self::yes(),
            unhappy => unhappy,
        }
    }

    fn of(condition: &Condition) -> Self {
        let status = match condition.status.as_str() {
            "True" => "True",
            "False" => "False",
            _ => "Unknown",
        };
        Self::new(status, &condition.reason, &condition.message)
    }

    pub(crate) fn is_yes(&self) -> bool {
        self.status == "True"
    }

    pub(crate) fn is_no(&self) -> bool {
        self.status == "False"
    }
}

/// The conditions of one object: those it depends on, `Ready` from the unhappiest of them, and those that only inform.
pub(crate) fn write(
    before: &[Condition],
    dependents: &[(&str, Verdict)],
    informative: &[(&str, Verdict)],
    now: Timestamp,
) -> Vec<Condition> {
    let now = whole_seconds(now);
    let mut conditions: Vec<Condition> = dependents
        .iter()
        .map(|(kind, verdict)| one(before, kind, verdict, "", now))
        .collect();
    let unhappiest = conditions
        .iter()
        .filter(|condition| condition.status != "True")
        .min_by_key(|it| (it.status != "False", Reverse(it.last_transition_time)));
    let ready = unhappiest.map_or_else(Verdict::yes, Verdict::of);
    conditions.push(one(before, "Ready", &ready, "", now));
    let informative = informative.iter();
    conditions.extend(informative.map(|(kind, verdict)| one(before, kind, verdict, "Info", now)));
    conditions.sort_by(|left, right| left.kind.cmp(&right.kind));
    conditions
}

/// `Ready` of an object that has no other condition.
pub(crate) fn write_ready(before: &[Condition], ready: &Verdict, now: Timestamp) -> Vec<Condition> {
    vec![one(before, "Ready", ready, "", whole_seconds(now))]
}

fn one(
    before: &[Condition],
    kind: &str,
    verdict: &Verdict,
    severity: &str,
    now: Timestamp,
) -> Condition {
    let since = condition(before, kind)
        .filter(|old| Verdict::of(old) == *verdict)
        .and_then(|old| old.last_transition_time);
    Condition {
        kind: kind.to_owned(),
        status: verdict.status.to_owned(),
        severity: severity.to_owned(),
        reason: verdict.reason.clone(),
        message: verdict.message.clone(),
        last_transition_time: Some(since.unwrap_or(now)),
    }
}

/// Kubernetes writes times without fractions.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    let down = TimestampRound::new()
        .smallest(Unit::Second)
        .mode(RoundMode::Floor);
    time.round(down).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::new(second, 999_000_000).unwrap()
    }

    fn ready(conditions: &[Condition]) -> (&str, &str) {
        let ready = condition(conditions, "Ready").unwrap();
        (&ready.status, &ready.reason)
    }

    #[test]
    fn ready_tells_of_the_newest_unhappy_one_and_of_false_before_unknown() {
        let first = write(
            &[],
            &[("A", Verdict::unknown("a", "")), ("B", Verdict::yes())],
            &[],
            at(1),
        );
        assert_eq!(ready(&first), ("Unknown", "a"));
        let second = write(
            &first,
            &[
                ("A", Verdict::unknown("a", "")),
                ("B", Verdict::unknown("b", "")),
            ],
            &[],
            at(2),
        );
        assert_eq!(ready(&second), ("Unknown", "b"));
        let third = write(
            &second,
            &[
                ("A", Verdict::no("c", "")),
                ("B", Verdict::unknown("d", "")),
            ],
            &[("C", Verdict::no("e", ""))],
            at(3),
        );
        assert_eq!(ready(&third), ("False", "c"));
    }

    #[test]
    fn the_time_of_a_change_is_in_whole_seconds_and_stays_while_nothing_changes() {
        let say = |verdict: Verdict, before: &[Condition], now| {
            write(before, &[("A", verdict)], &[], now)
        };
        let first = say(Verdict::unknown("a", ""), &[], at(1));
        assert_eq!(
            first[0].last_transition_time,
            Timestamp::from_second(1).ok()
        );
        let same = say(Verdict::unknown("a", ""), &first, at(5));
        assert_eq!(same, first);
        let other_reason = say(Verdict::unknown("b", ""), &same, at(7));
        assert_eq!(
            other_reason[0].last_transition_time,
            Timestamp::from_second(7).ok()
        );
    }
}
