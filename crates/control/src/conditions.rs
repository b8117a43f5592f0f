//! Writing conditions: sorted by type, the time of the last change kept while nothing changes.

use api::serving::{Condition, condition};
use jiff::Timestamp;

/// A condition's status with its reason and message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) status: &'static str,
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Verdict {
    pub(crate) fn yes() -> Self {
        Self {
            status: "True",
            reason: String::new(),
            message: String::new(),
        }
    }

    pub(crate) fn no(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: "False",
            reason: reason.into(),
            message: message.into(),
        }
    }

    pub(crate) fn unknown(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: "Unknown",
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// Unhappy in the order in which it shows: `False` before `Unknown` before `True`.
    fn rank(&self) -> u8 {
        match self.status {
            "False" => 0,
            "Unknown" => 1,
            _ => 2,
        }
    }

    /// What a child's `Ready` says of it, told by its parent.
    pub(crate) fn of_child(conditions: &[Condition], up_to_date: bool) -> Self {
        match condition(conditions, "Ready") {
            Some(ready) if up_to_date => match ready.status.as_str() {
                "True" => Self::yes(),
                "False" => Self::no(&ready.reason, &ready.message),
                _ => Self::unknown(&ready.reason, &ready.message),
            },
            _ => Self::unknown("", ""),
        }
    }
}

/// The conditions of one object: those it depends on, `Ready` from the unhappiest of them, and those that only inform.
pub(crate) fn write(
    before: &[Condition],
    dependents: &[(&str, Verdict)],
    informative: &[(&str, Verdict)],
    now: Timestamp,
) -> Vec<Condition> {
    let ready = dependents
        .iter()
        .map(|(_, verdict)| verdict)
        .min_by_key(|verdict| verdict.rank())
        .cloned()
        .unwrap_or_else(Verdict::yes);
    let ready = if ready.status == "True" {
        Verdict::yes()
    } else {
        ready
    };
    let mut conditions: Vec<Condition> = dependents
        .iter()
        .map(|(kind, verdict)| (*kind, verdict, ""))
        .chain(std::iter::once(("Ready", &ready, "")))
        .chain(
            informative
                .iter()
                .map(|(kind, verdict)| (*kind, verdict, "Info")),
        )
        .map(|(kind, verdict, severity)| {
            let since = condition(before, kind)
                .filter(|old| old.status == verdict.status)
                .and_then(|old| old.last_transition_time);
            Condition {
                kind: kind.to_owned(),
                status: verdict.status.to_owned(),
                severity: severity.to_owned(),
                reason: verdict.reason.clone(),
                message: verdict.message.clone(),
                last_transition_time: Some(since.unwrap_or(now)),
            }
        })
        .collect();
    conditions.sort_by(|left, right| left.kind.cmp(&right.kind));
    conditions
}
