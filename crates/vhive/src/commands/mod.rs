//! One module per command.

pub(crate) mod apply;
pub(crate) mod bench;
pub(crate) mod cri;
pub(crate) mod delete;
pub(crate) mod deploy;
pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod functions;
pub(crate) mod get;
pub(crate) mod image;
pub(crate) mod invoke;
pub(crate) mod kernel;
pub(crate) mod kubeconfig;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod quickstart;
pub(crate) mod report;
pub(crate) mod setup;
pub(crate) mod snapshot;
pub(crate) mod up;
