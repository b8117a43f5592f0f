//! Commands that run in a guest beside its process: who waits for which.
//!
//! ```text
//! Commands ── exec: enters a number in the ledger, sends Exec ──▶ Execution ── waits ──▶ Executed
//! Events ──── hears Executed, finds the number in the ledger ──────────────────▲
//! ```
//!
//! When [`super::Events`] are dropped nobody hears of an end any more, which every [`Execution`] is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Error;
use super::protocol::{Exec, Executed, MAX_EXEC_OUTPUT};

/// How much longer than a command may take the guest may take to say that it has ended. The guest is slow where it is emulated, and
/// a command begins with a process that is started.
const GRACE: Duration = Duration::from_secs(30);

/// A command to run beside the process of a guest. Printing it shows no argument and no value of a variable.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments. A program without a slash is looked up in `PATH`.
    pub argv: Vec<String>,
    /// Variables beside those of the process, or in place of them.
    pub env: Vec<(String, String)>,
    /// Working directory. Empty is the one that the process began in.
    pub cwd: String,
    /// `uid`, `name`, `uid:gid` or `name:group`. Empty is whom the process runs as.
    pub user: String,
    /// When it is killed, counted in the guest. `None` lets it take as long as it takes.
    pub timeout: Option<Duration>,
    /// Most bytes that are kept of each of its standard output and standard error; [`MAX_EXEC_OUTPUT`] at most.
    pub max_output: usize,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.argv.first())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A command that was asked for. Dropping it lets the command run on, until its time is over.
#[derive(Debug)]
pub struct Execution {
    id: u64,
    ledger: Ledger,
    answer: oneshot::Receiver<Executed>,
    timeout: Option<Duration>,
    max_output: usize,
}

impl Execution {
    /// Waits until the command has ended.
    ///
    /// Fails if the connection to the guest ends first, or if the guest does not say that the command has ended long after it must
    /// have.
    pub async fn ended(mut self) -> Result<Executed, Error> {
        let answer = &mut self.answer;
        let answer = match self.timeout {
            None => answer.await,
            Some(within) => {
                let within = within.saturating_add(GRACE);
                timeout(within, answer).await.map_err(|_| Error::TimedOut {
                    what: "say how a command ended",
                    within,
                })?
            }
        };
        let mut executed = answer.map_err(|_| Error::Closed {
            before: "said how a command ended",
        })?;
        // The guest is not trusted to keep to the bound.
        for output in [&mut executed.stdout, &mut executed.stderr] {
            executed.truncated |= output.len() > self.max_output;
            output.truncate(self.max_output);
        }
        Ok(executed)
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.ledger.lock().waiting.remove(&self.id);
    }
}

/// Who waits for which command of one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Executed>>,
    /// Nobody listens to the guest any more.
    closed: bool,
}

impl Ledger {
    /// Gives a command its number.
    pub(super) fn enter(&self, command: Command) -> (Exec, Execution) {
        let (sender, answer) = oneshot::channel();
        let mut entries = self.lock();
        entries.last += 1;
        let id = entries.last;
        if !entries.closed {
            entries.waiting.insert(id, sender);
        }
        let max_output = command.max_output.min(MAX_EXEC_OUTPUT);
        let milliseconds = |timeout: Duration| {
            // None would be no limit.
            u64::try_from(timeout.as_millis())
                .unwrap_or(u64::MAX)
                .max(1)
        };
        let exec = Exec {
            id,
            argv: command.argv,
            env: command.env,
            cwd: command.cwd,
            user: command.user,
            timeout_ms: command.timeout.map_or(0, milliseconds),
            max_output: max_output as u64,
        };
        let execution = Execution {
            id,
            ledger: self.clone(),
            answer,
            timeout: command.timeout,
            max_output,
        };
        drop(entries);
        (exec, execution)
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ledger's end at which answers come in.
#[derive(Debug, Default)]
pub(super) struct Executions(Ledger);

impl Executions {
    pub(super) fn ledger(&self) -> Ledger {
        self.0.clone()
    }

    /// Tells whoever waits for this command. Nobody may: it was given up, or never asked for.
    pub(super) fn ended(&self, executed: Executed) {
        let waiting = self.0.lock().waiting.remove(&executed.id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(executed);
        }
    }
}

impl Drop for Executions {
    fn drop(&mut self) {
        let mut entries = self.0.lock();
        entries.closed = true;
        entries.waiting.clear();
    }
}
