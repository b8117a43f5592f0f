//! How a revision's instances look from the API: what is shown of each is kept up to date, and events tell what became of it.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use jiff::Timestamp;
use sandbox::{Handle, State};

use crate::names;
use crate::shown::{About, Ended, Life, Obstacle, Place, Recorder, Scale, Shown, Sight, Template};

/// The instances of a revision that live, as they are shown, and the one that is to come.
pub(super) struct Faces {
    template: Template,
    shown: Shown,
    events: Recorder,
    lives: BTreeMap<String, Life>,
    /// Who comes next.
    next: Option<Place>,
    /// What it waits for, as it is shown.
    waits: Option<Obstacle>,
    /// Those that failed and have no successor yet.
    failed: VecDeque<Ended>,
    since: Timestamp,
}

impl Faces {
    pub(super) fn new(template: Template, shown: Shown, events: Recorder) -> Self {
        Self {
            template,
            shown,
            events,
            lives: BTreeMap::new(),
            next: None,
            waits: None,
            failed: VecDeque::new(),
            since: Timestamp::now(),
        }
    }

    /// The name of the container that functions run in.
    pub(super) fn container(&self) -> &str {
        &self.template.container
    }

    /// The name of the next instance, which its Pod may have already.
    pub(super) fn next(&mut self, now: Timestamp) -> io::Result<&str> {
        if self.next.is_none() {
            let id = names::instance(&self.template.revision)?;
            self.next = Some(Place::new(id, now));
        }
        Ok(self.next.as_ref().map_or("", |place| &place.id))
    }

    /// The next instance waits for this.
    pub(super) fn wait(&mut self, obstacle: Obstacle, now: Timestamp) {
        // Without random bytes there is no name, as there will be no instance.
        if self.waits.as_ref() == Some(&obstacle) || self.next(now).is_err() {
            return;
        }
        let Some(place) = &self.next else {
            return;
        };
        let why = (&obstacle, self.failed.front());
        self.shown.show_waiting(&self.template, place, why);
        place.record(&obstacle, &self.template.namespace, &self.events);
        self.waits = Some(obstacle);
    }

    /// All instances that are wanted are there: none waits, and those that failed have their successors, if they need any.
    pub(super) fn complete(&mut self) {
        self.failed.clear();
        if self.waits.is_some() {
            self.leave_next();
        }
    }

    /// Whether that is the name of the next instance.
    pub(super) fn is_next(&self, name: &str) -> bool {
        self.next.as_ref().is_some_and(|place| place.id == name)
    }

    /// Gives up the name of the next instance: another has it, or a client has deleted its Pod.
    pub(super) fn leave_next(&mut self) {
        self.waits = None;
        if let Some(place) = self.next.take() {
            self.hide(&place.id);
        }
    }

    /// The next instance begins its life; its image is `image_id`.
    pub(super) fn begins(&mut self, handle: &Handle, image_id: String, now: Timestamp) {
        self.waits = None;
        let place = self.next.take().filter(|it| it.id == handle.id());
        let place = place.unwrap_or_else(|| Place::new(handle.id().to_owned(), now));
        let predecessor = self.failed.pop_front();
        let life = Life::begins(handle, place, image_id, predecessor, now);
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
        self.failed.extend(life.ending());
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

    /// Shows what scales the revision.
    pub(super) fn show_scale(&self, scale: &Scale<'_>) {
        self.shown.show_scale(&self.template, self.since, scale);
    }

    /// Shows it no more.
    pub(super) fn hide_scale(&self) {
        self.shown.hide_scale(&self.template);
    }

    /// Something happened to the revision as it should.
    pub(super) fn normal(&self, reason: &str, message: impl AsRef<str>) {
        self.events.normal(&self.about(), reason, message);
    }

    /// Something happened to the revision that somebody may have to do something about.
    pub(super) fn warning(&self, reason: &str, message: impl AsRef<str>) {
        self.events.warning(&self.about(), reason, message);
    }

    fn about(&self) -> About {
        self.template.about()
    }

    fn context(&self) -> (&str, &str) {
        (&self.template.namespace, &self.template.container)
    }
}
