//! The life of one instance as far as it is shown, and what about it is worth an event.

use std::time::Duration;

use jiff::Timestamp;
use sandbox::{Failure, Handle, State};

use super::{About, Place, Recorder};

/// An instance at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) state: State,
    /// Whether it is given requests.
    pub(crate) serving: bool,
    /// Whether it was taken out of service for good.
    pub(crate) leaving: bool,
    /// The hypervisor's process.
    pub(crate) pid: Option<u32>,
}

/// An instance that failed, as the one that takes its place remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(super) id: String,
    pub(super) failure: Failure,
    /// Since when it ran; of one that never did, since when it was to.
    pub(super) started: Timestamp,
    pub(super) at: Timestamp,
    /// How many have failed one after the other, itself included.
    pub(super) in_a_row: u32,
}

/// What is known of an instance.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(super) id: String,
    pub(super) uid: String,
    /// When it was first wanted.
    pub(super) created: Timestamp,
    /// When its start began.
    pub(super) begun: Timestamp,
    /// What it is restored from; one without is booted.
    pub(super) snapshot: Option<String>,
    pub(super) sight: Sight,
    /// Since when it runs.
    pub(super) ready_since: Option<Timestamp>,
    /// When it last began or ceased to be given requests.
    pub(super) serving_changed: Timestamp,
    pub(super) leaving_since: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    /// How long the parts of its start took.
    pub(super) phases: Vec<(&'static str, Duration)>,
    /// `repository@digest` of its image.
    pub(super) image_id: String,
    /// Whose place it has taken.
    pub(super) predecessor: Option<Ended>,
}

impl Life {
    /// One that begins, in a place that was kept for it.
    pub(crate) fn begins(
        handle: &Handle,
        place: Place,
        image_id: String,
        predecessor: Option<Ended>,
        now: Timestamp,
    ) -> Self {
        Self {
            id: place.id,
            uid: place.uid,
            created: place.created,
            begun: now,
            snapshot: handle.snapshot().map(|it| it.manifest().id.clone()),
            sight: Sight {
                state: State::Pending,
                serving: false,
                leaving: false,
                pid: None,
            },
            ready_since: None,
            serving_changed: now,
            leaving_since: None,
            ended: None,
            phases: Vec::new(),
            image_id,
            predecessor,
        }
    }

    /// Notes what is to be seen now, and says whether that is news.
    pub(crate) fn see(&mut self, sight: Sight, handle: &Handle, now: Timestamp) -> bool {
        if self.sight == sight {
            return false;
        }
        if sight.state == State::Ready && self.ready_since.is_none() {
            self.ready_since = Some(now);
            let phases = handle.phases().into_iter();
            self.phases = phases.map(|it| (it.name, it.duration)).collect();
        }
        if sight.serving != self.sight.serving {
            self.serving_changed = now;
        }
        if sight.leaving {
            self.leaving_since.get_or_insert(now);
        }
        if sight.state.is_terminal() {
            self.ended.get_or_insert(now);
        }
        self.sight = sight;
        true
    }

    pub(crate) fn sight(&self) -> &Sight {
        &self.sight
    }

    /// Whether it ended because it was asked to.
    pub(crate) fn is_stopped(&self) -> bool {
        self.sight.state == State::Stopped
    }

    /// How it failed, if it has.
    pub(crate) fn ending(&self) -> Option<Ended> {
        let State::Failed(failure) = &self.sight.state else {
            return None;
        };
        Some(Ended {
            id: self.id.clone(),
            failure: failure.clone(),
            started: self.ready_since.unwrap_or(self.begun),
            at: self.ended.unwrap_or(self.begun),
            in_a_row: 1 + self.predecessor.as_ref().map_or(0, |it| it.in_a_row),
        })
    }

    /// How it was started, in a word.
    pub(super) fn start(&self) -> &'static str {
        match self.snapshot {
            Some(_) => "restored",
            None => "boot",
        }
    }

    /// The Pod, as events name it.
    fn about(&self, namespace: &str) -> About {
        About::pod(namespace, &self.id, &self.uid)
    }

    /// Writes events of what has changed since `before`; None for one that has just begun.
    pub(crate) fn record(
        &self,
        before: Option<&Sight>,
        (namespace, container): (&str, &str),
        events: &Recorder,
    ) {
        let about = self.about(namespace);
        for News {
            warning,
            reason,
            message,
        } in self.news(before, container)
        {
            if warning {
                events.warning(&about, reason, message);
            } else {
                events.normal(&about, reason, message);
            }
        }
    }

    fn news(&self, before: Option<&Sight>, container: &str) -> Vec<News> {
        let Some(before) = before else {
            let message = match &self.snapshot {
                Some(snapshot) => {
                    format!("Created container {container}, to be restored from {snapshot}")
                }
                None => format!("Created container {container}, to be booted"),
            };
            return vec![News::normal("Created", message)];
        };
        let mut news = Vec::new();
        let now = &self.sight;
        if now.state == State::Ready
            && matches!(before.state, State::Pending | State::Starting)
            && let Some(ready) = self.ready_since
        {
            news.push(match &self.snapshot {
                Some(snapshot) => {
                    News::normal("Restored", format!("Restored from snapshot {snapshot}"))
                }
                None => News::normal("Started", format!("Started container {container}")),
            });
            let took = ready.duration_since(self.begun).as_secs_f64();
            let phases: Vec<String> = self
                .phases
                .iter()
                .map(|(name, duration)| format!("{name} {:.3} s", duration.as_secs_f64()))
                .collect();
            let message = format!("Answers after {took:.3} s: {}", phases.join(", "));
            news.push(News::normal("Ready", message));
        }
        if now.leaving && !before.leaving {
            news.push(News::normal(
                "Killing",
                format!("Stopping container {container}"),
            ));
        }
        if let State::Failed(failure) = &now.state {
            news.push(News {
                warning: true,
                reason: "Failed",
                message: format!("{}: {}", failure.reason.name(), failure.message),
            });
        }
        news
    }
}

/// Something worth an event.
#[derive(Debug, PartialEq, Eq)]
struct News {
    warning: bool,
    reason: &'static str,
    message: String,
}

impl News {
    fn normal(reason: &'static str, message: String) -> Self {
        Self {
            warning: false,
            reason,
            message,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use sandbox::{Exit, Reason};

    use super::*;

    pub(in crate::shown) fn life(state: State) -> Life {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let ended = state.is_terminal();
        Life {
            id: "hello-00001-deployment-x7k2p".to_owned(),
            uid: "uid-of-pod".to_owned(),
            created: time("2026-01-02T03:04:05.5Z"),
            begun: time("2026-01-02T03:04:05.5Z"),
            snapshot: None,
            sight: Sight {
                serving: state == State::Ready,
                state,
                leaving: false,
                pid: Some(7),
            },
            ready_since: Some(time("2026-01-02T03:04:06.75Z")),
            serving_changed: time("2026-01-02T03:04:06.75Z"),
            leaving_since: None,
            ended: ended.then(|| time("2026-01-02T03:05:00Z")),
            phases: vec![("boot", Duration::from_millis(700))],
            image_id: "dev.local/hello@sha256:00".to_owned(),
            predecessor: None,
        }
    }

    pub(in crate::shown) fn crashed() -> State {
        State::Failed(Failure {
            reason: Reason::Exited(Exit {
                code: Some(3),
                signal: None,
            }),
            message: "exited with code 3".to_owned(),
            exit_code: Some(3),
        })
    }

    fn reasons(life: &Life, before: Option<&Sight>) -> Vec<&'static str> {
        let news = life.news(before, "user-container");
        news.into_iter().map(|it| it.reason).collect()
    }

    #[test]
    fn what_happens_to_an_instance_is_told_once() {
        let pending = life(State::Pending);
        assert_eq!(reasons(&pending, None), ["Created"]);
        let ready = life(State::Ready);
        assert_eq!(reasons(&ready, Some(&pending.sight)), ["Started", "Ready"]);
        let message = ready.news(Some(&pending.sight), "c").remove(1).message;
        assert_eq!(message, "Answers after 1.250 s: boot 0.700 s");
        let restored = Life {
            snapshot: Some("s".to_owned()),
            ..life(State::Ready)
        };
        assert_eq!(
            reasons(&restored, Some(&pending.sight)),
            ["Restored", "Ready"]
        );
        // It was saved, and is back.
        let saving = life(State::Saving);
        assert_eq!(reasons(&ready, Some(&saving.sight)), [""; 0]);
        let mut leaving = life(State::Draining);
        leaving.sight.leaving = true;
        assert_eq!(reasons(&leaving, Some(&ready.sight)), ["Killing"]);
        let failed = life(crashed());
        assert_eq!(
            failed.news(Some(&ready.sight), "c"),
            [News {
                warning: true,
                reason: "Failed",
                message: "Exited: exited with code 3".to_owned(),
            }]
        );
    }
}
