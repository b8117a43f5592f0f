//! Images made here: from a folder, a static binary or a tar of a root file system.
//!
//! The same input gives the same digest: one layer, entries in order, everything root's and from 1970.

mod elf;
mod error;
mod layer;
mod staged;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::{ConfigFile, Execution};
use crate::manifest::{Descriptor, LAYER_ZSTD, Manifest, OCI_CONFIG, OCI_MANIFEST};
use crate::{Image, Reference, Store};

pub use error::Error;

/// What to make an image of.
#[derive(Debug, Clone)]
pub struct BuildSpec {
    /// Its name.
    pub name: Reference,
    /// What is in it.
    pub source: Source,
    /// The start of the command line. For [`Source::Binary`], empty means the binary.
    pub entrypoint: Vec<String>,
    /// The rest of the command line.
    pub cmd: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Working directory; empty is `/`.
    pub workdir: String,
    /// User; empty is root.
    pub user: String,
    /// TCP ports it listens on.
    pub ports: Vec<u16>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Where the files of an image come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// All in this folder becomes `/`. Modes are kept, owners and times are not.
    Folder(PathBuf),
    /// A statically linked executable, which comes to stand at `/NAME`, beside an `/etc/passwd` with
    /// `root` and `nobody`, and `/tmp`.
    Binary(PathBuf),
    /// A root file system as a tar, plain or compressed with gzip or zstd. Kept as it is, owners and
    /// times too.
    Tar(PathBuf),
}

impl Store {
    /// Makes an image and gives it its name. Blocking.
    pub fn build(&self, spec: BuildSpec) -> Result<Image, Error> {
        let staging = self.stage()?;
        let (layer, diff_id) = staged::write(&staging, &spec.source)?;
        let layer = layer.descriptor(LAYER_ZSTD);

        let mut entrypoint = spec.entrypoint;
        if let (true, Source::Binary(path)) = (entrypoint.is_empty(), &spec.source) {
            entrypoint = vec![format!("/{}", layer::binary_name(path)?)];
        }
        let env = spec
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let port = |port: &u16| (format!("{port}/tcp"), BTreeMap::new());
        let execution = Execution {
            user: spec.user,
            exposed_ports: spec.ports.iter().map(port).collect(),
            env: env.collect(),
            entrypoint,
            cmd: spec.cmd,
            working_dir: spec.workdir,
            labels: spec.labels,
        };
        let config = ConfigFile::new(execution, diff_id.to_string(), "vhive image build");
        let config = staging.put(&to_json(&config))?.descriptor(OCI_CONFIG);
        let manifest = Manifest::new(config.clone(), vec![layer.clone()]);
        let manifest = staging.put(&to_json(&manifest))?.descriptor(OCI_MANIFEST);

        let digest = |descriptor: &Descriptor| descriptor.digest.clone();
        let content = [digest(&manifest), digest(&config), digest(&layer)];
        staging.commit(&content, &[(spec.name.clone(), manifest)])?;
        let image = self.resolve(&spec.name)?;
        image.ok_or(Error::Gone {
            reference: spec.name,
        })
    }
}

/// Maps and strings alone are in these documents; they cannot fail to be written.
fn to_json(document: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}
