//! The order of steps: one after the other in a component, components side by side where they can be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use thiserror::Error as ThisError;

use super::journal::{Event, Outcome};
use super::{Error, Host};
use super::{act, holds, process, tell};
use crate::checksum::sha256;
use crate::plan::{Action, Component, Plan, Step};

/// How many components are worked on at once: most of the time they wait for somebody's network.
const AT_ONCE: usize = 4;

/// Which part of a plan is done.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Steps before this are left out.
    pub from: Option<String>,
    /// Steps after this are left out.
    pub until: Option<String>,
    /// Steps that were done by a run that failed are looked at again.
    pub again: bool,
    /// The words that were asked with.
    pub asked: Vec<String>,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Steps of the plan.
    pub steps: usize,
    /// Steps that changed something.
    pub changed: usize,
}

/// Why a run did not come to its end.
#[derive(Debug, ThisError)]
pub enum Failure {
    /// A step failed.
    #[error("{title}: step {step} failed")]
    Step {
        /// What was asked for.
        title: String,
        /// The step.
        step: String,
        /// Why.
        source: Error,
    },
    /// The plan has no step of that name.
    #[error("{title} has no step {step}; --dry-run shows their names")]
    NoStep {
        /// What was asked for.
        title: String,
        /// As it was named.
        step: String,
    },
    /// What has been done cannot be read or written.
    #[error("cannot keep what has been done")]
    State(#[from] Error),
}

/// A run under way.
struct Course<'a> {
    host: &'a Host,
    plan: &'a Plan,
    /// Steps that are done, whatever their checks say.
    before: BTreeMap<String, String>,
    /// Steps that are not asked for.
    left_out: BTreeSet<&'a str>,
    board: Mutex<Board<'a>>,
    changed: Condvar,
}

/// What is known of the components.
#[derive(Default)]
struct Board<'a> {
    taken: BTreeSet<&'a str>,
    done: BTreeSet<&'a str>,
    ended: usize,
    changed: usize,
    failure: Option<Failure>,
}

/// Does a plan, or goes on with one.
pub fn run(host: &Host, plan: &Plan, choice: &Choice) -> Result<Summary, Failure> {
    let left_out = left_out(plan, choice)?;
    let before = host.store.change(|state| {
        let run = state.runs.entry(plan.title.clone()).or_default();
        if run.finished || choice.again {
            run.done.clear();
        }
        run.finished = false;
        run.asked.clone_from(&choice.asked);
        if choice.from.is_some() {
            BTreeMap::new()
        } else {
            run.done.clone()
        }
    })?;
    host.journal.tell(&Event::Plan {
        title: &plan.title,
        steps: plan.steps().count(),
    });
    let course = Course {
        host,
        plan,
        before,
        left_out,
        board: Mutex::default(),
        changed: Condvar::new(),
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(plan.components.len()) {
            scope.spawn(|| course.work());
        }
    });
    let board = course
        .board
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(failure) = board.failure {
        return Err(failure);
    }
    if choice.until.is_none() {
        host.store.change(|state| {
            if let Some(run) = state.runs.get_mut(&plan.title) {
                run.finished = true;
                run.done.clear();
            }
        })?;
    }
    Ok(Summary {
        steps: board.ended,
        changed: board.changed,
    })
}

/// The steps before and after what was asked for.
fn left_out<'a>(plan: &'a Plan, choice: &Choice) -> Result<BTreeSet<&'a str>, Failure> {
    let names: Vec<&str> = plan.steps().map(|step| step.name.as_str()).collect();
    let position = |name: &Option<String>| match name {
        None => Ok(None),
        Some(name) => match names.iter().position(|found| found == name) {
            Some(position) => Ok(Some(position)),
            None => Err(Failure::NoStep {
                title: plan.title.clone(),
                step: name.clone(),
            }),
        },
    };
    let first = position(&choice.from)?.unwrap_or(0);
    let last = position(&choice.until)?.unwrap_or(names.len());
    let outside = names
        .iter()
        .enumerate()
        .filter(|(index, _)| *index < first || *index > last);
    Ok(outside.map(|(_, name)| *name).collect())
}

impl<'a> Course<'a> {
    /// Takes one component after the other, until there is none left or one failed.
    fn work(&self) {
        while let Some(component) = self.take() {
            for step in &component.steps {
                if self.failed() {
                    return;
                }
                let begun = Instant::now();
                let result = self.step(step);
                let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
                match result {
                    Ok(outcome) => {
                        board.ended += 1;
                        board.changed +=
                            usize::from(outcome == Outcome::Changed && step.action.changes());
                        self.host.journal.tell(&Event::Done {
                            step: &step.name,
                            number: board.ended,
                            of: self.plan.steps().count(),
                            outcome,
                            seconds: begun.elapsed().as_secs_f64(),
                        });
                    }
                    Err(source) => {
                        self.host.journal.tell(&Event::Failed {
                            step: &step.name,
                            cause: &chain(&source),
                        });
                        board.failure.get_or_insert(Failure::Step {
                            title: self.plan.title.clone(),
                            step: step.name.clone(),
                            source,
                        });
                        self.changed.notify_all();
                        return;
                    }
                }
            }
            let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
            board.done.insert(component.name);
            self.changed.notify_all();
        }
    }

    fn failed(&self) -> bool {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.failure.is_some()
    }

    /// The next component whose needs are done; waits for one.
    fn take(&self) -> Option<&'a Component> {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let present = |name: &str| {
            self.plan
                .components
                .iter()
                .any(|component| component.name == name)
        };
        loop {
            if board.failure.is_some() || board.taken.len() == self.plan.components.len() {
                return None;
            }
            let next = self.plan.components.iter().find(|component| {
                !board.taken.contains(component.name)
                    && component
                        .needs
                        .iter()
                        .all(|need| board.done.contains(need) || !present(need))
            });
            if let Some(component) = next {
                board.taken.insert(component.name);
                return Some(component);
            }
            board = self
                .changed
                .wait(board)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn step(&self, step: &Step) -> Result<Outcome, Error> {
        let host = self.host;
        if self.left_out.contains(step.name.as_str()) {
            return Ok(Outcome::LeftOut);
        }
        let digest = sha256(serde_json::to_string(step).unwrap_or_default().as_bytes());
        if self.before.get(&step.name) == Some(&digest) {
            tell(host, step);
            return Ok(Outcome::DoneBefore);
        }
        let recover = match &step.action {
            Action::Run {
                recover: Some(recover),
                ..
            } if host.store.look().begun.contains(&step.name) => Some(recover),
            _ => None,
        };
        let outcome = if let Some(recover) = recover {
            process::succeed(recover, &host.journal)?;
            Outcome::Changed
        } else if holds(host, step)? {
            Outcome::AlreadySo
        } else {
            Outcome::Changed
        };
        if outcome == Outcome::Changed {
            host.journal.tell(&Event::Begun {
                step: &step.name,
                why: step.why,
            });
            host.store
                .change(|state| state.begun.insert(step.name.clone()))?;
            act(host, step)?;
        }
        host.store.change(|state| {
            state.begun.remove(&step.name);
            if let Some(run) = state.runs.get_mut(&self.plan.title) {
                run.done.insert(step.name.clone(), digest);
            }
        })?;
        tell(host, step);
        Ok(outcome)
    }
}

/// An error and its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
