//! What an image may cost before it is refused. Layers come from strangers; every bound here caps
//! memory, disk or time that a small archive could otherwise claim without end.

use super::Refusal;

/// Bounds on one image. All of them count over every layer of it together, and count what a layer
/// brings, even where a later layer removes it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Layers in the image.
    pub max_layers: usize,
    /// Entries in the layers, whiteouts included, and folders that they only imply.
    pub max_entries: u32,
    /// Bytes that come out of the layers once decompressed, and, counted apart, the sum of the
    /// lengths of all files, holes included.
    pub max_unpacked_bytes: u64,
    /// Bytes of names, link targets and extended attributes: what stays in memory.
    pub max_metadata_bytes: u64,
    /// Components in one path.
    pub max_depth: usize,
}

impl Default for Limits {
    /// Room for the largest images in use (a machine-learning stack: some 30 GB, half a million
    /// files) and no more. Container engines stop at 127 layers.
    fn default() -> Self {
        Self {
            max_layers: 128,
            max_entries: 1_000_000,
            max_unpacked_bytes: 64 << 30,
            max_metadata_bytes: 512 << 20,
            max_depth: 256,
        }
    }
}

/// What has been spent of the limits.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    limits: &'a Limits,
    entries: u32,
    file_bytes: u64,
    metadata_bytes: u64,
}

impl<'a> Budget<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            entries: 0,
            file_bytes: 0,
            metadata_bytes: 0,
        }
    }

    pub(super) fn max_depth(&self) -> usize {
        self.limits.max_depth
    }

    pub(super) fn entry(&mut self) -> Result<(), Refusal> {
        self.entries = self.entries.saturating_add(1);
        let limit = self.limits.max_entries;
        if self.entries > limit {
            return Err(Refusal::TooManyEntries { limit });
        }
        Ok(())
    }

    pub(super) fn metadata(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.metadata_bytes = self.metadata_bytes.saturating_add(bytes as u64);
        let limit = self.limits.max_metadata_bytes;
        if self.metadata_bytes > limit {
            return Err(Refusal::TooMuchMetadata { limit });
        }
        Ok(())
    }

    pub(super) fn file(&mut self, len: u64) -> Result<(), Refusal> {
        self.file_bytes = self.file_bytes.saturating_add(len);
        let limit = self.limits.max_unpacked_bytes;
        if self.file_bytes > limit {
            return Err(Refusal::TooManyBytes { limit });
        }
        Ok(())
    }
}
