//! The reading half: frames, one at a time.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::Error;
use super::protocol::{self, Decoder, Frame, Stream, ToHost};

/// Read from the socket at once, in bytes.
const CHUNK: usize = 32 * 1024;

/// What the guest sent.
pub(super) enum Received {
    Message(ToHost),
    Output(Stream, Vec<u8>),
    /// The connection has ended, between two messages.
    End,
}

impl Received {
    /// What to call it in an error.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Received::Message(ToHost::Hello(hello)) if hello.resumed => "the hello of a clone",
            Received::Message(ToHost::Hello(_)) => "hello",
            Received::Message(ToHost::Started(_)) => "started",
            Received::Message(ToHost::Exited(_)) => "exited",
            Received::Message(ToHost::Failed(_)) => "failed",
            Received::Message(ToHost::Quiesced) => "quiesced",
            Received::Message(ToHost::Resumed) => "resumed",
            Received::Message(ToHost::Executed(_)) => "the end of a command",
            Received::Output(..) => "output",
            Received::End => "the end",
        }
    }
}

/// Decodes what comes out of a socket. Every method may be cancelled without losing anything.
#[derive(Debug)]
pub(super) struct Incoming {
    decoder: Decoder,
    chunk: Box<[u8]>,
}

impl Incoming {
    pub(super) fn new() -> Incoming {
        Incoming {
            decoder: Decoder::new(),
            chunk: vec![0; CHUNK].into_boxed_slice(),
        }
    }

    pub(super) async fn next(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
    ) -> Result<Received, Error> {
        loop {
            match self.decoder.next_frame()? {
                Some(Frame::Control(json)) => {
                    return Ok(Received::Message(protocol::decode(&json)?));
                }
                Some(Frame::Output(stream, bytes)) => return Ok(Received::Output(stream, bytes)),
                None => {}
            }
            match from.read(&mut self.chunk).await {
                Ok(0) if self.decoder.is_empty() => return Ok(Received::End),
                Ok(0) => {
                    return Err(Error::Closed {
                        before: "ended a message",
                    });
                }
                Ok(count) => self.decoder.push(&self.chunk[..count]),
                Err(error) => return Err(Error::Io(error)),
            }
        }
    }
}
