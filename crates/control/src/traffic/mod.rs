//! Where a Route's traffic goes by now: all at once, or little by little if a rollout duration is asked for.
//!
//! What is on its way is kept in the Route's status, under the annotation that upstream has on its ingress. Without it the
//! shares in the status say how it was.

mod rollout;

use std::collections::BTreeMap;

use api::duration;
use api::serving::{Route, TrafficTarget, annotation};
use jiff::Timestamp;

pub(crate) use rollout::{Rollout, Share};

/// Where upstream keeps a rollout that is on its way.
const STATE: &str = "networking.internal.knative.dev/rollout";

/// Shares with the Revision that each goes to by now, and what is on its way.
#[derive(Debug, PartialEq)]
pub(crate) struct Split {
    pub(crate) targets: Vec<TrafficTarget>,
    pub(crate) rollout: Rollout,
}

/// Splits the traffic. `wanted` has the Revision that each share is to go to in the end; `exists` says which are still there.
pub(crate) fn split(
    route: &Route,
    wanted: Vec<TrafficTarget>,
    exists: impl Fn(&str) -> bool,
    now: Timestamp,
) -> Split {
    let wanted = merged(wanted);
    let goal = Rollout::at_rest(wanted.iter().filter(|it| follows(it)).flat_map(|it| {
        let of = |tag, percent| {
            let (configuration, revision) = (&it.configuration_name, &it.revision_name);
            (tag, configuration.as_str(), revision.as_str(), percent)
        };
        let own = of("", it.percent.unwrap_or(0));
        // The host of a tag is its target's alone.
        let tagged = (!it.tag.is_empty()).then(|| of(it.tag.as_str(), 100));
        [own].into_iter().chain(tagged)
    }));
    let rollout = match duration_of(route) {
        Some(seconds) => {
            let mut before = recorded(route).unwrap_or_else(|| shares_before(route, &goal));
            before.forget(|revision| !exists(revision));
            before.observe(now, seconds);
            goal.step(&before, now)
        }
        None => goal,
    };
    Split {
        // A Revision that was gone back to on the way stands in it twice.
        targets: merged(spread(wanted, &rollout)),
        rollout,
    }
}

/// Notes in a Route's status what is on its way.
pub(crate) fn record(rollout: &Rollout, annotations: &mut BTreeMap<String, String>) {
    let state = (!rollout.is_done())
        .then(|| serde_json::to_string(rollout).ok())
        .flatten();
    match state {
        Some(state) => annotations.insert(STATE.to_owned(), state),
        None => annotations.remove(STATE),
    };
}

/// What a Route's status says is on its way.
pub(crate) fn recorded(route: &Route) -> Option<Rollout> {
    let state = route.status.annotations.get(STATE)?;
    let rollout: Rollout = serde_json::from_str(state).ok()?;
    rollout.is_sound().then_some(rollout)
}

/// Whether a Route's traffic moves little by little: then it is where its status says until the status says more.
pub(crate) fn is_gradual(route: &Route) -> bool {
    duration_of(route).is_some()
}

/// Whether a share follows the latest Revision.
pub(crate) fn follows(target: &TrafficTarget) -> bool {
    target.latest_revision == Some(true)
}

/// Shares of one tag and one Revision are one share.
pub(crate) fn merged(targets: Vec<TrafficTarget>) -> Vec<TrafficTarget> {
    let mut merged: Vec<TrafficTarget> = Vec::with_capacity(targets.len());
    for target in targets {
        let same = merged.iter_mut().find(|it| {
            it.tag == target.tag
                && it.revision_name == target.revision_name
                && it.latest_revision == target.latest_revision
        });
        match same {
            Some(known) => {
                let percent = known.percent.unwrap_or(0) + target.percent.unwrap_or(0);
                known.percent = Some(percent);
            }
            None => merged.push(target),
        }
    }
    merged
}

/// Seconds that a rollout is to take, if any.
fn duration_of(route: &Route) -> Option<f64> {
    let (_, text) = annotation::rollout_duration(&route.metadata.annotations)?;
    let duration = duration::parse(text)?;
    (duration.as_secs() > 0).then_some(duration.as_secs_f64())
}

/// How it was at rest, from the shares in the status. They do not name the Configuration: it is the goal's.
fn shares_before(route: &Route, goal: &Rollout) -> Rollout {
    let name = |tag: &str| {
        let stage = goal.stage(tag);
        stage.map_or("", |it| it.configuration_name.as_str())
    };
    let shares = route.status.traffic.iter().filter(|it| follows(it));
    Rollout::at_rest(shares.flat_map(|it| {
        let revision = it.revision_name.as_str();
        let own = ("", name(""), revision, it.percent.unwrap_or(0));
        let tagged = (!it.tag.is_empty()).then(|| (it.tag.as_str(), name(&it.tag), revision, 100));
        [own].into_iter().chain(tagged)
    }))
}

/// Gives the shares that follow the latest Revision to the Revisions of the rollout, in turn. Upstream gives each share of a tag
/// what the tag's own host has, and so more than all of it.
fn spread(wanted: Vec<TrafficTarget>, rollout: &Rollout) -> Vec<TrafficTarget> {
    let mut shares: Vec<Share> = rollout
        .stage("")
        .map(|stage| stage.revisions.clone())
        .unwrap_or_default();
    shares.reverse();
    let mut targets = Vec::new();
    for target in wanted {
        let mut open = target.percent.unwrap_or(0);
        if !follows(&target) || open == 0 || shares.is_empty() {
            targets.push(target);
            continue;
        }
        while open > 0
            && let Some(mut share) = shares.pop()
        {
            let taken = open.min(share.percent);
            targets.push(TrafficTarget {
                revision_name: share.revision_name.clone(),
                percent: Some(taken),
                ..target.clone()
            });
            open -= taken;
            share.percent -= taken;
            if share.percent > 0 {
                shares.push(share);
            }
        }
    }
    targets
}

#[cfg(test)]
mod tests;
