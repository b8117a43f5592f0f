//! How a revision's instances look from the API: what is shown of each is kept up to date, and events tell what became of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sandbox::{Handle, State};

use crate::shown::{About, Life, Recorder, Shown, Sight, Template};

/// The instances of a revision that live, as they are shown.
pub(super) struct Faces {
    template: Template,
    shown: Shown,
    events: Recorder,
    lives: BTreeMap<String, Life>,
}

impl Faces {
    pub(super) fn new(template: Template, shown: Shown, events: Recorder) -> Self {
        Self {
            template,
            shown,
            events,
            lives: BTreeMap::new(),
        }
    }

    /// The name of the container that functions run in.
    pub(super) fn container(&self) -> &str {
        &self.template.container
    }

    /// An instance begins its life; its image is `image_id`.
    pub(super) fn begins(&mut self, handle: &Handle, image_id: String, now: Timestamp) {
        let life = Life::begins(handle, image_id, now);
        self.shown.show_instance(&self.template, &life);
        life.record(None, self.context(), &self.events);
        self.lives.insert(handle.id().to_owned(), life);
    }

    /// Shows an instance as it is now.
    pub(super) fn see(&mut self, handle: &Handle, sight: Sight, now: Timestamp) {
        let Some(life) = self.lives.get_mut(handle.id()) else {
            return;
        };
        let before = life.sight().clone();
        if !life.see(sight, handle, now) {
            return;
        }
        let life = &*life;
        self.shown.show_instance(&self.template, life);
        let context = (
            self.template.namespace.as_str(),
            self.template.container.as_str(),
        );
        life.record(Some(&before), context, &self.events);
        if life.sight().state.is_terminal() {
            self.lives.remove(handle.id());
        }
    }

    /// An instance has come to its end.
    pub(super) fn ended(&mut self, handle: &Handle, state: &State, now: Timestamp) {
        self.change(handle, now, |sight| sight.state = state.clone());
    }

    /// An instance is on its way out, and nobody will tell of it any more.
    pub(super) fn leaves(&mut self, handle: &Handle, now: Timestamp) {
        self.change(handle, now, |sight| sight.leaving = true);
    }

    fn change(&mut self, handle: &Handle, now: Timestamp, edit: impl FnOnce(&mut Sight)) {
        let Some(life) = self.lives.get(handle.id()) else {
            return;
        };
        let mut sight = Sight {
            serving: false,
            ..life.sight().clone()
        };
        edit(&mut sight);
        self.see(handle, sight, now);
    }

    /// Shows nothing of an instance any more.
    pub(super) fn hide(&mut self, name: &str) {
        self.lives.remove(name);
        self.shown.hide_instance(&self.template.namespace, name);
    }

    /// Something happened to the revision as it should.
    pub(super) fn normal(&self, reason: &str, message: impl Into<String>) {
        self.events.normal(&self.about(), reason, message);
    }

    /// Something happened to the revision that somebody may have to do something about.
    pub(super) fn warning(&self, reason: &str, message: impl Into<String>) {
        self.events.warning(&self.about(), reason, message);
    }

    fn about(&self) -> About {
        self.template.about()
    }

    fn context(&self) -> (&str, &str) {
        (&self.template.namespace, &self.template.container)
    }
}
