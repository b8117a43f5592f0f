//! What the executor sees of a revision.

use jiff::Timestamp;

/// Where its image is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ImageState {
    /// Being fetched.
    #[default]
    Pending,
    /// Here.
    Resolved {
        /// Of its manifest: `sha256:…`.
        digest: String,
    },
    /// Not to be had.
    Failed {
        /// One word.
        reason: String,
        /// A sentence.
        message: String,
    },
}

/// How an instance failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceFailure {
    /// One word, such as `ExitCode1` or `NeverListened`.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// The function's exit code, if it exited.
    pub exit_code: Option<i32>,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevisionObservation {
    /// Its image.
    pub image: ImageState,
    /// Instances there should be.
    pub desired: u32,
    /// Instances on their way.
    pub starting: u32,
    /// Instances that answer.
    pub ready: u32,
    /// The last failure that no later success made good. A crash that is made good at once is none.
    pub failure: Option<InstanceFailure>,
    /// Failures in a row, and when it is tried again after the last of them: in a pause or, after it, when there is need.
    pub failures: u32,
    /// See `failures`.
    pub next_try: Option<Timestamp>,
    /// Whether an instance has ever been ready since the executor runs the revision.
    pub ever_ready: bool,
    /// Whether it needs no instance to show that it works: its initial scale is zero.
    pub starts_at_zero: bool,
    /// Whether nothing has needed it for a window, though an instance may be kept a while longer.
    pub idle: bool,
}
