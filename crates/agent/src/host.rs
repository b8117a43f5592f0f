//! The connection to the host.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use agent::protocol::{self, Decoder, Frame, HOST, HOST_PORT, Stream, ToGuest, ToHost};

/// The NIC takes a moment to pass packets after it was brought up, and TCP repeats a lost first packet only
/// after a second: dial anew instead.
const DIAL_FIRST: Duration = Duration::from_millis(40);
const DIAL_LAST: Duration = Duration::from_secs(2);

/// A guest that was saved is restored at a moment it does not see: between two dials, or in the middle of one, whose
/// answer will not come. The shorter it waits, the sooner a clone is heard of. It is saved at once, so it does not
/// dial for long.
const REDIAL_PAUSE: Duration = Duration::from_millis(1);
const REDIAL_FIRST: Duration = Duration::from_millis(4);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot connect to the host at {HOST}:{HOST_PORT}")]
    Dial(#[source] io::Error),
    #[error("the connection to the host failed")]
    Io(#[source] io::Error),
    #[error("the host closed the connection")]
    Closed,
    #[error("the host sent something that is not the protocol")]
    Protocol(#[from] protocol::Error),
}

/// The connection, with what is still to be sent and what was received and not yet handled.
pub(crate) struct Host {
    socket: TcpStream,
    decoder: Decoder,
    received: VecDeque<ToGuest>,
    unsent: Vec<u8>,
    sent: usize,
    chunk: Box<[u8]>,
}

impl Host {
    /// Connects to the host.
    pub(crate) fn dial() -> Result<Host, Error> {
        let host = SocketAddr::from((HOST, HOST_PORT));
        let mut patience = DIAL_FIRST;
        let socket = loop {
            match TcpStream::connect_timeout(&host, patience) {
                Ok(socket) => break socket,
                Err(error) if error.kind() == io::ErrorKind::TimedOut && patience < DIAL_LAST => {
                    patience *= 2;
                }
                Err(error) => return Err(Error::Dial(error)),
            }
        };
        Host::over(socket)
    }

    /// Connects to whoever listens first.
    pub(crate) fn redial(deadline: Instant) -> Result<Host, Error> {
        let host = SocketAddr::from((HOST, HOST_PORT));
        let mut patience = REDIAL_FIRST;
        loop {
            let error = match TcpStream::connect_timeout(&host, patience) {
                Ok(socket) => return Host::over(socket),
                Err(error) => error,
            };
            if Instant::now() >= deadline {
                return Err(Error::Dial(error));
            }
            if error.kind() == io::ErrorKind::TimedOut {
                patience = DIAL_LAST.min(patience * 2);
            } else {
                std::thread::sleep(REDIAL_PAUSE);
            }
        }
    }

    fn over(socket: TcpStream) -> Result<Host, Error> {
        socket.set_nodelay(true).map_err(Error::Io)?;
        socket.set_nonblocking(true).map_err(Error::Io)?;
        Ok(Host {
            socket,
            decoder: Decoder::new(),
            received: VecDeque::new(),
            unsent: Vec::new(),
            sent: 0,
            chunk: vec![0; 16 * 1024].into_boxed_slice(),
        })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Queues a message and sends what the socket takes.
    pub(crate) fn send(&mut self, message: &ToHost) -> Result<(), Error> {
        protocol::encode(message, &mut self.unsent)?;
        self.flush()
    }

    /// Queues output of the process and sends what the socket takes.
    pub(crate) fn send_output(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Error> {
        protocol::output(stream, bytes, &mut self.unsent);
        self.flush()
    }

    /// Is there something queued that the socket did not take? Then no more should be read from the process.
    pub(crate) fn is_blocked(&self) -> bool {
        self.sent < self.unsent.len()
    }

    /// Sends what the socket takes.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        while self.is_blocked() {
            match self.socket.write(&self.unsent[self.sent..]) {
                Ok(0) => return Err(Error::Closed),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Io(error)),
            }
        }
        self.unsent.clear();
        self.sent = 0;
        Ok(())
    }

    /// Tells the host that no more will come.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        self.socket.shutdown(Shutdown::Write).map_err(Error::Io)
    }

    /// Reads what has arrived, without waiting. [`Error::Closed`] when the host is gone.
    pub(crate) fn receive(&mut self) -> Result<(), Error> {
        match self.socket.read(&mut self.chunk) {
            Ok(0) => return Err(Error::Closed),
            Ok(count) => self.decoder.push(&self.chunk[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(Error::Io(error)),
        }
        while let Some(frame) = self.decoder.next_frame()? {
            // The host has no output to send; frames of that kind are of a later version.
            if let Frame::Control(json) = frame {
                self.received.push_back(protocol::decode(&json)?);
            }
        }
        Ok(())
    }

    /// The next message that was received.
    pub(crate) fn next_message(&mut self) -> Option<ToGuest> {
        self.received.pop_front()
    }
}
