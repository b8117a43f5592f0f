//! Guests that do not keep to the protocol: a socket of this host plays their part.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use vmm::agent::protocol::{self, Failed, Hello, MAX_FRAME, Process, ToHost, VERSION};
use vmm::agent::{Error, Event, Listener, Session};

const SOON: Duration = Duration::from_secs(20);

fn hello(version: u32) -> ToHost {
    ToHost::Hello(Hello {
        version,
        agent: "0".into(),
        kernel: "6".into(),
        uptime_us: 1,
    })
}

fn frames(messages: &[ToHost]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        protocol::encode(message, &mut bytes).unwrap();
    }
    bytes
}

/// A listener, and a guest that has connected to it and said `bytes`.
async fn guest(bytes: &[u8]) -> (Listener, TcpStream) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listener = Listener::new(socket).unwrap();
    let mut guest = TcpStream::connect(address).await.unwrap();
    guest.write_all(bytes).await.unwrap();
    (listener, guest)
}

async fn session(after_hello: &[u8]) -> (Session, TcpStream) {
    let (listener, guest) = guest(&[&frames(&[hello(VERSION)]), after_hello].concat()).await;
    (listener.accept(SOON).await.unwrap(), guest)
}

#[tokio::test]
async fn garbage_is_refused() {
    let (listener, _guest) = guest(b"GET / HTTP/1.1\r\n\r\n").await;
    let error = listener.accept(SOON).await.unwrap_err();
    assert!(
        matches!(error, Error::Protocol(protocol::Error::FrameTooLong { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn an_agent_of_another_version_is_refused_by_number() {
    let (listener, _guest) = guest(&frames(&[hello(VERSION + 1)])).await;
    let error = listener.accept(SOON).await.unwrap_err();
    assert!(
        matches!(error, Error::Version { agent, host } if agent == host + 1),
        "{error}"
    );
}

#[tokio::test]
async fn a_guest_that_speaks_out_of_turn_is_refused() {
    let mut output = Vec::new();
    protocol::output(protocol::Stream::Stdout, b"early", &mut output);
    let (listener, _guest) = guest(&output).await;
    let error = listener.accept(SOON).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::OutOfTurn {
                got: "output",
                expected: "hello"
            }
        ),
        "{error}"
    );

    let (mut session, _guest) = session(&frames(&[hello(VERSION)])).await;
    let error = session.start(Process::default(), SOON).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::OutOfTurn {
                got: "hello",
                expected: "started"
            }
        ),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn silence_ends_with_the_deadline() {
    let (listener, _guest) = guest(b"").await;
    let error = listener.accept(SOON).await.unwrap_err();
    assert!(
        matches!(error, Error::TimedOut { within: SOON, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_guest_that_stops_half_way_is_told() {
    let (session, left) = session(&[1, 0]).await;
    drop(left);
    let (_commands, mut events) = session.split();
    let error = events.next().await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Closed {
                before: "ended a message"
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_guest_that_failed_before_it_was_asked_says_why() {
    let failed = Failed {
        stage: "root".into(),
        message: "cannot mount squashfs on \"/image\"".into(),
    };
    let (mut session, guest) = session(&frames(&[ToHost::Failed(failed)])).await;
    drop(guest);
    let error = session.start(Process::default(), SOON).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "root: cannot mount squashfs on \"/image\""
    );
}

#[tokio::test]
async fn a_running_guest_that_sends_garbage_is_an_error_and_an_orderly_end_is_not() {
    let (session, _guest) =
        session(&[(MAX_FRAME as u32).to_le_bytes().as_slice(), &[99]].concat()).await;
    let (_commands, mut events) = session.split();
    let error = events.next().await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Protocol(protocol::Error::UnknownKind { kind: 99 })
        ),
        "{error}"
    );

    let (session, guest) = self::session(b"").await;
    drop(guest);
    let (_commands, mut events) = session.split();
    assert_eq!(events.next().await.unwrap(), Event::Closed);
}

#[tokio::test]
async fn a_dial_that_was_given_up_is_passed_over() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listener = Listener::new(socket).unwrap();
    drop(TcpStream::connect(address).await.unwrap());
    let mut again = TcpStream::connect(address).await.unwrap();
    again.write_all(&frames(&[hello(VERSION)])).await.unwrap();
    let session = listener.accept(SOON).await.unwrap();
    assert_eq!(session.hello.version, VERSION);
}
