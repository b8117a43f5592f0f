//! What came of a request.

use std::fmt;

/// How the instance that answered came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// The request waited for an instance to start.
    Cold,
    /// It did not.
    Warm,
    /// The response does not say: it has not come through vhive's gateway.
    Unknown,
}

/// Why a request has no good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failure {
    /// Nothing listens there.
    Refused,
    /// There is no way to the host.
    Unreachable,
    /// No connection by the deadline, or by the system's own.
    ConnectTimeout,
    /// A connection, but no whole answer by the deadline.
    Timeout,
    /// The connection was reset, or the stream.
    Reset,
    /// The connection was closed before the answer was whole.
    Closed,
    /// What came is not the protocol.
    Protocol,
    /// An answer that says so.
    Http(u16),
    /// An answer that says so.
    Grpc(u16),
    /// Not sent, since too many were outstanding.
    Overload,
    /// What the system refused for another reason, such as open files.
    System,
}

impl Failure {
    /// For an error of the system's, while connecting or afterwards.
    pub(crate) fn of_io(error: &std::io::Error, connecting: bool) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            Kind::ConnectionRefused => Self::Refused,
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => {
                Self::Unreachable
            }
            Kind::TimedOut if connecting => Self::ConnectTimeout,
            Kind::TimedOut => Self::Timeout,
            Kind::ConnectionReset | Kind::ConnectionAborted => Self::Reset,
            Kind::BrokenPipe | Kind::UnexpectedEof | Kind::NotConnected => Self::Closed,
            Kind::InvalidData => Self::Protocol,
            _ => Self::System,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable => f.write_str("host unreachable"),
            Self::ConnectTimeout => f.write_str("connect timed out"),
            Self::Timeout => f.write_str("timed out"),
            Self::Reset => f.write_str("connection reset"),
            Self::Closed => f.write_str("connection closed"),
            Self::Protocol => f.write_str("protocol error"),
            Self::Http(status) => write!(f, "HTTP {status}"),
            Self::Grpc(code) => match grpc_name(*code) {
                Some(name) => write!(f, "gRPC {code} {name}"),
                None => write!(f, "gRPC {code}"),
            },
            Self::Overload => f.write_str("not sent: too many outstanding"),
            Self::System => f.write_str("system error"),
        }
    }
}

/// As gRPC names its status codes.
fn grpc_name(code: u16) -> Option<&'static str> {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(usize::from(code)).copied()
}

/// An answer, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A good answer.
    Answered {
        /// How its instance came to be there.
        start: Start,
        /// What the function itself took, in microseconds, where it was asked for and its answer says so.
        function: Option<u32>,
    },
    /// None.
    Failed(Failure),
}

/// One request. All times are in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When it was due, since the beginning of what is recorded.
    pub due: u64,
    /// From when it was due to the last byte of its answer, or to its failure.
    pub latency: u64,
    /// From when it was due until it was sent.
    pub late: u32,
    /// The place of its endpoint among the endpoints.
    pub endpoint: u32,
    /// What came of it.
    pub outcome: Outcome,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_name_that_the_field_gives_it() {
        assert_eq!(Failure::Grpc(14).to_string(), "gRPC 14 UNAVAILABLE");
        assert_eq!(Failure::Grpc(99).to_string(), "gRPC 99");
        assert_eq!(Failure::Http(503).to_string(), "HTTP 503");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(Failure::of_io(&refused, true), Failure::Refused);
    }
}
