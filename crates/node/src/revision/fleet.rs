//! The instances of one revision, and which of them answer.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use gateway::{Connector, Endpoint};
use jiff::Timestamp;
use sandbox::{Contents, Handle, State};
use tokio::net::TcpStream;

use crate::budget::Share;
use crate::shown::Sight;
use crate::sources::Given;

/// How many instances are in which part of their life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) starting: u32,
    pub(super) ready: u32,
}

/// The live instances of a revision, by name.
#[derive(Default)]
pub(super) struct Fleet {
    members: BTreeMap<String, Member>,
}

struct Member {
    handle: Handle,
    /// What it began with.
    given: Arc<Given>,
    state: State,
    /// Of the machine's memory.
    _share: Share,
    started: Timestamp,
    ready_since: Option<Timestamp>,
    /// Taken out of service by us: no new requests, waiting for its last ones.
    leaving: bool,
    /// Out of service for a moment: no new requests, waiting to be saved or being saved.
    saving: bool,
    /// Its readiness probe fails: no new requests until it succeeds.
    unwell: bool,
}

impl Member {
    /// Whether it can be saved: it is ready and well, was booted, and began with what others would begin with now. A clone goes on
    /// where the saved one was, and is sent requests at once.
    fn is_fresh(&self, given: &Arc<Given>) -> bool {
        self.state == State::Ready
            && !self.leaving
            && !self.unwell
            && self.handle.snapshot().is_none()
            && (Arc::ptr_eq(&self.given, given) || self.given == *given)
    }

    /// Whether it may be sent requests.
    fn serves(&self) -> bool {
        self.state == State::Ready && !self.leaving && !self.saving && !self.unwell
    }
}

/// How an instance that ended has lived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) started: Timestamp,
    pub(super) ready_since: Option<Timestamp>,
}

impl Fleet {
    pub(super) fn add(&mut self, handle: Handle, given: Arc<Given>, share: Share, now: Timestamp) {
        let member = Member {
            given,
            _share: share,
            state: State::Pending,
            started: now,
            ready_since: None,
            leaving: false,
            saving: false,
            unwell: false,
            handle,
        };
        self.members.insert(member.handle.id().to_owned(), member);
    }

    /// Notes the new state of an instance. One at its end is no longer of the fleet, and its life is told.
    pub(super) fn changed(&mut self, id: &str, state: &State, now: Timestamp) -> Option<Life> {
        if state.is_terminal() {
            let member = self.members.remove(id)?;
            return Some(Life {
                started: member.started,
                ready_since: member.ready_since,
            });
        }
        let member = self.members.get_mut(id)?;
        if (&member.state, state) == (&State::Saving, &State::Ready) {
            // It answers again, though its snapshot may have yet to be brought to the disk.
            member.saving = false;
        }
        member.state = state.clone();
        if member.state == State::Ready {
            member.ready_since.get_or_insert(now);
        }
        None
    }

    /// Looks at what their readiness probes say now, and tells whether it is anything new.
    pub(super) fn ask_health(&mut self) -> bool {
        let mut news = false;
        for member in self.members.values_mut() {
            let unwell = !member.handle.is_well();
            news |= std::mem::replace(&mut member.unwell, unwell) != unwell;
        }
        news
    }

    pub(super) fn census(&self) -> Census {
        let mut census = Census::default();
        for member in self.members.values().filter(|member| !member.leaving) {
            match member.state {
                State::Pending | State::Starting => census.starting += 1,
                // One that is being saved is back in a moment, and no other is needed.
                State::Ready | State::Saving => census.ready += 1,
                State::Draining | State::Stopped | State::Failed(_) => {}
            }
        }
        census
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// All of them, also those that are leaving.
    pub(super) fn into_members(self) -> Vec<Handle> {
        self.members.into_values().map(|it| it.handle).collect()
    }

    /// Takes `count` instances out of service: those that are not ready yet first, then the youngest. One that is being saved is the
    /// last to go, for its snapshot would be lost.
    pub(super) fn take_out(&mut self, count: usize) -> Vec<Handle> {
        let mut candidates: Vec<&mut Member> = self
            .members
            .values_mut()
            .filter(|member| !member.leaving)
            .collect();
        candidates.sort_by_key(|member| {
            let answers = matches!(member.state, State::Ready | State::Saving);
            (answers, member.saving, Reverse(member.started))
        });
        candidates
            .into_iter()
            .take(count)
            .map(|member| {
                member.leaving = true;
                member.handle.clone()
            })
            .collect()
    }

    /// Takes this instance out of service, if it is one of these; also one that is leaving already.
    pub(super) fn take_out_one(&mut self, id: &str) -> Option<Handle> {
        let member = self.members.get_mut(id)?;
        member.leaving = true;
        Some(member.handle.clone())
    }

    /// What is to be seen of each.
    pub(super) fn sights(&self) -> impl Iterator<Item = (&Handle, Sight)> {
        self.members.values().map(|member| {
            let sight = Sight {
                state: member.state.clone(),
                serving: member.serves(),
                leaving: member.leaving,
                pid: member.handle.pid(),
            };
            (&member.handle, sight)
        })
    }

    /// Takes an instance out of service to be saved, if there is one that can be.
    pub(super) fn take_to_save(&mut self, given: &Arc<Given>) -> Option<Handle> {
        let mut members = self.members.values_mut();
        let member = members.find(|it| it.is_fresh(given))?;
        member.saving = true;
        Some(member.handle.clone())
    }

    /// Gives the volumes of all of them new contents.
    pub(super) fn update(&self, volumes: &[Contents]) {
        for member in self.members.values() {
            member.handle.update(volumes.to_vec());
        }
    }

    /// Whether there is an instance that can be saved.
    pub(super) fn can_save(&self, given: &Arc<Given>) -> bool {
        let mut members = self.members.values();
        members.any(|it| it.is_fresh(given))
    }

    /// Puts an instance that was to be saved back into service, if it is not there yet.
    pub(super) fn back_from_saving(&mut self, id: &str) {
        if let Some(member) = self.members.get_mut(id) {
            member.saving = false;
        }
    }

    /// What the gateway may send requests to.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let serving = self.members.values().filter(|it| it.serves());
        serving.map(|member| endpoint(&member.handle)).collect()
    }
}

fn endpoint(handle: &Handle) -> Endpoint {
    let phases = handle.phases();
    Endpoint {
        id: handle.id().to_owned(),
        connector: Arc::new(IntoInstance(handle.clone())),
        phases: phases
            .into_iter()
            .map(|phase| (phase.name.to_owned(), phase.duration))
            .collect(),
    }
}

/// Connects to an instance from inside its network namespace.
struct IntoInstance(Handle);

impl Connector for IntoInstance {
    fn connect(&self) -> BoxFuture<'static, std::io::Result<TcpStream>> {
        let handle = self.0.clone();
        async move { handle.connect().await }.boxed()
    }

    fn answered(&self) {
        self.0.served();
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        let handle = self.0.clone();
        async move { handle.stopped().await }.boxed()
    }
}
