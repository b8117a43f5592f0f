//! The machine that a simulated revision runs on: its events in order, its queue and its instances.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::{Course, Invocation, Model, Second};
use crate::scale::{Autoscaler, Decision, Load, Policy, Seen};

const SECOND: Duration = Duration::from_secs(1);

/// What happens. At one moment, requests end before instances are looked at, and new ones come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Done(u64),
    Ready(u64),
    Look,
    Arrive(usize),
}

#[derive(Debug, Clone, Copy)]
struct Instance {
    ready: bool,
    in_flight: u32,
    /// No new requests; it goes when it has none.
    leaving: bool,
}

pub(super) struct World<'a> {
    policy: &'a Policy,
    model: &'a Model,
    autoscaler: Autoscaler,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, Event, u64)>>,
    /// Tells events of one moment apart, in the order in which they were made.
    made: u64,
    /// By age.
    instances: BTreeMap<u64, Instance>,
    /// When each came, and how long it takes.
    queue: VecDeque<Invocation>,
    in_flight: u32,
    /// Since the last look.
    busy: Duration,
    requests: u64,
    /// Since the second began.
    arrived: u32,
    decision: Option<Decision>,
    course: Course,
}

impl<'a> World<'a> {
    pub(super) fn new(policy: &'a Policy, model: &'a Model, autoscaler: Autoscaler) -> Self {
        Self {
            policy,
            model,
            autoscaler,
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            made: 0,
            instances: BTreeMap::new(),
            queue: VecDeque::new(),
            in_flight: 0,
            busy: Duration::ZERO,
            requests: 0,
            arrived: 0,
            decision: None,
            course: Course::default(),
        }
    }

    pub(super) fn play(mut self, trace: &[Invocation]) -> Course {
        self.add(SECOND, Event::Look);
        let mut left = trace.len();
        if let Some(first) = trace.first() {
            self.add(first.at, Event::Arrive(0));
        }
        let mut over = None;
        while let Some(Reverse((at, event, _))) = self.events.pop() {
            self.advance(at);
            match event {
                Event::Done(id) => self.done(id),
                Event::Ready(id) => self.ready(id),
                Event::Look => {
                    self.look();
                    self.note();
                    if left == 0 && self.queue.is_empty() && self.in_flight == 0 {
                        let since = *over.get_or_insert(at);
                        if self.instances.is_empty() || at.saturating_sub(since) >= self.tail() {
                            break;
                        }
                    }
                    self.add(at + SECOND, Event::Look);
                }
                Event::Arrive(nth) => {
                    left -= 1;
                    if let Some(next) = trace.get(nth + 1) {
                        self.add(next.at, Event::Arrive(nth + 1));
                    }
                    self.arrive(trace[nth]);
                }
            }
        }
        self.course
    }

    /// How long after the last request something may still go.
    fn tail(&self) -> Duration {
        let policy = self.policy;
        policy.stable_window * 3 + policy.grace + policy.retention + policy.down_delay
    }

    fn add(&mut self, at: Duration, event: Event) {
        self.made += 1;
        self.events.push(Reverse((at, event, self.made)));
    }

    fn advance(&mut self, at: Duration) {
        let passed = at.saturating_sub(self.now);
        let requests = self.in_flight + self.queue.len() as u32;
        self.busy += passed * requests;
        self.course.instance_time += passed * self.instances.len() as u32;
        self.now = at;
    }

    fn arrive(&mut self, invocation: Invocation) {
        self.requests += 1;
        self.arrived += 1;
        let answers = self.instances.values().any(|it| it.ready && !it.leaving);
        self.course.cold += usize::from(!answers);
        self.queue.push_back(invocation);
        self.dispatch();
        if !answers && self.queue.len() == 1 {
            // The first that waits wakes the autoscaler, as the gateway does it.
            self.look();
        }
    }

    fn done(&mut self, id: u64) {
        self.in_flight -= 1;
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.in_flight -= 1;
            if instance.leaving && instance.in_flight == 0 {
                self.instances.remove(&id);
            }
        }
        self.dispatch();
    }

    fn ready(&mut self, id: u64) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.ready = true;
            self.dispatch();
            self.look();
        }
    }

    /// Gives those that wait to the instances that have room, each to the one with the fewest.
    fn dispatch(&mut self) {
        let limit = self.model.container_concurrency;
        while let Some(next) = self.queue.front().copied() {
            let free = self
                .instances
                .iter_mut()
                .filter(|(_, it)| it.ready && !it.leaving && (limit == 0 || it.in_flight < limit))
                .min_by_key(|(_, it)| it.in_flight);
            let Some((&id, instance)) = free else {
                return;
            };
            instance.in_flight += 1;
            self.queue.pop_front();
            self.in_flight += 1;
            self.course.waits.push(self.now.saturating_sub(next.at));
            self.add(self.now + next.takes, Event::Done(id));
        }
    }

    fn count(&self) -> (u32, u32) {
        let there = self.instances.values().filter(|it| !it.leaving);
        let ready = there.clone().filter(|it| it.ready).count() as u32;
        (ready, there.count() as u32 - ready)
    }

    fn look(&mut self) {
        let (ready, starting) = self.count();
        let seen = Seen {
            ready,
            starting,
            queued: self.queue.len() as u32,
            load: Load {
                busy: std::mem::take(&mut self.busy),
                requests: std::mem::take(&mut self.requests),
            },
            routed: true,
            // All requests go through the queue, from before the beginning.
            proxied_since: Some(Timestamp::MIN),
            given_up: false,
        };
        let now = Timestamp::UNIX_EPOCH + self.now;
        let decision = self.autoscaler.look(&seen, self.policy, now);
        for _ in ready + starting..decision.desired {
            self.start();
        }
        self.stop((ready + starting).saturating_sub(decision.desired));
        self.decision = Some(decision);
    }

    fn start(&mut self) {
        self.made += 1;
        let id = self.made;
        let instance = Instance {
            ready: false,
            in_flight: 0,
            leaving: false,
        };
        self.instances.insert(id, instance);
        self.course.started += 1;
        self.add(self.now + self.model.cold_start, Event::Ready(id));
    }

    /// Takes instances out of service as a node does: those that are not ready first, then the youngest.
    fn stop(&mut self, count: u32) {
        let mut there: Vec<(bool, Reverse<u64>)> = self
            .instances
            .iter()
            .filter(|(_, it)| !it.leaving)
            .map(|(id, it)| (it.ready, Reverse(*id)))
            .collect();
        there.sort_unstable();
        for (_, Reverse(id)) in there.into_iter().take(count as usize) {
            match self.instances.get_mut(&id) {
                Some(instance) if instance.in_flight > 0 => instance.leaving = true,
                _ => drop(self.instances.remove(&id)),
            }
        }
    }

    fn note(&mut self) {
        let (ready, starting) = self.count();
        self.course.most_ready = self.course.most_ready.max(ready);
        let arrived = std::mem::take(&mut self.arrived);
        let Some(decision) = &self.decision else {
            return;
        };
        let measured = decision.measured.unwrap_or_default();
        self.course.seconds.push(Second {
            second: self.now.as_secs(),
            arrived,
            in_flight: self.in_flight,
            queued: self.queue.len() as u32,
            desired: decision.desired,
            ready,
            starting,
            stable: measured.stable,
            panic: measured.panic,
            panicking: decision.panic,
            why: decision.why,
        });
    }
}
