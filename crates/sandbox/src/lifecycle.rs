//! The life of an instance, as a pure function of where it is and what happened.
//!
//! ```text
//!            Begun      PlaceTaken     HypervisorUp  AgentConnected FunctionStarted FunctionReady
//!   Pending ──────► Place ────────► Hypervisor ──► Boot ──────► Agent ──────► Function ──────► Ready
//!      │           │ │                                                        FunctionReady   ▲ │ ▲
//!      │           │ │ PlaceTaken, with a snapshot   HypervisorUp  ┌────► Clone ─────────────►┤ │ │
//!      │           │ └───────────────────► Restore ───────────► Resume ──────────────────────►┘ │ │
//!      │           │                                                       CloneResumed         │ │
//!      │           └───────────────────────── Starting ───────────────────────────┘             │ │
//!      │                                                                                        │ │
//!      │           ┌─ Quiesce ──► Write ──► Return ─┐  Saving: a snapshot is taken    SaveAsked │ │
//!      │           └────────────────────────────────┘◄──────────────────────────────────────────┘ │
//!      │                                       └─────────────────────── CloneResumed ─────────────┘
//!      │
//!      │ StopAsked, from wherever it is:
//!      │    Settling: waits for the step under way, for a half-made thing cannot be removed
//!      │    Asked:    the agent ends the function, until the grace is over
//!      └──► Leaving:  everything the instance owned is being removed
//!           └─ Draining = Settling, Asked, Leaving ──── Released ────► Stopped
//!
//!   Starting, Ready, Saving ── something broke, ended or took too long ──► Failed{reason}   (removes everything)
//! ```
//!
//! A snapshot that cannot be written leaves the instance as it was; one from which the guest does not come back is the end of
//! it. The guest comes back from having been saved in the same way as a clone begins: its agent dials the host anew.
//!
//! A stop and a failure that come together count by which came first: what breaks while draining was
//! going to be thrown away.

use std::time::Duration;

use crate::state::{Exit, Reason};

/// Where the instance is, in more detail than [`crate::State`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Pending,
    Starting(Step),
    Ready,
    Saving(Save),
    Draining(Drain),
    Stopped,
    Failed(Reason),
}

/// The steps of a start, each under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Folder, network and, if one was ready, a dormant hypervisor.
    Place,
    Hypervisor,
    Boot,
    Agent,
    Function,
    /// The hypervisor loads a snapshot.
    Restore,
    /// The clone's agent dials in and is told who it is.
    Resume,
    /// The clone's function is asked whether it is ready.
    Clone,
}

/// The steps of taking a snapshot, each under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Save {
    /// The agent hangs up.
    Quiesce,
    /// The guest stands still and is written to disk.
    Write,
    /// The agent dials in again.
    Return,
}

/// What draining waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    /// A step that cannot be taken back half-way.
    Settling,
    /// The function, which the agent was asked to end.
    Asked,
    /// The removal of everything.
    Leaving,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Begun,
    PlaceTaken {
        /// A snapshot is to be restored.
        snapshot: bool,
    },
    HypervisorUp,
    AgentConnected,
    FunctionStarted,
    FunctionReady,
    /// The agent of a guest that was restored, or saved, is back, and the function runs.
    CloneResumed {
        /// A clone's function is to be asked whether it is ready.
        ask: bool,
    },
    /// A snapshot is to be taken.
    SaveAsked,
    /// The agent hung up, on purpose.
    Quiesced,
    /// The guest runs again, whether or not its snapshot could be written.
    Written,
    /// The step under way failed.
    StepFailed,
    /// The deadline of the step, or the grace of the drain, is over.
    DeadlinePassed,
    /// The function's liveness probe has failed as often as it may.
    Unhealthy,
    /// The agent reported that the function ended.
    FunctionEnded {
        exit: Exit,
        oom: bool,
    },
    /// The agent reported that it failed.
    AgentFailed,
    /// The agent's connection broke, or carried nonsense.
    AgentLost,
    HypervisorDied,
    /// What serves the guest's memory has failed: the guest would wait for ever.
    MemoryLost,
    StopAsked {
        grace: Duration,
    },
    /// Everything the instance owned is gone.
    Released,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Nothing,
    TakePlace,
    BootHypervisor,
    AwaitAgent,
    StartFunction,
    AwaitReadiness,
    /// Wait until the function of a clone is ready.
    AwaitReadyClone,
    Restore,
    /// Wait for the agent of a guest that comes back, and tell it who it is.
    AwaitClone,
    Quiesce,
    Write,
    /// Ask the agent to end the function, and wait no longer than this.
    AskToStop {
        grace: Duration,
    },
    /// Kill the hypervisor and remove everything the instance owns.
    Release,
}

/// The stage after `event`, and what to do on the way there.
#[expect(
    clippy::match_same_arms,
    reason = "each way of the diagram stands by itself"
)]
pub(crate) fn step(stage: Stage, event: Event) -> (Stage, Action) {
    use Action as A;
    use Event as E;
    use Stage::{Draining, Pending, Ready, Saving, Starting, Stopped};

    match (stage, event) {
        // The way up.
        (Pending, E::Begun) => (Starting(Step::Place), A::TakePlace),
        (Starting(Step::Place), E::PlaceTaken { snapshot: false }) => {
            (Starting(Step::Hypervisor), A::BootHypervisor)
        }
        (Starting(Step::Hypervisor), E::HypervisorUp) => (Starting(Step::Boot), A::AwaitAgent),
        (Starting(Step::Boot), E::AgentConnected) => (Starting(Step::Agent), A::StartFunction),
        (Starting(Step::Agent), E::FunctionStarted) => {
            (Starting(Step::Function), A::AwaitReadiness)
        }
        (Starting(Step::Function), E::FunctionReady) => (Ready, A::Nothing),

        // The short way up.
        (Starting(Step::Place), E::PlaceTaken { snapshot: true }) => {
            (Starting(Step::Restore), A::Restore)
        }
        (Starting(Step::Restore), E::HypervisorUp) => (Starting(Step::Resume), A::AwaitClone),
        (Starting(Step::Resume), E::CloneResumed { ask: false }) => (Ready, A::Nothing),
        (Starting(Step::Resume), E::CloneResumed { ask: true }) => {
            (Starting(Step::Clone), A::AwaitReadyClone)
        }
        (Starting(Step::Clone), E::FunctionReady) => (Ready, A::Nothing),

        // Round a snapshot.
        (Ready, E::SaveAsked) => (Saving(Save::Quiesce), A::Quiesce),
        (Saving(Save::Quiesce), E::Quiesced) => (Saving(Save::Write), A::Write),
        (Saving(Save::Write), E::Written) => (Saving(Save::Return), A::AwaitClone),
        (Saving(Save::Return), E::CloneResumed { .. }) => (Ready, A::Nothing),

        // Asked to stop: gently where there is somebody to ask.
        (
            Starting(Step::Place | Step::Hypervisor | Step::Restore) | Saving(Save::Write),
            E::StopAsked { .. },
        ) => (Draining(Drain::Settling), A::Nothing),
        (
            Starting(Step::Function | Step::Clone) | Ready | Draining(Drain::Asked),
            E::StopAsked { grace },
        ) if !grace.is_zero() => (Draining(Drain::Asked), A::AskToStop { grace }),
        (
            Pending | Starting(_) | Ready | Saving(_) | Draining(Drain::Asked),
            E::StopAsked { .. },
        ) => (Draining(Drain::Leaving), A::Release),

        // Draining: nothing is a failure any more.
        (
            Draining(Drain::Settling),
            E::PlaceTaken { .. } | E::HypervisorUp | E::Written | E::StepFailed | E::DeadlinePassed,
        )
        | (Draining(Drain::Settling | Drain::Asked), E::HypervisorDied | E::MemoryLost)
        | (
            Draining(Drain::Asked),
            E::FunctionEnded { .. } | E::AgentFailed | E::AgentLost | E::DeadlinePassed,
        ) => (Draining(Drain::Leaving), A::Release),
        (Draining(Drain::Leaving), E::Released) => (Stopped, A::Nothing),

        // What breaks.
        (Starting(Step::Restore | Step::Resume | Step::Clone), why) if breaks(why) => {
            fail(Reason::RestoreFailed)
        }
        (Saving(_), why) if breaks(why) => fail(Reason::SaveFailed),
        (Starting(_) | Ready, E::HypervisorDied) => fail(Reason::HypervisorDied),
        (Ready, E::Unhealthy) => fail(Reason::Unhealthy),
        (Starting(_) | Ready, E::MemoryLost) => fail(Reason::MemoryLost),
        (Starting(_) | Ready, E::FunctionEnded { oom: true, .. }) => fail(Reason::OutOfMemory),
        (Starting(_), E::FunctionEnded { exit, .. }) => fail(Reason::ExitedEarly(exit)),
        (Ready, E::FunctionEnded { exit, .. }) => fail(Reason::Exited(exit)),
        (Starting(Step::Boot | Step::Agent), E::AgentFailed) => fail(Reason::StartFailed),
        (Starting(_) | Ready, E::AgentFailed | E::AgentLost) => fail(Reason::AgentProtocol),
        (Starting(step), E::StepFailed) => fail(broken(step)),
        (Starting(step), E::DeadlinePassed) => fail(late(step)),

        // Everything else came too late to matter.
        (stage, _) => (stage, A::Nothing),
    }
}

fn fail(reason: Reason) -> (Stage, Action) {
    (Stage::Failed(reason), Action::Release)
}

/// Whether the event is the end of an instance, wherever it happens.
fn breaks(event: Event) -> bool {
    matches!(
        event,
        Event::HypervisorDied
            | Event::MemoryLost
            | Event::FunctionEnded { .. }
            | Event::AgentFailed
            | Event::AgentLost
            | Event::StepFailed
            | Event::DeadlinePassed
    )
}

fn broken(step: Step) -> Reason {
    match step {
        Step::Place => Reason::NetworkFailed,
        Step::Hypervisor => Reason::HypervisorFailed,
        Step::Boot | Step::Agent => Reason::AgentProtocol,
        Step::Function => Reason::NeverListened,
        Step::Restore | Step::Resume | Step::Clone => Reason::RestoreFailed,
    }
}

fn late(step: Step) -> Reason {
    match step {
        Step::Place => Reason::NetworkFailed,
        Step::Hypervisor | Step::Boot | Step::Agent => Reason::BootTimedOut,
        Step::Function => Reason::NeverListened,
        Step::Restore | Step::Resume | Step::Clone => Reason::RestoreFailed,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WAY_UP: [Event; 6] = [
        Event::Begun,
        Event::PlaceTaken { snapshot: false },
        Event::HypervisorUp,
        Event::AgentConnected,
        Event::FunctionStarted,
        Event::FunctionReady,
    ];

    fn after(events: &[Event]) -> Stage {
        events
            .iter()
            .fold(Stage::Pending, |stage, event| step(stage, *event).0)
    }

    /// The stage after the first `n` steps of a start that goes well.
    fn up(n: usize) -> Stage {
        after(&WAY_UP[..n])
    }

    const EXIT: Exit = Exit {
        code: Some(3),
        signal: None,
    };
    const ENDED: Event = Event::FunctionEnded {
        exit: EXIT,
        oom: false,
    };
    const STOP: Event = Event::StopAsked {
        grace: Duration::from_secs(1),
    };
    const KILL: Event = Event::StopAsked {
        grace: Duration::ZERO,
    };

    #[test]
    fn a_start_that_goes_well_takes_one_step_after_the_other_to_ready() {
        let actions: Vec<_> = (0..6).map(|n| step(up(n), WAY_UP[n]).1).collect();
        assert_eq!(
            actions,
            [
                Action::TakePlace,
                Action::BootHypervisor,
                Action::AwaitAgent,
                Action::StartFunction,
                Action::AwaitReadiness,
                Action::Nothing
            ]
        );
        assert_eq!(up(6), Stage::Ready);
    }

    #[test]
    fn each_failure_has_the_name_of_what_broke_when() {
        let oom = Event::FunctionEnded {
            exit: EXIT,
            oom: true,
        };
        for (reached, event, reason) in [
            (1, Event::StepFailed, Reason::NetworkFailed),
            (2, Event::StepFailed, Reason::HypervisorFailed),
            (2, Event::DeadlinePassed, Reason::BootTimedOut),
            (3, Event::DeadlinePassed, Reason::BootTimedOut),
            (3, Event::StepFailed, Reason::AgentProtocol),
            (3, Event::HypervisorDied, Reason::HypervisorDied),
            (4, Event::DeadlinePassed, Reason::BootTimedOut),
            (3, Event::AgentFailed, Reason::StartFailed),
            (4, Event::AgentFailed, Reason::StartFailed),
            (4, Event::AgentLost, Reason::AgentProtocol),
            (5, Event::DeadlinePassed, Reason::NeverListened),
            (5, ENDED, Reason::ExitedEarly(EXIT)),
            (5, oom, Reason::OutOfMemory),
            (6, ENDED, Reason::Exited(EXIT)),
            (6, oom, Reason::OutOfMemory),
            (6, Event::AgentLost, Reason::AgentProtocol),
            (6, Event::HypervisorDied, Reason::HypervisorDied),
            (6, Event::Unhealthy, Reason::Unhealthy),
        ] {
            assert_eq!(
                step(up(reached), event),
                (Stage::Failed(reason), Action::Release),
                "{event:?} after {reached} steps"
            );
        }
    }

    #[test]
    fn a_ready_instance_is_asked_to_stop_before_it_is_killed() {
        let (stage, action) = step(Stage::Ready, STOP);
        assert_eq!(stage, Stage::Draining(Drain::Asked));
        assert_eq!(
            action,
            Action::AskToStop {
                grace: Duration::from_secs(1)
            }
        );
        for end in [ENDED, Event::DeadlinePassed, Event::HypervisorDied, KILL] {
            assert_eq!(
                step(stage, end),
                (Stage::Draining(Drain::Leaving), Action::Release)
            );
        }
    }

    #[test]
    fn a_stop_in_the_middle_of_making_a_thing_waits_for_the_thing() {
        for (reached, outcome) in [
            (1, Event::PlaceTaken { snapshot: false }),
            (1, Event::StepFailed),
            (2, Event::HypervisorUp),
            (2, Event::DeadlinePassed),
        ] {
            let (stage, action) = step(up(reached), KILL);
            assert_eq!(
                (stage, action),
                (Stage::Draining(Drain::Settling), Action::Nothing)
            );
            assert_eq!(
                step(stage, outcome),
                (Stage::Draining(Drain::Leaving), Action::Release)
            );
        }
    }

    const SHORT_WAY_UP: [Event; 4] = [
        Event::Begun,
        Event::PlaceTaken { snapshot: true },
        Event::HypervisorUp,
        Event::CloneResumed { ask: false },
    ];
    const ROUND: [Event; 4] = [
        Event::SaveAsked,
        Event::Quiesced,
        Event::Written,
        Event::CloneResumed { ask: false },
    ];

    #[test]
    fn a_snapshot_shortens_the_way_to_ready() {
        let mut stage = Stage::Pending;
        let mut actions = Vec::new();
        for event in SHORT_WAY_UP {
            let (next, action) = step(stage, event);
            actions.push(action);
            stage = next;
        }
        assert_eq!(
            actions,
            [
                Action::TakePlace,
                Action::Restore,
                Action::AwaitClone,
                Action::Nothing
            ]
        );
        assert_eq!(stage, Stage::Ready);
    }

    #[test]
    fn a_clone_that_is_to_be_asked_is_ready_when_it_says_so_and_if_it_does_not_it_is_the_snapshots_fault()
     {
        let resumed = after(&SHORT_WAY_UP[..3]);
        let (asked, action) = step(resumed, Event::CloneResumed { ask: true });
        assert_eq!(action, Action::AwaitReadyClone);
        assert_eq!(
            step(asked, Event::FunctionReady),
            (Stage::Ready, Action::Nothing)
        );
        for event in [Event::StepFailed, ENDED, Event::AgentLost] {
            assert_eq!(
                step(asked, event),
                (Stage::Failed(Reason::RestoreFailed), Action::Release)
            );
        }
        assert_eq!(step(asked, STOP).0, Stage::Draining(Drain::Asked));
    }

    #[test]
    fn an_instance_is_ready_again_after_it_was_saved() {
        let mut stage = up(6);
        let mut actions = Vec::new();
        for event in ROUND {
            let (next, action) = step(stage, event);
            actions.push(action);
            stage = next;
        }
        assert_eq!(
            actions,
            [
                Action::Quiesce,
                Action::Write,
                Action::AwaitClone,
                Action::Nothing
            ]
        );
        assert_eq!(stage, Stage::Ready);
    }

    #[test]
    fn what_breaks_on_the_short_way_is_the_snapshots_fault() {
        for reached in [2, 3] {
            let stage = after(&SHORT_WAY_UP[..reached]);
            for event in [
                Event::StepFailed,
                Event::DeadlinePassed,
                Event::HypervisorDied,
                Event::AgentFailed,
                Event::AgentLost,
            ] {
                assert_eq!(
                    step(stage, event),
                    (Stage::Failed(Reason::RestoreFailed), Action::Release),
                    "{event:?} after {reached} steps"
                );
            }
        }
    }

    #[test]
    fn an_instance_that_does_not_come_back_from_being_saved_has_failed() {
        for done in 1..ROUND.len() {
            let stage = ROUND[..done]
                .iter()
                .fold(up(6), |stage, event| step(stage, *event).0);
            assert_eq!(
                step(stage, Event::DeadlinePassed),
                (Stage::Failed(Reason::SaveFailed), Action::Release),
                "after {done} steps"
            );
        }
    }

    #[test]
    fn a_stop_while_the_guest_is_written_waits_for_the_writing() {
        let stage = ROUND[..2]
            .iter()
            .fold(up(6), |stage, event| step(stage, *event).0);
        let (stage, action) = step(stage, STOP);
        assert_eq!(
            (stage, action),
            (Stage::Draining(Drain::Settling), Action::Nothing)
        );
        assert_eq!(
            step(stage, Event::Written),
            (Stage::Draining(Drain::Leaving), Action::Release)
        );
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => proptest::sample::select(WAY_UP.to_vec()),
            2 => proptest::sample::select(SHORT_WAY_UP.to_vec()),
            4 => proptest::sample::select(ROUND.to_vec()),
            1 => Just(Event::CloneResumed { ask: true }),
            1 => Just(Event::StepFailed),
            1 => Just(Event::DeadlinePassed),
            1 => any::<bool>().prop_map(|oom| Event::FunctionEnded { exit: EXIT, oom }),
            1 => Just(Event::AgentFailed),
            1 => Just(Event::AgentLost),
            1 => Just(Event::HypervisorDied),
            1 => Just(Event::MemoryLost),
            1 => Just(Event::Unhealthy),
            1 => Just(STOP),
            1 => Just(KILL),
            1 => Just(Event::Released),
        ]
    }

    /// The model: it knows which events are still to come on the way that the instance is on, whether the end began and
    /// why, and no table.
    #[derive(Debug)]
    struct Model {
        begun: bool,
        /// On the way up, or round a snapshot.
        left: Vec<Event>,
        saving: bool,
        stopping: bool,
        failed: bool,
        release_asked: bool,
        released: bool,
    }

    impl Model {
        fn new() -> Self {
            Self {
                begun: false,
                left: WAY_UP.to_vec(),
                saving: false,
                stopping: false,
                failed: false,
                release_asked: false,
                released: false,
            }
        }

        fn observe(&mut self, event: Event, action: Action) {
            let over = self.stopping || self.failed;
            match event {
                _ if self.released => {}
                Event::Released => self.released = self.release_asked,
                Event::StopAsked { .. } if !over => self.stopping = true,
                _ if over => {}
                Event::PlaceTaken { snapshot: true } if self.left == WAY_UP[1..] => {
                    self.left = SHORT_WAY_UP[2..].to_vec();
                }
                Event::CloneResumed { ask: true }
                    if self.left == SHORT_WAY_UP[3..] && !self.saving =>
                {
                    self.left = vec![Event::FunctionReady];
                }
                // A guest that was saved is not asked.
                Event::CloneResumed { ask: true } if self.left == ROUND[3..] && self.saving => {
                    self.left.clear();
                    self.saving = false;
                }
                Event::SaveAsked if self.left.is_empty() => {
                    self.left = ROUND[1..].to_vec();
                    self.saving = true;
                }
                _ if Some(&event) == self.left.first() => {
                    self.begun = true;
                    self.left.remove(0);
                    self.saving &= !self.left.is_empty();
                }
                Event::StepFailed | Event::DeadlinePassed => {
                    self.failed = self.begun && !self.left.is_empty();
                }
                _ if breaks(event) => self.failed = self.begun,
                _ => {}
            }
            if action == Action::Release {
                assert!(!self.release_asked, "released twice");
                self.release_asked = true;
            }
        }

        fn agrees_with(&self, stage: Stage) -> bool {
            let alive = !self.stopping && !self.failed;
            match stage {
                Stage::Pending => !self.begun && alive,
                Stage::Starting(_) => self.begun && !self.left.is_empty() && !self.saving && alive,
                Stage::Ready => self.left.is_empty() && alive,
                Stage::Saving(_) => self.saving && alive,
                Stage::Draining(_) => self.stopping && !self.released,
                Stage::Stopped => self.stopping && self.release_asked && self.released,
                Stage::Failed(_) => self.failed && self.release_asked,
            }
        }
    }

    proptest! {
        #[test]
        fn the_machine_agrees_with_the_model(events in prop::collection::vec(event(), 0..40)) {
            let mut stage = Stage::Pending;
            let mut model = Model::new();
            for event in events {
                let (next, action) = step(stage, event);
                model.observe(event, action);
                prop_assert!(model.agrees_with(next), "{stage:?} + {event:?} = {next:?}, {model:?}");
                if matches!(stage, Stage::Stopped | Stage::Failed(_)) {
                    prop_assert_eq!((next, action), (stage, Action::Nothing));
                }
                stage = next;
            }
        }

        #[test]
        fn a_kill_and_the_end_of_the_step_under_way_always_lead_to_a_release(
            events in prop::collection::vec(event(), 0..40),
        ) {
            let mut stage = Stage::Pending;
            let mut released = false;
            for event in events.into_iter().chain([KILL, Event::StepFailed, Event::Released]) {
                let (next, action) = step(stage, event);
                released |= action == Action::Release;
                stage = next;
            }
            prop_assert!(released);
            prop_assert!(matches!(stage, Stage::Stopped | Stage::Failed(_)), "{stage:?}");
        }
    }
}
