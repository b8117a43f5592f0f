//! An instance that is wanted and not there yet: its Pod waits and says for what, as that of a Deployment would.

use jiff::Timestamp;

use super::{About, Recorder, seconds};

/// The next instance of a revision, before it is started.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) id: String,
    pub(super) uid: String,
    pub(super) created: Timestamp,
}

impl Place {
    /// One that is taken from now on.
    pub(crate) fn new(id: String, now: Timestamp) -> Self {
        Self {
            id,
            uid: uuid::Uuid::new_v4().to_string(),
            created: now,
        }
    }

    pub(super) fn about(&self, namespace: &str) -> About {
        About::pod(namespace, &self.id, &self.uid)
    }

    /// Writes the event of an obstacle that was not there before.
    pub(crate) fn record(&self, obstacle: &Obstacle, namespace: &str, events: &Recorder) {
        let about = self.about(namespace);
        let message = obstacle.message();
        match obstacle {
            Obstacle::Image(_) => events.normal(&about, "Pulling", message),
            Obstacle::NoImage(_) | Obstacle::Config(_) => events.warning(&about, "Failed", message),
            Obstacle::Pause(_) => events.warning(&about, "BackOff", message),
            Obstacle::Memory => events.warning(&about, "FailedScheduling", message),
        }
    }
}

/// Why an instance that is wanted is not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// This image is on its way.
    Image(String),
    /// There is no image; why.
    NoImage(String),
    /// What it takes values or files from is missing; what.
    Config(String),
    /// The last ones failed, and the next try is not before this.
    Pause(Timestamp),
    /// The machine's memory is promised to others.
    Memory,
}

impl Obstacle {
    /// The kubelet's word for what a container waits for; `None` where it would not have heard of the Pod yet.
    pub(super) fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Image(_) => Some("ContainerCreating"),
            Self::NoImage(_) => Some("ImagePullBackOff"),
            Self::Config(_) => Some("CreateContainerConfigError"),
            Self::Pause(_) => Some("CrashLoopBackOff"),
            Self::Memory => None,
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Image(image) => format!("Pulling image {image:?}"),
            Self::NoImage(why) | Self::Config(why) => why.clone(),
            Self::Pause(until) => format!(
                "Back-off restarting failed container until {}",
                seconds(*until)
            ),
            Self::Memory => {
                "0/1 nodes are available: 1 Insufficient memory: it is promised to other instances"
                    .to_owned()
            }
        }
    }
}
