//! A new Revision gets its traffic little by little: the rule of upstream's rollout (knative.dev/serving
//! `pkg/reconciler/route/traffic/rollout.go`).
//!
//! ```text
//!            a new Revision is ready            observed            each step, at its time
//! at rest ─────────────────────────► started ───────────► stepping ───────────────────────► at rest
//!            1 % to it                          steps planned       one step more to it
//! ```
//!
//! Another new Revision starts it again: what went to the ones before goes to it from the newest on. A share of 1 % or less
//! moves at once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const NANOS: f64 = 1e9;

/// Where the traffic of "latest" goes, for a whole Route. It is kept as the JSON that upstream keeps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rollout {
    /// Sorted by tag, then by name. The one without a tag is the Route's own host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) configurations: Vec<Stage>,
}

/// Where the traffic of one Configuration goes, at one host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Stage {
    pub(crate) configuration_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) tag: String,
    /// Of the host's traffic.
    pub(crate) percent: i64,
    /// The oldest first; they sum to `percent`. Two or more while it is on its way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) revisions: Vec<Share>,
    pub(crate) step_params: Steps,
}

/// What one Revision gets of the host's traffic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Share {
    pub(crate) revision_name: String,
    pub(crate) percent: i64,
}

/// When it goes on, and how far. Times are nanoseconds, those of the clock since 1970; zero is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Steps {
    #[serde(rename = "starttime", skip_serializing_if = "is_zero")]
    pub(crate) start_time: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) next_step_time: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) step_duration: i64,
    /// Percent of the host's traffic.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) step_size: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

impl Rollout {
    /// All of each Configuration's traffic goes to one Revision: the last that is named.
    pub(crate) fn at_rest<'a>(
        targets: impl IntoIterator<Item = (&'a str, &'a str, &'a str, i64)>,
    ) -> Self {
        let mut configurations: Vec<Stage> = Vec::new();
        for (tag, configuration, revision, percent) in
            targets.into_iter().filter(|(.., percent)| *percent > 0)
        {
            let known = configurations
                .iter_mut()
                .find(|it| it.tag == tag && it.configuration_name == configuration);
            if let Some(stage) = known {
                stage.percent += percent;
                stage.give_newest(percent);
                for share in &mut stage.revisions {
                    revision.clone_into(&mut share.revision_name);
                }
                continue;
            }
            configurations.push(Stage {
                configuration_name: configuration.to_owned(),
                tag: tag.to_owned(),
                percent,
                revisions: vec![Share {
                    revision_name: revision.to_owned(),
                    percent,
                }],
                step_params: Steps::default(),
            });
        }
        sort(&mut configurations);
        Self { configurations }
    }

    /// The stage of a host.
    pub(crate) fn stage(&self, tag: &str) -> Option<&Stage> {
        self.configurations.iter().find(|it| it.tag == tag)
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_done(&self) -> bool {
        self.configurations.iter().all(|it| it.revisions.len() < 2)
    }

    /// Whether it can be what this module has made: somebody may have written over it.
    pub(crate) fn is_sound(&self) -> bool {
        self.configurations.iter().all(|it| {
            it.percent <= 100
                && (0..=it.percent).contains(&it.step_params.step_size)
                && it.revisions.iter().map(|it| it.percent).sum::<i64>() == it.percent
        })
    }

    /// Takes out Revisions that are no longer there; what they got goes to the newest.
    pub(crate) fn forget(&mut self, gone: impl Fn(&str) -> bool) {
        for stage in &mut self.configurations {
            stage.revisions.retain(|it| !gone(&it.revision_name));
            let left: i64 = stage.revisions.iter().map(|it| it.percent).sum();
            stage.give_newest(stage.percent - left);
        }
    }

    /// Plans the steps of what was started and is seen to be in effect: `seconds` for all of it.
    pub(crate) fn observe(&mut self, now: Timestamp, seconds: f64) {
        let now = nanos(now);
        for stage in &mut self.configurations {
            let steps = &stage.step_params;
            if steps.step_duration == 0 && steps.start_time > 0 {
                let took = ((now - steps.start_time) as f64 / NANOS).ceil().max(1.0);
                stage.plan_steps(now, took, seconds);
            }
        }
    }

    /// What there is to be now, if `self` is where it all is to end and `before` is how it was.
    pub(crate) fn step(self, before: &Self, now: Timestamp) -> Self {
        let now = nanos(now);
        let known = |tag: &str| before.stage(tag).is_some();
        let mut configurations: Vec<Stage> = self
            .configurations
            .into_iter()
            .filter_map(|goal| {
                // A host that is new has no state to move from.
                if !known(&goal.tag) {
                    return Some(goal);
                }
                let before = before.configurations.iter().find(|it| {
                    it.tag == goal.tag && it.configuration_name == goal.configuration_name
                });
                match (before, goal.percent) {
                    (_, ..=0) => None,
                    (None, _) | (_, 1) => Some(goal),
                    (Some(before), _) => Some(goal.step(before.clone(), now)),
                }
            })
            .collect();
        sort(&mut configurations);
        Self { configurations }
    }

    /// When there is a step to take next.
    pub(crate) fn next_step(&self) -> Option<Timestamp> {
        let times = self
            .configurations
            .iter()
            .map(|it| it.step_params.next_step_time);
        let next = times.filter(|time| *time > 0).min()?;
        Timestamp::from_nanosecond(i128::from(next)).ok()
    }
}

impl Stage {
    fn give_newest(&mut self, percent: i64) {
        if let Some(newest) = self.revisions.last_mut() {
            newest.percent += percent;
        }
    }

    fn step(mut self, mut before: Self, now: i64) -> Self {
        before.adjust(self.percent);
        let newest = before.revisions.last().map(|it| &it.revision_name);
        let wanted = self.revisions.first().map(|it| &it.revision_name);
        let (Some(newest), Some(wanted)) = (newest, wanted) else {
            return self;
        };
        if newest == wanted {
            if before.revisions.len() > 1 {
                self.revisions = before.revisions;
                self.step_params = before.step_params;
                // The share may have become smaller than a step.
                self.step_params.step_size = self.step_params.step_size.min(self.percent);
                if self.step_params.step_size > 0 {
                    self.take_step(now);
                }
            }
            return self;
        }
        // The newest before it gives the first 1 %.
        self.step_params.start_time = now;
        let giver = before.revisions.iter_mut().rev().find(|it| it.percent > 0);
        if let Some(giver) = giver {
            giver.percent -= 1;
        }
        let first = Share {
            revision_name: wanted.clone(),
            percent: 1,
        };
        let older = before.revisions.into_iter().filter(|it| it.percent != 0);
        self.revisions = older.chain([first]).collect();
        self
    }

    /// Makes its Revisions sum to another share: more goes to the newest, less is taken from the oldest.
    fn adjust(&mut self, percent: i64) {
        let more = percent - self.percent;
        if more >= 0 {
            self.give_newest(more);
        } else {
            let mut less = -more;
            self.revisions.retain_mut(|revision| {
                let taken = less.min(revision.percent);
                less -= taken;
                revision.percent -= taken;
                revision.percent > 0 || taken == 0
            });
        }
        self.percent = percent;
    }

    /// Moves one step's share to the newest Revision, if it is time: from the one before it, and on to older ones.
    fn take_step(&mut self, now: i64) {
        if now < self.step_params.next_step_time {
            return;
        }
        let Some(mut newest) = self.revisions.pop() else {
            return;
        };
        let mut open = self.step_params.step_size;
        while open > 0
            && let Some(older) = self.revisions.last_mut()
        {
            let taken = open.min(older.percent);
            open -= taken;
            older.percent -= taken;
            if older.percent > 0 {
                break;
            }
            self.revisions.pop();
        }
        newest.percent = (newest.percent + self.step_params.step_size).min(self.percent);
        self.revisions.push(newest);
        if self.revisions.len() > 1 {
            self.step_params.next_step_time = now + self.step_params.step_duration;
        } else {
            self.step_params = Steps::default();
        }
    }

    /// So many steps as there is time for when one takes `took` seconds, and never less than 1 % each.
    fn plan_steps(&mut self, now: i64, took: f64, seconds: f64) {
        // The first percent has moved already.
        let seconds = (seconds - took).max(1.0);
        let remaining = (self.percent - 1) as f64;
        let steps = (seconds / took).max(1.0).min(remaining);
        let duration = (seconds / steps * NANOS) as i64;
        self.step_params.step_duration = duration;
        self.step_params.step_size = (remaining / steps).round() as i64;
        self.step_params.next_step_time = now + duration;
    }
}

fn sort(configurations: &mut [Stage]) {
    configurations.sort_by(|left, right| {
        (&left.tag, &left.configuration_name).cmp(&(&right.tag, &right.configuration_name))
    });
}

fn nanos(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
