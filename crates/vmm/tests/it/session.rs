//! Guests that do not keep to the protocol: a socket of this host plays their part.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vmm::agent::protocol::{
    self, Failed, Hello, MAX_FRAME, Process, Resume, ToGuest, ToHost, VERSION,
};
use vmm::agent::{Error, Event, Listener, Session};

const SOON: Duration = Duration::from_secs(20);

fn hello(version: u32) -> ToHost {
    ToHost::Hello(Hello {
        version,
        agent: "0".into(),
        kernel: "6".into(),
        uptime_us: 1,
        resumed: false,
    })
}

/// The hello of a guest that was restored.
fn resumed() -> ToHost {
    match hello(VERSION) {
        ToHost::Hello(hello) => ToHost::Hello(Hello {
            resumed: true,
            ..hello
        }),
        other => other,
    }
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

#[tokio::test]
async fn a_clone_and_a_guest_that_boots_are_not_taken_for_each_other() {
    let (listener, _guest) = guest(&frames(&[resumed()])).await;
    let error = listener.accept(SOON).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the guest sent the hello of a clone where hello was due"
    );
    let (listener, _guest) = guest(&frames(&[hello(VERSION)])).await;
    let error = listener.accept_resumed(SOON).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the guest sent hello where the hello of a clone was due"
    );
}

#[tokio::test]
async fn a_clone_is_told_who_it_is_and_says_when_it_is_so() {
    let (listener, mut guest) = guest(&frames(&[resumed(), ToHost::Resumed])).await;
    let mut session = listener.accept_resumed(SOON).await.unwrap();
    let resume = Resume {
        time_unix_us: 5,
        entropy: vec![7; 32],
        hostname: "clone".into(),
        ..Resume::default()
    };
    session.resume(resume.clone(), SOON).await.unwrap();
    let mut expected = Vec::new();
    protocol::encode(&ToGuest::Resume(resume), &mut expected).unwrap();
    let mut sent = vec![0; expected.len()];
    guest.read_exact(&mut sent).await.unwrap();
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_clone_that_cannot_become_itself_says_why() {
    let failed = Failed {
        stage: "resume".into(),
        message: "the clock cannot be set: Operation not permitted".into(),
    };
    let (listener, _guest) = guest(&frames(&[resumed(), ToHost::Failed(failed)])).await;
    let mut session = listener.accept_resumed(SOON).await.unwrap();
    let error = session.resume(Resume::default(), SOON).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "resume: the clock cannot be set: Operation not permitted"
    );
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_does_not_confirm_is_given_up() {
    let (listener, _guest) = guest(&frames(&[resumed()])).await;
    let mut session = listener.accept_resumed(SOON).await.unwrap();
    let error = session.resume(Resume::default(), SOON).await.unwrap_err();
    assert_eq!(error.to_string(), "the guest did not resume within 20s");
}

#[tokio::test]
async fn a_guest_that_leaves_by_agreement_has_its_output_heard_first() {
    let mut output = Vec::new();
    protocol::output(protocol::Stream::Stdout, b"last", &mut output);
    let (session, _guest) = session(&[output, frames(&[ToHost::Quiesced])].concat()).await;
    let (mut commands, mut events) = session.split();
    commands.quiesce().await.unwrap();
    assert_eq!(
        events.next().await.unwrap(),
        Event::Stdout(b"last".as_slice().into())
    );
    assert_eq!(events.next().await.unwrap(), Event::Quiesced);
}
