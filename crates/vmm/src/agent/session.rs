//! From the first connection to the last message.
//!
//! ```text
//! Listener ── accept: Hello ───▶ Session ── start: Start, Started ─────▶ split ──▶ Commands, Events
//!    ├────── accept_resumed ───▶ Session ── resume: Resume, Resumed ──▶               │  quiesce: Quiesced
//!    └─────────────────────────── the machine is saved, and restored ◀─────────────────┘
//! ```

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::Error;
use super::executions::{Command, Execution, Executions, Ledger};
use super::protocol::{
    self, Contents, Exited, Failed, Hello, Process, Resume, Shutdown, Signal, Started, Stream,
    ToGuest, ToHost, Update, VERSION,
};
use super::stream::{Incoming, Received};

/// How long a guest may take to read a command. Commands are small and an agent reads at once, so this is
/// met unless the guest is stuck.
const COMMAND_DEADLINE: Duration = Duration::from_secs(5);

/// The same of what volumes are to hold, which may be megabytes.
const UPDATE_DEADLINE: Duration = Duration::from_secs(60);

/// Waits for the agent, on a socket that was made inside the instance's network namespace.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Takes a listening socket into the current Tokio runtime.
    pub fn new(socket: std::net::TcpListener) -> Result<Listener, Error> {
        socket.set_nonblocking(true).map_err(Error::Listen)?;
        let socket = TcpListener::from_std(socket).map_err(Error::Listen)?;
        Ok(Listener { socket })
    }

    /// Waits until the agent has connected and presented itself.
    ///
    /// This uses up the listener: the first to say anything is the agent, before anything else runs in the guest,
    /// and nobody after it is let in.
    pub async fn accept(self, within: Duration) -> Result<Session, Error> {
        self.hello(false, within).await
    }

    /// The same, of a guest that was told to quiesce: a clone, or the one that was saved and runs on. Next is
    /// [`Session::resume`].
    ///
    /// The socket should listen before the guest runs, so that the first dial is answered.
    pub async fn accept_resumed(self, within: Duration) -> Result<Session, Error> {
        self.hello(true, within).await
    }

    async fn hello(self, resumed: bool, within: Duration) -> Result<Session, Error> {
        timeout(within, self.first_message(resumed))
            .await
            .map_err(|_| Error::TimedOut {
                what: "report to the host",
                within,
            })?
    }

    async fn first_message(self, resumed: bool) -> Result<Session, Error> {
        let (stream, incoming, first) = loop {
            let (mut stream, _) = self.socket.accept().await.map_err(Error::Listen)?;
            stream.set_nodelay(true).map_err(Error::Io)?;
            let mut incoming = Incoming::new();
            match incoming.next(&mut stream).await {
                // An agent that is slow, on a busy host, gives up a dial that was on its way and dials anew: what it
                // gave up may have arrived all the same.
                Ok(Received::End) | Err(Error::Io(_)) => {}
                first => break (stream, incoming, first?),
            }
        };
        match first {
            Received::Message(ToHost::Hello(hello)) if hello.version != VERSION => {
                Err(Error::Version {
                    agent: hello.version,
                    host: VERSION,
                })
            }
            Received::Message(ToHost::Hello(hello)) if hello.resumed == resumed => Ok(Session {
                hello,
                stream,
                incoming,
            }),
            Received::Message(ToHost::Failed(failed)) => Err(failed.into()),
            other => Err(Error::OutOfTurn {
                got: other.kind(),
                expected: if resumed {
                    "the hello of a clone"
                } else {
                    "hello"
                },
            }),
        }
    }
}

/// A guest that has said hello.
///
/// Dropping it closes the connection, at which the guest ends its machine.
#[derive(Debug)]
pub struct Session {
    /// How the guest presented itself.
    pub hello: Hello,
    stream: TcpStream,
    incoming: Incoming,
}

impl Session {
    /// Has the guest run `process`, and waits until its program was executed.
    pub async fn start(&mut self, process: Process, within: Duration) -> Result<Started, Error> {
        timeout(within, self.started(process))
            .await
            .map_err(|_| Error::TimedOut {
                what: "start the process",
                within,
            })?
    }

    async fn started(&mut self, process: Process) -> Result<Started, Error> {
        match self.ask(&ToGuest::Start(process)).await? {
            Received::Message(ToHost::Started(started)) => Ok(started),
            Received::End => Err(Error::Closed {
                before: "started the process",
            }),
            other => Err(Error::OutOfTurn {
                got: other.kind(),
                expected: "started",
            }),
        }
    }

    /// Tells a guest that was restored who it is, and waits until it is so. Only then may its process be spoken to.
    pub async fn resume(&mut self, resume: Resume, within: Duration) -> Result<(), Error> {
        timeout(within, self.resumed(resume))
            .await
            .map_err(|_| Error::TimedOut {
                what: "resume",
                within,
            })?
    }

    async fn resumed(&mut self, resume: Resume) -> Result<(), Error> {
        match self.ask(&ToGuest::Resume(resume)).await? {
            Received::Message(ToHost::Resumed) => Ok(()),
            Received::End => Err(Error::Closed { before: "resumed" }),
            other => Err(Error::OutOfTurn {
                got: other.kind(),
                expected: "resumed",
            }),
        }
    }

    /// Sends a message and receives the answer to it.
    async fn ask(&mut self, message: &ToGuest) -> Result<Received, Error> {
        let mut frames = Vec::new();
        protocol::encode(message, &mut frames)?;
        // A guest that failed while it was mounting its root has said so and does not read: what it said is
        // worth more than that it could not be written to.
        let written = self.stream.write_all(&frames).await;
        match (self.incoming.next(&mut self.stream).await, written) {
            (Ok(Received::Message(ToHost::Failed(failed))), _) => Err(failed.into()),
            (_, Err(error)) => Err(Error::Io(error)),
            (answer, Ok(())) => answer,
        }
    }

    /// Takes the session apart, into what is said and what is heard.
    pub fn split(self) -> (Commands, Events) {
        let (read, write) = self.stream.into_split();
        let executions = Executions::default();
        let ledger = executions.ledger();
        (
            Commands { write, ledger },
            Events {
                read,
                incoming: self.incoming,
                executions,
            },
        )
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Error {
        Error::Failed {
            stage: failed.stage,
            message: failed.message,
        }
    }
}

/// What the host says to a running guest.
///
/// Dropping it closes this direction, at which the guest ends its machine.
#[derive(Debug)]
pub struct Commands {
    write: OwnedWriteHalf,
    ledger: Ledger,
}

impl Commands {
    /// Sends a signal to the process.
    pub async fn signal(&mut self, signal: i32) -> Result<(), Error> {
        self.send(&ToGuest::Signal(Signal { signal }), "take a signal")
            .await
    }

    /// Asks the process to end, and has it killed when `grace` is over. [`Event::Exited`] follows, then the
    /// machine ends.
    pub async fn shutdown(&mut self, grace: Duration) -> Result<(), Error> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.send(&ToGuest::Shutdown(Shutdown { grace_ms }), "take a shutdown")
            .await
    }

    /// Asks the agent to leave, so that the machine can be saved. [`Event::Quiesced`] follows what the process has
    /// written until then. Afterwards drop this and [`Events`], save the machine, and wait for the agent of the
    /// machine, or of its clone, with [`Listener::accept_resumed`].
    ///
    /// Nobody should be connected to the process: its connections are part of the snapshot, and dead in a clone.
    pub async fn quiesce(&mut self) -> Result<(), Error> {
        self.send(&ToGuest::Quiesce, "take leave").await
    }

    /// Gives volumes of the host's new contents. The guest does not say when that is done. If this fails, nothing more can be
    /// said to the guest.
    pub async fn update(&mut self, volumes: Vec<Contents>) -> Result<(), Error> {
        let update = ToGuest::Update(Update { volumes });
        self.send_within(&update, "take new contents of volumes", UPDATE_DEADLINE)
            .await
    }

    /// Has a command run beside the process. What is returned waits for its end, and needs no [`Commands`] for that, so that any
    /// number of commands can run at once; [`Events::next`] must be called meanwhile.
    ///
    /// If this fails, nothing more can be said to the guest.
    pub async fn exec(&mut self, command: Command) -> Result<Execution, Error> {
        let (exec, execution) = self.ledger.enter(command);
        self.send(&ToGuest::Exec(exec), "take a command").await?;
        Ok(execution)
    }

    async fn send(&mut self, message: &ToGuest, what: &'static str) -> Result<(), Error> {
        self.send_within(message, what, COMMAND_DEADLINE).await
    }

    async fn send_within(
        &mut self,
        message: &ToGuest,
        what: &'static str,
        within: Duration,
    ) -> Result<(), Error> {
        let mut frames = Vec::new();
        protocol::encode(message, &mut frames)?;
        timeout(within, self.write.write_all(&frames))
            .await
            .map_err(|_| Error::TimedOut { what, within })?
            .map_err(Error::Io)
    }
}

/// What happened in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The process wrote to its standard output.
    Stdout(Bytes),
    /// The process wrote to its standard error.
    Stderr(Bytes),
    /// The process ended. Drop [`Commands`] and [`Events`], and the guest ends its machine.
    Exited(Exited),
    /// The guest could not go on.
    Failed(Failed),
    /// The agent has said all, and dials anew: see [`Commands::quiesce`].
    Quiesced,
    /// The connection has ended.
    Closed,
}

/// What the host hears from a running guest.
#[derive(Debug)]
pub struct Events {
    read: OwnedReadHalf,
    incoming: Incoming,
    executions: Executions,
}

impl Events {
    /// The next event. Waits for as long as the process is silent; may be cancelled without losing one.
    ///
    /// A hypervisor that dies says no farewell, and nor does its guest: watch [`crate::Machine::wait`] as well.
    /// Not to call this slows down a process that writes, by way of the socket: nothing is buffered.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            return match self.incoming.next(&mut self.read).await {
                Ok(Received::Message(ToHost::Executed(executed))) => {
                    self.executions.ended(executed);
                    continue;
                }
                Ok(Received::Output(Stream::Stdout, bytes)) => Ok(Event::Stdout(bytes.into())),
                Ok(Received::Output(Stream::Stderr, bytes)) => Ok(Event::Stderr(bytes.into())),
                Ok(Received::Message(ToHost::Exited(exited))) => Ok(Event::Exited(exited)),
                Ok(Received::Message(ToHost::Failed(failed))) => Ok(Event::Failed(failed)),
                Ok(Received::Message(ToHost::Quiesced)) => Ok(Event::Quiesced),
                Ok(Received::End) => Ok(Event::Closed),
                // An agent that died did not close its socket; its kernel did.
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    Ok(Event::Closed)
                }
                Ok(other) => Err(Error::OutOfTurn {
                    got: other.kind(),
                    expected: "an event",
                }),
                Err(error) => Err(error),
            };
        }
    }
}
