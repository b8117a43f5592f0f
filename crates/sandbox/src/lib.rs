//! One instance of a function: its state machine, and the one task that owns it.
//!
//! [`Sandbox::start`] takes a [`Spec`] and returns a [`Handle`]; a task of its own takes the instance through its
//! life, as the `lifecycle` module decides, and removes everything it owned at the end, whatever the end was. The crate
//! knows microVMs and nothing of who wants them.

mod arrival;
mod config;
mod exec;
mod instance;
mod lifecycle;
pub mod logs;
mod network;
mod place;
mod probe;
mod processor;
mod recovery;
mod sandbox;
pub mod snapshots;
mod spares;
mod state;
mod turns;
mod users;

pub use config::{Check, Checks, Config, Memory, Probe, SnapshotUse, Spec, Timing};
pub use exec::ExecError;
pub use instance::{Handle, Phase, Record, SaveError};
pub use recovery::Recovered;
pub use sandbox::{Error, Sandbox};
pub use state::{Exit, Failure, Reason, State};
pub use users::Users;
pub use vmm::Accel;
pub use vmm::agent::Command;
pub use vmm::agent::protocol::{
    Contents, ExecEnd, Executed, GuestFile, HOST_VOLUME_SIZE, Limits, MAX_EXEC_OUTPUT,
    MAX_VOLUME_BYTES, Mount, Process, Volume,
};

/// An error with everything that caused it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Runs `f`, which blocks for a moment, where that disturbs nobody. `f` runs to its end also when the caller gives
/// up; its result is dropped then.
async fn blocking<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    match tokio::task::spawn_blocking(f).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going away, and the caller with it.
            Err(_) => std::future::pending().await,
        },
    }
}
