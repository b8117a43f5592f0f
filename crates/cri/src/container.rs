//! A container that is a microVM, as the CRI shows it: created, running, exited.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use sandbox::{Exit, Failure, Reason};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::machine::Machine;
use crate::pod::Pod;
use crate::proto::runtime_v1 as cri;
use cri::ContainerState;

/// How runtimes say that a process could not be started.
const START_ERROR: &str = "StartError";
const START_ERROR_CODE: i32 = 128;
/// As if by SIGKILL.
const KILLED: i32 = 137;

/// A container of ours.
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) pod: Arc<Pod>,
    pub(crate) config: cri::ContainerConfig,
    /// Held by whoever starts, stops or removes it.
    pub(crate) turn: tokio::sync::Mutex<()>,
    record: watch::Sender<Record>,
    /// From the start until it is removed.
    machine: Mutex<Option<Arc<Machine>>>,
}

/// How far a container has come. Times are nanoseconds since 1970; 0 is not yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    pub(crate) created_at: i64,
    pub(crate) started_at: i64,
    pub(crate) finished_at: i64,
    pub(crate) end: End,
    /// containerd's id of the image.
    pub(crate) image_id: String,
    /// What the kubelet knows it by.
    pub(crate) image_ref: String,
    pub(crate) image_name: String,
    /// Where it listens, in the guest and in the pod.
    pub(crate) ports: Vec<u16>,
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct End {
    pub(crate) exit_code: i32,
    /// One word.
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Record {
    pub(crate) fn state(&self) -> ContainerState {
        match self {
            Self { finished_at, .. } if *finished_at != 0 => ContainerState::ContainerExited,
            Self { started_at, .. } if *started_at != 0 => ContainerState::ContainerRunning,
            _ => ContainerState::ContainerCreated,
        }
    }

    /// What is known of it when the process that ran it is gone, and the microVM with it.
    pub(crate) fn abandoned(mut self, now: Timestamp) -> Self {
        if self.state() == ContainerState::ContainerRunning {
            self.finished_at = nanoseconds(now);
            self.end = End {
                exit_code: KILLED,
                reason: "Error".into(),
                message: "the microVM ended with the vhive process that ran it".into(),
            };
        }
        self
    }
}

impl End {
    /// After a process that ended by itself, or was told to.
    pub(crate) fn exited(exit: Exit) -> Self {
        let exit_code = match exit {
            Exit {
                signal: Some(signal),
                ..
            } => 128 + signal,
            Exit { code, .. } => code.unwrap_or(KILLED),
        };
        let reason = if exit_code == 0 { "Completed" } else { "Error" };
        Self {
            exit_code,
            reason: reason.into(),
            message: String::new(),
        }
    }

    /// After a stop that was asked for, of which the guest said or did not say how the process ended.
    pub(crate) fn stopped(exit: Option<Exit>) -> Self {
        match exit {
            Some(exit) => Self::exited(exit),
            None => Self {
                exit_code: KILLED,
                reason: "Error".into(),
                message: String::new(),
            },
        }
    }

    /// After a failure.
    pub(crate) fn failed(failure: &Failure) -> Self {
        match failure.reason {
            Reason::Exited(exit) | Reason::ExitedEarly(exit) => Self::exited(exit),
            // The word that the kubelet knows.
            Reason::OutOfMemory => Self {
                exit_code: KILLED,
                reason: "OOMKilled".into(),
                message: failure.message.clone(),
            },
            reason if never_ran(reason) => Self {
                exit_code: START_ERROR_CODE,
                reason: START_ERROR.into(),
                message: failure.message.clone(),
            },
            reason => Self {
                exit_code: KILLED,
                reason: reason.name().into(),
                message: failure.message.clone(),
            },
        }
    }

    /// After a start that did not get as far as an instance.
    pub(crate) fn not_started(message: &str) -> Self {
        Self {
            exit_code: START_ERROR_CODE,
            reason: START_ERROR.into(),
            message: message.to_owned(),
        }
    }

    pub(crate) fn is_start_error(&self) -> bool {
        self.reason == START_ERROR
    }
}

fn never_ran(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Refused
            | Reason::NetworkFailed
            | Reason::HypervisorFailed
            | Reason::BootTimedOut
            | Reason::StartFailed
            | Reason::RestoreFailed
    )
}

impl Container {
    pub(crate) fn new(
        id: String,
        pod: Arc<Pod>,
        config: cri::ContainerConfig,
        record: Record,
    ) -> Self {
        Self {
            id,
            pod,
            config,
            turn: tokio::sync::Mutex::default(),
            record: watch::Sender::new(record),
            machine: Mutex::default(),
        }
    }

    pub(crate) fn record(&self) -> Record {
        self.record.borrow().clone()
    }

    /// Changes the record, and returns what it is then.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Record)) -> Record {
        self.record.send_modify(change);
        self.record()
    }

    /// Waits until it does not run.
    pub(crate) async fn ended(&self) {
        let mut record = self.record.subscribe();
        let running = ContainerState::ContainerRunning;
        // The sender is in `self`, so it cannot be gone.
        let _ = record.wait_for(|it| it.state() != running).await;
    }

    pub(crate) fn machine(&self) -> Option<Arc<Machine>> {
        let machine = self.machine.lock();
        machine.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_machine(&self, machine: Option<Arc<Machine>>) {
        *self.machine.lock().unwrap_or_else(PoisonError::into_inner) = machine;
    }

    /// The file that the kubelet reads, if it wants one.
    pub(crate) fn log_path(&self) -> Option<std::path::PathBuf> {
        let folder = &self.pod.config.log_directory;
        let wanted = !folder.is_empty() && !self.config.log_path.is_empty();
        wanted.then(|| std::path::Path::new(folder).join(&self.config.log_path))
    }

    pub(crate) fn name(&self) -> &str {
        crate::pod::name(&self.config)
    }

    pub(crate) fn attempt(&self) -> u32 {
        let metadata = self.config.metadata.as_ref();
        metadata.map_or(0, |metadata| metadata.attempt)
    }

    /// As a list shows it.
    pub(crate) fn listed(&self) -> cri::Container {
        let record = self.record();
        cri::Container {
            id: self.id.clone(),
            pod_sandbox_id: self.pod.id.clone(),
            metadata: self.config.metadata.clone(),
            image: self.config.image.clone(),
            state: record.state().into(),
            created_at: record.created_at,
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            image_ref: record.image_ref,
            image_id: record.image_id,
        }
    }

    /// All of it.
    pub(crate) fn status(&self) -> cri::ContainerStatus {
        let record = self.record();
        let log_path = self.log_path().unwrap_or_default();
        let linux = self.config.linux.as_ref();
        cri::ContainerStatus {
            id: self.id.clone(),
            metadata: self.config.metadata.clone(),
            state: record.state().into(),
            created_at: record.created_at,
            started_at: record.started_at,
            finished_at: record.finished_at,
            exit_code: record.end.exit_code,
            image: Some(cri::ImageSpec {
                image: record.image_name,
                ..self.config.image.clone().unwrap_or_default()
            }),
            image_ref: record.image_ref,
            image_id: record.image_id,
            reason: record.end.reason,
            message: record.end.message,
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            mounts: self.config.mounts.clone(),
            log_path: log_path.to_string_lossy().into_owned(),
            resources: Some(cri::ContainerResources {
                linux: linux.and_then(|linux| linux.resources.clone()),
                windows: None,
            }),
            ..Default::default()
        }
    }
}

/// Whether a list that asks for this has it.
pub(crate) fn matches(container: &cri::Container, filter: &cri::ContainerFilter) -> bool {
    let state = filter.state.as_ref();
    // An id may be given in short.
    container.id.starts_with(&filter.id)
        && container.pod_sandbox_id.starts_with(&filter.pod_sandbox_id)
        && state.is_none_or(|wanted| wanted.state == container.state)
        && selected(&container.labels, &filter.label_selector)
}

/// Whether these labels have all that are asked for.
pub(crate) fn selected<'a>(
    labels: &std::collections::BTreeMap<String, String>,
    wanted: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> bool {
    wanted
        .into_iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// As the CRI counts time.
pub(crate) fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(reason: Reason) -> Failure {
        Failure {
            reason,
            message: "why".into(),
            exit_code: None,
        }
    }

    #[test]
    fn an_end_has_the_code_and_the_word_that_kubelets_know() {
        let exit = |code, signal| Exit { code, signal };
        for (end, code, reason) in [
            (End::exited(exit(Some(0), None)), 0, "Completed"),
            (End::exited(exit(Some(3), None)), 3, "Error"),
            (End::exited(exit(None, Some(15))), 143, "Error"),
            (End::stopped(None), 137, "Error"),
            (
                End::failed(&failure(Reason::ExitedEarly(exit(Some(1), None)))),
                1,
                "Error",
            ),
            (End::failed(&failure(Reason::OutOfMemory)), 137, "OOMKilled"),
            (
                End::failed(&failure(Reason::HypervisorDied)),
                137,
                "HypervisorDied",
            ),
            (
                End::failed(&failure(Reason::StartFailed)),
                128,
                "StartError",
            ),
        ] {
            assert_eq!((end.exit_code, &*end.reason), (code, reason));
        }
    }

    #[test]
    fn what_ran_when_its_process_was_killed_has_ended_and_nothing_else_has() {
        let now = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(9);
        let created = Record {
            created_at: 1,
            ..Record::default()
        };
        assert_eq!(created.clone().abandoned(now), created);
        let running = Record {
            started_at: 2,
            ..created
        };
        let ended = running.abandoned(now);
        assert_eq!(ended.state(), ContainerState::ContainerExited);
        assert_eq!(ended.finished_at, 9_000_000_000);
        assert_eq!(ended.end.exit_code, 137);
        assert_eq!(ended.clone().abandoned(Timestamp::now()), ended);
    }
}
