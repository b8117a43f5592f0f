use std::io;
use std::path::PathBuf;

use crate::{Digest, manifest, store};

/// Why an archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened.
    #[error("cannot open the archive {archive}")]
    Open {
        /// The file.
        archive: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is cut off, or no tar at all.
    #[error("{archive} is no tar archive, or a damaged one; save the image again")]
    Damaged {
        /// The file.
        archive: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An entry breaks a rule.
    #[error("{archive} is refused at entry {entry:?}")]
    Refused {
        /// The file.
        archive: PathBuf,
        /// The name in it.
        entry: String,
        /// The rule.
        source: Refusal,
    },
    /// Neither an OCI archive nor the output of `docker save`.
    #[error(
        "{archive} holds no image: it has neither oci-layout and index.json nor manifest.json; a tar \
         of a root file system is made into an image by `vhive image build`"
    )]
    NoImage {
        /// The file.
        archive: PathBuf,
    },
    /// Nothing says what to call the image.
    #[error("{archive} does not name its image; import it with a name")]
    Unnamed {
        /// The file.
        archive: PathBuf,
    },
    /// One name for more than one image.
    #[error(
        "{archive} holds {count} images, which cannot all get the same name; import it without one"
    )]
    Several {
        /// The file.
        archive: PathBuf,
        /// How many.
        count: usize,
    },
    /// The archive speaks of a file that it does not have.
    #[error("{archive} has no {missing}, which its image needs; save the image again, whole")]
    Missing {
        /// The file.
        archive: PathBuf,
        /// The name in it.
        missing: String,
    },
    /// The bytes of a file are not the ones its image was made of.
    #[error("{entry} in {archive} should be {expected}, but is {actual}; it is refused")]
    Digest {
        /// The file.
        archive: PathBuf,
        /// The name in it.
        entry: String,
        /// As declared.
        expected: Digest,
        /// As found.
        actual: Digest,
    },
    /// A document is refused.
    #[error("{entry} in {archive} is refused")]
    Document {
        /// The file.
        archive: PathBuf,
        /// The name in it.
        entry: String,
        /// Why.
        source: manifest::Error,
    },
    /// A name that no image can have.
    #[error("{archive} is refused for the name of its image")]
    Name {
        /// The file.
        archive: PathBuf,
        /// Why.
        source: crate::reference::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A rule that an entry of an archive breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `..` or an absolute path.
    #[error("the path leaves the archive")]
    Climbs,
    /// A name that is no UTF-8.
    #[error("the name is no text")]
    NotText,
    /// Two entries of one name.
    #[error("the name is there twice")]
    Twice,
    /// A device or the like.
    #[error("image archives have files, folders and links only")]
    Special,
    /// Too many entries.
    #[error("the archive has more than {limit} entries")]
    TooMany {
        /// The limit.
        limit: u64,
    },
    /// A name or an attribute that no archive needs.
    #[error("a header is larger than {limit} bytes")]
    LargeHeader {
        /// The limit.
        limit: u64,
    },
    /// It unpacks to more than is taken.
    #[error("the archive unpacks to more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
}
