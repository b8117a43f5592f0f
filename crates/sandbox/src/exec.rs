//! Commands beside a function: for probes, and for whoever looks into an instance.
//!
//! How a command is run is the business of what runs the function. Here is only the door, which is open while there is somebody behind
//! it: from when the function's program runs until the instance is taken down, but for the moment in which it is saved.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use vmm::agent::protocol::Executed;
use vmm::agent::{self, Command, Commands};

/// A command could not be run, or nobody can say how it ended.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The instance starts, is being saved, or has ended.
    #[error(
        "the instance runs no function beside which a command could run; try again when it is ready"
    )]
    NotRunning,
    /// The guest went away, or does not answer.
    #[error("the guest cannot run a command")]
    Guest(#[from] agent::Error),
}

/// Runs a command, and returns when it has ended.
pub(crate) type Run =
    Arc<dyn Fn(Command) -> BoxFuture<'static, Result<Executed, ExecError>> + Send + Sync>;

/// The way to run commands in one instance. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Door(Arc<StdMutex<Option<Run>>>);

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.present().is_some();
        f.debug_struct("Door").field("open", &open).finish()
    }
}

impl Door {
    pub(crate) fn open(&self, run: Run) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
    }

    pub(crate) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Runs a command.
    pub(crate) async fn exec(&self, command: Command) -> Result<Executed, ExecError> {
        match self.present() {
            Some(run) => run(command).await,
            None => Err(ExecError::NotRunning),
        }
    }

    fn present(&self) -> Option<Run> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Has the agent of a guest run commands. Any number run at once: the connection is held only while one is asked for.
pub(crate) fn by_agent(commands: Arc<Mutex<Commands>>) -> Run {
    Arc::new(move |command| {
        let commands = commands.clone();
        Box::pin(async move {
            let execution = commands.lock().await.exec(command).await?;
            Ok(execution.ended().await?)
        })
    })
}
