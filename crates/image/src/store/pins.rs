//! Images that somebody needs whatever they are called: a name can be given to another image, a pin cannot.

use std::collections::BTreeMap;

use super::{Error, Store};
use crate::Digest;
use crate::manifest::Descriptor;

/// What a holder wants to have pinned from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Who.
    pub holder: String,
    /// This image, in place of the one before, or none any more.
    pub image: Option<Digest>,
}

impl Store {
    /// Keeps an image of this store for `holder`, in place of what it had pinned before. The image is found by its digest and
    /// not collected until nobody pins it, though it may have lost its name.
    pub fn pin(&self, digest: &Digest, holder: &str) -> Result<(), Error> {
        self.set_pins(&[Pin {
            holder: holder.to_owned(),
            image: Some(digest.clone()),
        }])
    }

    /// Sets many pins in one write; the last word of each holder counts. If one of the images is not there, none is set.
    pub fn set_pins(&self, pins: &[Pin]) -> Result<(), Error> {
        let _lock = self.layout().lock()?;
        let references = self.references()?;
        let wanted = pins.iter().map(|pin| (&pin.holder, pin.image.as_ref()));
        let wanted: BTreeMap<&String, Option<&Digest>> = wanted.collect();
        let news = wanted
            .into_iter()
            .filter(|(holder, image)| references.pinned(holder) != *image);
        let changes = news.map(|(holder, image)| {
            let descriptor = image.map(|digest| self.descriptor(digest));
            Ok((holder, descriptor.transpose()?))
        });
        let changes: Vec<_> = changes.collect::<Result<_, Error>>()?;
        if changes.is_empty() {
            return Ok(());
        }
        self.change_references(|references| {
            for (holder, descriptor) in changes {
                match descriptor {
                    Some(descriptor) => references.pin(holder, descriptor),
                    None => references.unpin(holder),
                }
            }
        })
    }

    /// Takes the pins of all holders away that are not to be kept. Content goes with [`Store::gc`].
    pub fn retain_pins(&self, keep: impl Fn(&str) -> bool) -> Result<(), Error> {
        let _lock = self.layout().lock()?;
        let references = self.references()?;
        if references.holders().all(&keep) {
            return Ok(());
        }
        self.change_references(|references| references.retain_pins(keep))
    }

    fn descriptor(&self, digest: &Digest) -> Result<Descriptor, Error> {
        let (bytes, manifest) = self.manifest(digest)?;
        Ok(Descriptor {
            media_type: manifest.media_type().to_owned(),
            digest: digest.clone(),
            size: bytes.len() as u64,
            platform: None,
            annotations: None,
        })
    }
}
