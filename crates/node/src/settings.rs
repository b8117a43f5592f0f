//! What the `ConfigMaps` of the namespace `knative-serving` set: read at the start and whenever they change, so that it takes
//! effect without a restart.

use std::sync::Arc;

use api::core::ConfigMap;
use api::meta::StringMap;
use api::resource::CONFIG_MAPS;
use api::settings::{self, Defaults, NAMESPACE, autoscaler, defaults};
use apiserver::store::{Error as StoreError, Key};
use apiserver::{Admission, Store};
use control::scale;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The settings that hold now. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Of `config-autoscaler`.
    pub(crate) autoscaler: watch::Receiver<Arc<scale::Config>>,
    /// Of `config-defaults`.
    pub(crate) defaults: watch::Receiver<Arc<Defaults>>,
}

/// Who keeps them up to date.
pub(crate) struct Follower {
    store: Store,
    autoscaler: watch::Sender<Arc<scale::Config>>,
    defaults: watch::Sender<Arc<Defaults>>,
}

/// Reads the settings that are in the store.
pub(crate) fn open(store: Store) -> (Settings, Follower) {
    let (autoscaler, autoscaler_now) = watch::channel(Arc::new(scale::Config::unset()));
    let (defaults, defaults_now) = watch::channel(Arc::new(Defaults::default()));
    let follower = Follower {
        store,
        autoscaler,
        defaults,
    };
    follower.read();
    let settings = Settings {
        autoscaler: autoscaler_now,
        defaults: defaults_now,
    };
    (settings, follower)
}

impl Settings {
    /// Admits objects by the settings of now.
    pub(crate) fn admission(&self) -> Admission {
        let settings = self.clone();
        Arc::new(move |user, resource, new, old| {
            let now = api::Settings {
                autoscaler: settings.autoscaler.borrow().as_ref().clone(),
                defaults: settings.defaults.borrow().as_ref().clone(),
            };
            api::admit_with(&now, user, resource, new, old)
        })
    }
}

impl Follower {
    /// Follows the store until told to stop.
    pub(crate) async fn follow(self, stop: CancellationToken) {
        let resource = CONFIG_MAPS.qualified();
        loop {
            let at = self.store.resource_version();
            let mut changes = match self.store.watch(Some(&resource), Some(NAMESPACE), at) {
                Ok(changes) => changes,
                Err(StoreError::Closed) => return,
                // The log has gone on since it was looked at.
                Err(_) => continue,
            };
            // What has changed before the watch began.
            self.read();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    events = changes.next() => match events {
                        Ok(_) => self.read(),
                        Err(StoreError::Closed) => return,
                        // Far behind the log: everything is read anew.
                        Err(_) => break,
                    },
                }
            }
        }
    }

    fn read(&self) {
        self.read_one(autoscaler::NAME, &self.autoscaler, |data| {
            scale::Config::unset().with(data)
        });
        self.read_one(defaults::NAME, &self.defaults, Defaults::read);
    }

    /// What cannot be used was refused by the API, or stored before it was known; then what held before still holds.
    fn read_one<T: PartialEq>(
        &self,
        name: &str,
        now: &watch::Sender<Arc<T>>,
        parse: impl Fn(&StringMap) -> Result<T, settings::Error>,
    ) {
        let stored = Key::new(&CONFIG_MAPS.qualified(), NAMESPACE, name)
            .and_then(|key| self.store.get(&key))
            .and_then(|object| object.decode::<ConfigMap>().ok());
        match parse(&stored.map(|map| map.data).unwrap_or_default()) {
            Ok(read) => {
                let read = Arc::new(read);
                let changed = now.send_if_modified(|held| {
                    let changed = **held != *read;
                    *held = read;
                    changed
                });
                if changed {
                    info!(config_map = name, "settings changed");
                }
            }
            Err(error) => warn!(config_map = name, %error, "settings stay as they were"),
        }
    }
}
