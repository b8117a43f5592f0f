//! Frames on the wire.
//!
//! ```text
//! ┌───────────────────┬─────────┬──────────────────────┐
//! │ length, u32 LE    │ kind u8 │ payload              │
//! │ of kind + payload │         │ length − 1 bytes     │
//! └───────────────────┴─────────┴──────────────────────┘
//! ```
//!
//! A frame is at most [`MAX_FRAME`] long, so neither side buffers more than it asked for. A control message
//! may be longer (a process can bring files along): it is cut into *part* frames, ended by a *control* frame.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest `length` of a frame, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;

/// Longest control message, in bytes of JSON.
pub const MAX_MESSAGE: usize = 8 * 1024 * 1024;

const LENGTH_BYTES: usize = 4;
const MAX_PAYLOAD: usize = MAX_FRAME - 1;

const CONTROL: u8 = 1;
const CONTROL_PART: u8 = 2;
const STDOUT: u8 = 3;
const STDERR: u8 = 4;

/// What is wrong with the bytes of the other side.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The length is 0: there is not even a kind.
    #[error("a frame of length 0")]
    Empty,
    /// The length is over [`MAX_FRAME`].
    #[error("a frame of {length} bytes; at most {MAX_FRAME} are allowed")]
    FrameTooLong {
        /// As announced.
        length: usize,
    },
    /// The kind is none of the known.
    #[error("a frame of unknown kind {kind}")]
    UnknownKind {
        /// As received.
        kind: u8,
    },
    /// The parts add up to more than [`MAX_MESSAGE`].
    #[error("a control message of over {MAX_MESSAGE} bytes")]
    MessageTooLong,
    /// The message is not the JSON that was expected.
    #[error("a control message that cannot be understood")]
    Json(#[source] serde_json::Error),
}

/// An output stream of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a [`Decoder`] yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A whole control message; [`decode`] reads it.
    Control(Vec<u8>),
    /// Bytes the process wrote.
    Output(Stream, Vec<u8>),
}

/// Appends `message` to `to`, framed.
pub fn encode<T: Serialize>(message: &T, to: &mut Vec<u8>) -> Result<(), Error> {
    let json = serde_json::to_vec(message).map_err(Error::Json)?;
    if json.len() > MAX_MESSAGE {
        return Err(Error::MessageTooLong);
    }
    let mut rest = json.as_slice();
    while rest.len() > MAX_PAYLOAD {
        let (part, remainder) = rest.split_at(MAX_PAYLOAD);
        frame(CONTROL_PART, part, to);
        rest = remainder;
    }
    frame(CONTROL, rest, to);
    Ok(())
}

/// Appends output of the process to `to`, in as many frames as it takes.
pub fn output(stream: Stream, bytes: &[u8], to: &mut Vec<u8>) {
    let kind = match stream {
        Stream::Stdout => STDOUT,
        Stream::Stderr => STDERR,
    };
    for chunk in bytes.chunks(MAX_PAYLOAD) {
        frame(kind, chunk, to);
    }
}

/// Reads the payload of a [`Frame::Control`].
pub fn decode<T: DeserializeOwned>(message: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(message).map_err(Error::Json)
}

fn frame(kind: u8, payload: &[u8], to: &mut Vec<u8>) {
    let length = (payload.len() + 1) as u32;
    to.extend_from_slice(&length.to_le_bytes());
    to.push(kind);
    to.extend_from_slice(payload);
}

/// Cuts a stream of bytes into frames. Does no I/O: push what was read, then take frames until there is none.
///
/// It holds what was pushed and not yet taken, plus a control message of at most [`MAX_MESSAGE`] bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    taken: usize,
    message: Vec<u8>,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that were read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            self.taken = 0;
        } else if self.taken > MAX_FRAME {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Is the stream between two messages? If not, and it ends here, it ended in the middle of one.
    pub fn is_empty(&self) -> bool {
        self.taken == self.buffer.len() && self.message.is_empty()
    }

    /// The next frame, or `None` when more bytes are needed. After an error the stream is lost.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            let rest = &self.buffer[self.taken..];
            let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
                return Ok(None);
            };
            let length = u32::from_le_bytes(*length) as usize;
            if length == 0 {
                return Err(Error::Empty);
            }
            if length > MAX_FRAME {
                return Err(Error::FrameTooLong { length });
            }
            // The kind is looked at before the payload is here, so that garbage is refused at once.
            let Some((&kind, rest)) = rest.split_first() else {
                return Ok(None);
            };
            if !matches!(kind, CONTROL | CONTROL_PART | STDOUT | STDERR) {
                return Err(Error::UnknownKind { kind });
            }
            let Some(payload) = rest.get(..length - 1) else {
                return Ok(None);
            };
            self.taken += LENGTH_BYTES + length;
            match kind {
                STDOUT => return Ok(Some(Frame::Output(Stream::Stdout, payload.to_vec()))),
                STDERR => return Ok(Some(Frame::Output(Stream::Stderr, payload.to_vec()))),
                _ => {}
            }
            if self.message.len() + payload.len() > MAX_MESSAGE {
                return Err(Error::MessageTooLong);
            }
            self.message.extend_from_slice(payload);
            if kind == CONTROL {
                return Ok(Some(Frame::Control(std::mem::take(&mut self.message))));
            }
        }
    }
}
