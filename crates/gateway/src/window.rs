//! How much may be under way over HTTP/2, to and from the gateway.
//!
//! A stream whose other end is slow fills its window, and no more. Were the window of the connection smaller than those of all
//! its streams, a few slow ones would fill that too, and stop the others (RFC 9113, section 5.2.2).

/// Of one stream, in bytes: what one slow client or instance makes the gateway hold. A stream gets one window a round
/// trip: 5 MB/s where that takes 50 ms.
pub(crate) const STREAM: u32 = 256 << 10;
/// Most streams on one connection. Clients wait for room; to an instance another connection is made.
pub(crate) const STREAMS: u32 = 256;
/// Of one connection, in bytes: no stream ever waits for another.
pub(crate) const CONNECTION: u32 = STREAM * STREAMS;
