//! Where an instance lives: its folder, its network and, for a clone, the hypervisor that waits to become it.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;
use vmm::{Dormant, DormantConfig, Hypervisor};

use crate::config::{Config, Shape};
use crate::instance::{Folder, Record};
use crate::network::{Network, Pool as Networks};
use crate::{blocking, chain};

/// How long a killed hypervisor may take to end.
pub(crate) const END: Duration = Duration::from_secs(10);

/// Dropping it takes all of it down, in this order, and does not wait for the hypervisor to end.
pub(crate) struct Place {
    pub(crate) dormant: Option<Dormant>,
    pub(crate) network: Network,
    pub(crate) folder: Folder,
}

impl Place {
    /// Takes a network, makes the folder `name` in the run directory, and records there what will have to be cleaned up.
    /// Errors are told to the user, so they are text.
    pub(crate) async fn new(
        config: &Config,
        networks: &Networks,
        name: &str,
    ) -> Result<Self, String> {
        let network = networks.take().await.map_err(|error| chain(&error))?;
        let path = config.run_dir.join(name);
        blocking(move || {
            let in_folder =
                |error: io::Error| format!("cannot set up the folder {}: {error}", path.display());
            let folder = Folder::create(&path).map_err(in_folder)?;
            let place = Self {
                dormant: None,
                network,
                folder,
            };
            place
                .record()
                .write(place.folder.path())
                .map_err(in_folder)?;
            Ok(place)
        })
        .await
    }

    /// The same, with a hypervisor of this shape that waits for its snapshot.
    pub(crate) async fn with_dormant(
        config: &Config,
        hypervisor: &dyn Hypervisor,
        networks: &Networks,
        name: &str,
        shape: Shape,
    ) -> Result<Self, String> {
        let mut place = Self::new(config, networks, name).await?;
        let tap = place.network.tap.take();
        let dormant = hypervisor
            .prepare(DormantConfig {
                name: name.to_owned(),
                run_dir: place.folder.path().to_owned(),
                vcpus: shape.vcpus,
                memory_mib: shape.memory_mib,
                tap: tap.ok_or("its network has no tap")?,
                accel: config.accel,
                uid_gid: config.user_of(place.network.number),
            })
            .await
            .map_err(|error| chain(&error))?;
        place.dormant = Some(dormant);
        blocking(move || {
            place
                .record()
                .write(place.folder.path())
                .map_err(|error| format!("cannot record its process: {error}"))?;
            Ok(place)
        })
        .await
    }

    /// Takes all of it down, and returns when nothing is left.
    pub(crate) async fn leave(mut self) {
        if let Some(mut dormant) = self.dormant.take() {
            let process = dormant.process();
            match timeout(END, dormant.kill()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    let error = chain(&error);
                    warn!(error, %process, "cannot end a hypervisor that waited");
                }
                Err(_) => warn!(%process, "a killed hypervisor does not end"),
            }
        }
        blocking(move || drop(self)).await;
    }

    /// Whether the hypervisor that waits has not ended meanwhile.
    pub(crate) fn is_alive(&self) -> bool {
        self.dormant
            .as_ref()
            .is_some_and(|dormant| dormant.process().alive())
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn record(&self) -> Record {
        Record {
            namespace: self.network.name().to_owned(),
            process: self.dormant.as_ref().map(Dormant::process),
        }
    }
}
