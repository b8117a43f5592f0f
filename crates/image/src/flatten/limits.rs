//! What an image may cost before it is refused. Layers come from strangers; every bound here caps
//! memory, disk or time that a small archive could otherwise claim without end.

/// Bounds on one image. All of them count over every layer of it together, and count what a layer
/// brings, even where a later layer removes it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Layers in the image.
    pub max_layers: usize,
    /// Entries in the tree, folders that layers only imply included.
    pub max_entries: u64,
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
