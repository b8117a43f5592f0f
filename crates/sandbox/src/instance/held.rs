//! What the volumes of an instance hold that are written from outside, once it is another than they began with.
//!
//! What they began with stays in the instance's [`Spec`]: a snapshot is of a process that may have read that, and no more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vmm::agent::protocol::Contents;

use crate::config::Spec;

#[derive(Default)]
pub(super) struct Held {
    latest: Latest,
    /// The agent may not have been told.
    untold: bool,
}

/// What was last said of each volume of which something was said.
#[derive(Clone, Default)]
pub(super) struct Latest(Arc<Mutex<Vec<Contents>>>);

impl Held {
    /// Notes what volumes are to hold from now on.
    pub(super) fn update(&mut self, volumes: Vec<Contents>) {
        let mut latest = self.latest.lock();
        for contents in volumes {
            match latest.iter_mut().find(|it| it.name == contents.name) {
                Some(held) => *held = contents,
                None => latest.push(contents),
            }
        }
        self.untold = true;
    }

    /// What has not been told, for who tells it now.
    pub(super) fn news(&mut self) -> Option<Latest> {
        std::mem::take(&mut self.untold).then(|| self.latest.clone())
    }

    /// What all volumes hold; those of which nothing was said, as in `spec`.
    pub(super) fn or(&self, spec: &Spec) -> Vec<Contents> {
        let latest = self.latest.lock();
        let mut contents = spec.contents();
        for contents in &mut contents {
            if let Some(held) = latest.iter().find(|it| it.name == contents.name) {
                contents.files.clone_from(&held.files);
            }
        }
        contents
    }
}

impl Latest {
    pub(super) fn latest(&self) -> Vec<Contents> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Contents>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
