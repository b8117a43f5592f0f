//! OCI images: pull, push, import, build, flatten
