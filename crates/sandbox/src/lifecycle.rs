//! The life of an instance, as a pure function of where it is and what happened.
//!
//! ```text
//!            Begun      NetworkTaken   HypervisorUp  AgentConnected FunctionStarted FunctionReady
//!   Pending ──────► Network ──────► Hypervisor ──► Boot ──────► Agent ──────► Function ──────► Ready
//!      │           └───────────────────────── Starting ───────────────────────────┘              │
//!      │               │              │             │             │               │              │
//!      │           StopAsked      StopAsked     StopAsked     StopAsked      StopAsked       StopAsked
//!      │               ▼              ▼             │             │               ▼              ▼
//!      │           ┌─ Settling: waits for the ─┐    │             │         ┌─ Asked: the agent ends ─┐
//!      │           │  step under way, for a    │    │             │         │  the function, until    │
//!      │           │  half-made thing cannot   │    │             │         │  the grace is over      │
//!      │           │  be removed               │    │             │         └─────────────────────────┘
//!      │           └───────────────────────────┘    │             │                     │ it ended, or
//!      │                       │ done or failed     │             │                     │ the grace did
//!      │ StopAsked             ▼                    ▼             ▼                     ▼
//!      └──────────────────► Leaving: everything the instance owns is being removed
//!                           └─ Draining = Settling, Asked, Leaving        │ Released
//!                                                                         ▼
//!                                                                      Stopped
//!
//!   Starting, Ready ── something broke, ended or took too long ──► Failed{reason}   (removes everything)
//! ```
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
    Draining(Drain),
    Stopped,
    Failed(Reason),
}

/// The steps of a start, each under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Network,
    Hypervisor,
    Boot,
    Agent,
    Function,
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
    NetworkTaken,
    HypervisorUp,
    AgentConnected,
    FunctionStarted,
    FunctionReady,
    /// The step under way failed.
    StepFailed,
    /// The deadline of the step, or the grace of the drain, is over.
    DeadlinePassed,
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
    TakeNetwork,
    BootHypervisor,
    AwaitAgent,
    StartFunction,
    AwaitReadiness,
    /// Ask the agent to end the function, and wait no longer than this.
    AskToStop {
        grace: Duration,
    },
    /// Kill the hypervisor and remove everything the instance owns.
    Release,
}

/// The stage after `event`, and what to do on the way there.
pub(crate) fn step(stage: Stage, event: Event) -> (Stage, Action) {
    use Action as A;
    use Event as E;
    use Stage::{Draining, Pending, Ready, Starting, Stopped};

    match (stage, event) {
        // The way up.
        (Pending, E::Begun) => (Starting(Step::Network), A::TakeNetwork),
        (Starting(Step::Network), E::NetworkTaken) => {
            (Starting(Step::Hypervisor), A::BootHypervisor)
        }
        (Starting(Step::Hypervisor), E::HypervisorUp) => (Starting(Step::Boot), A::AwaitAgent),
        (Starting(Step::Boot), E::AgentConnected) => (Starting(Step::Agent), A::StartFunction),
        (Starting(Step::Agent), E::FunctionStarted) => {
            (Starting(Step::Function), A::AwaitReadiness)
        }
        (Starting(Step::Function), E::FunctionReady) => (Ready, A::Nothing),

        // Asked to stop: gently where there is somebody to ask.
        (Starting(Step::Network | Step::Hypervisor), E::StopAsked { .. }) => {
            (Draining(Drain::Settling), A::Nothing)
        }
        (Starting(Step::Function) | Ready | Draining(Drain::Asked), E::StopAsked { grace })
            if !grace.is_zero() =>
        {
            (Draining(Drain::Asked), A::AskToStop { grace })
        }
        (Pending | Starting(_) | Ready | Draining(Drain::Asked), E::StopAsked { .. }) => {
            (Draining(Drain::Leaving), A::Release)
        }

        // Draining: nothing is a failure any more.
        (
            Draining(Drain::Settling),
            E::NetworkTaken | E::HypervisorUp | E::StepFailed | E::DeadlinePassed,
        )
        | (Draining(Drain::Settling | Drain::Asked), E::HypervisorDied)
        | (
            Draining(Drain::Asked),
            E::FunctionEnded { .. } | E::AgentFailed | E::AgentLost | E::DeadlinePassed,
        ) => (Draining(Drain::Leaving), A::Release),
        (Draining(Drain::Leaving), E::Released) => (Stopped, A::Nothing),

        // What breaks.
        (Starting(_) | Ready, E::HypervisorDied) => fail(Reason::HypervisorDied),
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

fn broken(step: Step) -> Reason {
    match step {
        Step::Network => Reason::NetworkFailed,
        Step::Hypervisor => Reason::HypervisorFailed,
        Step::Boot | Step::Agent => Reason::AgentProtocol,
        Step::Function => Reason::NeverListened,
    }
}

fn late(step: Step) -> Reason {
    match step {
        Step::Network => Reason::NetworkFailed,
        Step::Hypervisor | Step::Boot | Step::Agent => Reason::BootTimedOut,
        Step::Function => Reason::NeverListened,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WAY_UP: [Event; 6] = [
        Event::Begun,
        Event::NetworkTaken,
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
                Action::TakeNetwork,
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
            (1, Event::NetworkTaken),
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

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => proptest::sample::select(WAY_UP.to_vec()),
            1 => Just(Event::StepFailed),
            1 => Just(Event::DeadlinePassed),
            1 => any::<bool>().prop_map(|oom| Event::FunctionEnded { exit: EXIT, oom }),
            1 => Just(Event::AgentFailed),
            1 => Just(Event::AgentLost),
            1 => Just(Event::HypervisorDied),
            1 => Just(STOP),
            1 => Just(KILL),
            1 => Just(Event::Released),
        ]
    }

    /// The model: it knows how far the start came, whether the end began and why, and no table.
    #[derive(Default, Debug)]
    struct Model {
        reached: usize,
        stopping: bool,
        failed: bool,
        release_asked: bool,
        released: bool,
    }

    impl Model {
        fn observe(&mut self, event: Event, action: Action) {
            let over = self.stopping || self.failed;
            match event {
                _ if self.released => {}
                Event::Released => self.released = self.release_asked,
                Event::StopAsked { .. } if !over => self.stopping = true,
                _ if over => {}
                _ if Some(&event) == WAY_UP.get(self.reached) => self.reached += 1,
                Event::StepFailed | Event::DeadlinePassed => {
                    self.failed = (1..=5).contains(&self.reached);
                }
                Event::FunctionEnded { .. }
                | Event::AgentFailed
                | Event::AgentLost
                | Event::HypervisorDied => self.failed = self.reached >= 1,
                _ => {}
            }
            if action == Action::Release {
                assert!(!self.release_asked, "released twice");
                self.release_asked = true;
            }
        }

        fn agrees_with(&self, stage: Stage) -> bool {
            match stage {
                Stage::Pending => self.reached == 0 && !self.stopping && !self.failed,
                Stage::Starting(_) => {
                    (1..=5).contains(&self.reached) && !self.stopping && !self.failed
                }
                Stage::Ready => self.reached == 6 && !self.stopping && !self.failed,
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
            let mut model = Model::default();
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
