//! A client of the QEMU Machine Protocol (QEMU's docs/interop/qmp-spec), over an inherited socket.
//!
//! One owner, one command at a time, no task of its own: answers are read by who asked, and events that come
//! in between are kept for [`Qmp::next_event`].

mod message;

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::fd_passing;
use message::Message;

/// Longest line of QEMU, in bytes. Answers to the commands used here are far shorter.
const MAX_LINE: usize = 1024 * 1024;

/// Events kept while nobody asks for them.
const MAX_EVENTS: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("QEMU did not answer {command:?} within {within:?}")]
    TimedOut {
        command: &'static str,
        within: Duration,
    },
    #[error("the QMP socket failed at {command:?}")]
    Io {
        command: &'static str,
        source: io::Error,
    },
    #[error("QEMU closed the QMP socket at {command:?}")]
    Closed { command: &'static str },
    #[error("QEMU refused {command:?}: {class}: {description}")]
    Refused {
        command: &'static str,
        class: String,
        description: String,
    },
    #[error("QEMU's answer at {command:?} is not QMP")]
    NotQmp {
        command: &'static str,
        source: serde_json::Error,
    },
    #[error("QEMU's answer at {command:?} is longer than {MAX_LINE} bytes")]
    TooLong { command: &'static str },
}

/// Something QEMU says without being asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
}

#[derive(Debug)]
pub(crate) struct Qmp {
    stream: UnixStream,
    received: Vec<u8>,
    events: VecDeque<Event>,
    next_id: u64,
}

impl Qmp {
    /// Waits for QEMU's greeting and leaves the negotiation mode.
    pub(crate) async fn connect(stream: UnixStream, within: Duration) -> Result<Qmp, Error> {
        let mut qmp = Qmp {
            stream,
            received: Vec::new(),
            events: VecDeque::new(),
            next_id: 0,
        };
        let command = "greeting";
        let greeted = async {
            while !matches!(qmp.message(command).await?, Message::Greeting) {}
            Ok(())
        };
        timeout(within, greeted)
            .await
            .map_err(|_| Error::TimedOut { command, within })??;
        qmp.execute("qmp_capabilities", None, within).await?;
        Ok(qmp)
    }

    /// Runs a command and returns what it returns. After a time-out the client can still be used: a late
    /// answer is told apart by its id.
    pub(crate) async fn execute(
        &mut self,
        command: &'static str,
        arguments: Option<Value>,
        within: Duration,
    ) -> Result<Value, Error> {
        self.execute_with(command, arguments, &[], within).await
    }

    /// The same, for a command that takes descriptors along.
    pub(crate) async fn execute_with(
        &mut self,
        command: &'static str,
        arguments: Option<Value>,
        fds: &[BorrowedFd<'_>],
        within: Duration,
    ) -> Result<Value, Error> {
        self.next_id += 1;
        let id = self.next_id;
        let line = message::command(id, command, arguments);
        let answered = async {
            fd_passing::send(&mut self.stream, &line, fds)
                .await
                .map_err(|source| Error::Io { command, source })?;
            loop {
                match self.message(command).await? {
                    Message::Return {
                        id: Some(answered),
                        value,
                    } if answered == id => return Ok(value),
                    // A refusal without an id is of a line QEMU could not parse: this one.
                    Message::Error {
                        id: answered,
                        class,
                        description,
                    } if answered.is_none_or(|it| it == id) => {
                        return Err(Error::Refused {
                            command,
                            class,
                            description,
                        });
                    }
                    Message::Event(event) => self.keep(event),
                    _ => {}
                }
            }
        };
        timeout(within, answered)
            .await
            .map_err(|_| Error::TimedOut { command, within })?
    }

    /// The next event; may be cancelled without losing one. An error when QEMU is gone.
    pub(crate) async fn next_event(&mut self) -> Result<Event, Error> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        loop {
            if let Message::Event(event) = self.message("event").await? {
                return Ok(event);
            }
        }
    }

    /// The data of the next event of this name, which `command` brings about. Other events are kept.
    pub(crate) async fn event(
        &mut self,
        name: &str,
        command: &'static str,
        within: Duration,
    ) -> Result<Value, Error> {
        let happened = async {
            loop {
                let at = self.events.iter().position(|event| event.name == name);
                if let Some(event) = at.and_then(|at| self.events.remove(at)) {
                    return Ok(event.data);
                }
                if let Message::Event(event) = self.message(command).await? {
                    self.keep(event);
                }
            }
        };
        timeout(within, happened)
            .await
            .map_err(|_| Error::TimedOut { command, within })?
    }

    fn keep(&mut self, event: Event) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Reads one line. What was read of it stays if this is cancelled.
    async fn message(&mut self, command: &'static str) -> Result<Message, Error> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return message::parse(&line).map_err(|source| Error::NotQmp { command, source });
            }
            if self.received.len() > MAX_LINE {
                return Err(Error::TooLong { command });
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) => return Err(Error::Closed { command }),
                Ok(_) => {}
                Err(source) => return Err(Error::Io { command, source }),
            }
        }
    }
}

#[cfg(test)]
mod tests;
