//! Images that somebody needs whatever they are called: a name can be given to another image, a pin cannot.

use super::references::References;
use super::{Error, Store};
use crate::Digest;
use crate::manifest::Descriptor;

impl Store {
    /// Keeps an image of this store for `holder`, in place of what it had pinned before. The image is found by its digest and
    /// not collected until nobody pins it, though it may have lost its name.
    pub fn pin(&self, digest: &Digest, holder: &str) -> Result<(), Error> {
        let _lock = self.layout().lock()?;
        let references = References::read(&self.layout().index())?;
        if references.pinned(holder) == Some(digest) {
            return Ok(());
        }
        let (bytes, manifest) = self.manifest(digest)?;
        let descriptor = Descriptor {
            media_type: manifest.media_type().to_owned(),
            digest: digest.clone(),
            size: bytes.len() as u64,
            platform: None,
            annotations: None,
        };
        self.change_references(|references| references.pin(holder, descriptor))
    }

    /// Takes the pins of all holders away that are not to be kept. Content goes with [`Store::gc`].
    pub fn retain_pins(&self, keep: impl Fn(&str) -> bool) -> Result<(), Error> {
        let _lock = self.layout().lock()?;
        let references = References::read(&self.layout().index())?;
        if references.holders().all(&keep) {
            return Ok(());
        }
        self.change_references(|references| references.retain_pins(keep))
    }
}
