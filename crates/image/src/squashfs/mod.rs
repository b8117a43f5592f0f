//! A writer for squashfs 4.0.
