use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use gateway::{Protocol, RevisionConfig};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};

use crate::instance::{self, Instance, text};
use crate::rig::{Rig, empty, get, key, post, to_host, until};

/// A body that is written from elsewhere; it ends when the sender is dropped.
struct Pipe(mpsc::UnboundedReceiver<&'static str>);

fn pipe() -> (mpsc::UnboundedSender<&'static str>, Pipe) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Pipe(receiver))
}

impl Body for Pipe {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = self.0.poll_recv(cx);
        chunk.map(|chunk| chunk.map(|text| Ok(Frame::data(Bytes::from(text)))))
    }
}

/// The next piece that is not empty: HTTP/2 may end a stream with an empty one.
async fn next(body: &mut Incoming) -> Option<Bytes> {
    loop {
        let piece = body.frame().await?.unwrap().into_data().unwrap();
        if !piece.is_empty() {
            return Some(piece);
        }
    }
}

/// Sends back what it receives, as it comes.
async fn echo(request: Request<Incoming>) -> Response<instance::Body> {
    let body = request.into_body().map_err(|error| panic!("{error}"));
    Response::new(body.boxed_unsync())
}

#[tokio::test(start_paused = true)]
async fn slow_readers_do_not_stop_others_on_the_connection_to_an_instance() {
    const LARGE: usize = 2 << 20;
    let produced = Arc::<AtomicUsize>::default();
    let count = produced.clone();
    let instance = Instance::http_with(
        |server| {
            server.http2().max_send_buf_size(16 << 10);
        },
        move |request| {
            let count = count.clone();
            async move {
                if request.method() == http::Method::POST {
                    return text(vec![0; LARGE]);
                }
                let parts = futures_util::stream::repeat_with(move || {
                    count.fetch_add(16 << 10, Ordering::SeqCst);
                    Ok(Frame::data(Bytes::from_static(&[0; 16 << 10])))
                });
                Response::new(StreamBody::new(parts).boxed_unsync())
            }
        },
    )
    .await;
    let config = RevisionConfig {
        protocol: Protocol::H2c,
        ..RevisionConfig::default()
    };
    let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
    let mut slow = rig.http2_with_window(0).await;
    let mut unread = Vec::new();
    for _ in 0..32 {
        unread.push(slow.send_request(to_host("GET", empty())).await.unwrap());
    }
    // As much as the windows of a few of them take.
    until(|| produced.load(Ordering::SeqCst) >= 4 << 20).await;
    let answer = rig.http1().await.ask(post(empty())).await;
    assert_eq!(answer.body.len(), LARGE);
    assert_eq!(instance.connections(), 1);
}

#[tokio::test]
async fn server_sent_events_arrive_one_by_one() {
    let (events, mut pipes) = mpsc::unbounded_channel();
    let instance = Instance::http(move |_| {
        let (sender, body) = pipe();
        events.send(sender).unwrap();
        async move {
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(body.boxed_unsync())
                .unwrap()
        }
    })
    .await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut client = rig.http1().await;
    let mut response = client.send(get()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let events = pipes.recv().await.unwrap();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        events.send(event).unwrap();
        assert_eq!(next(response.body_mut()).await.unwrap(), event);
    }
    assert_eq!(rig.gateway.stats(&key()).in_flight, 1);
    drop(events);
    assert_eq!(next(response.body_mut()).await, None);
    rig.until(|stats| stats.in_flight == 0).await;
}

#[tokio::test]
async fn both_directions_stream_at_once_in_every_mix_of_protocols() {
    let instance = Instance::http(echo).await;
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let config = RevisionConfig {
            protocol,
            ..RevisionConfig::default()
        };
        let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
        let mut http1 = rig.http1().await;
        let mut http2 = rig.http2().await;
        for client_speaks_http2 in [false, true] {
            let (sender, body) = pipe();
            sender.send("first").unwrap();
            let mut response = if client_speaks_http2 {
                let request = to_host("POST", body.boxed_unsync());
                http2.send_request(request).await.unwrap()
            } else {
                http1.send(post(body.boxed_unsync())).await
            };
            let context = format!("{protocol:?}, client in HTTP/2: {client_speaks_http2}");
            let body = response.body_mut();
            assert_eq!(next(body).await.unwrap(), "first", "{context}");
            sender.send("second").unwrap();
            assert_eq!(next(body).await.unwrap(), "second", "{context}");
            drop(sender);
            assert_eq!(next(body).await, None, "{context}");
        }
        rig.until(|stats| stats.in_flight == 0).await;
    }
}

#[tokio::test]
async fn an_upload_goes_on_while_nobody_reads_the_response() {
    const CHUNK: usize = 64 << 10;
    const CHUNKS: usize = 512;
    let received = Arc::<AtomicUsize>::default();
    let instance = Instance::http({
        let received = received.clone();
        move |request: Request<Incoming>| {
            let received = received.clone();
            async move {
                let mut upload = request.into_body();
                tokio::spawn(async move {
                    while let Some(frame) = upload.frame().await {
                        let length = frame.unwrap().data_ref().map_or(0, Bytes::len);
                        received.fetch_add(length, Ordering::SeqCst);
                    }
                });
                // More than fits in all the buffers on the way.
                Response::new(Zeros::new(1024, Arc::default()).boxed_unsync())
            }
        }
    })
    .await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut client = rig.http1().await;
    let upload = Zeros::new(CHUNKS, Arc::default());
    let _unread = client.send(post(upload.boxed_unsync())).await;
    until(|| received.load(Ordering::SeqCst) == CHUNK * CHUNKS).await;
}

/// `chunks` chunks of 64 KiB; counts what it has given away.
struct Zeros {
    left: usize,
    produced: Arc<AtomicUsize>,
}

static CHUNK: [u8; 64 << 10] = [0; 64 << 10];

impl Zeros {
    fn new(chunks: usize, produced: Arc<AtomicUsize>) -> Self {
        Self {
            left: chunks,
            produced,
        }
    }
}

impl Body for Zeros {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.left.checked_sub(1) else {
            return Poll::Ready(None);
        };
        self.left = left;
        self.produced.fetch_add(CHUNK.len(), Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&CHUNK)))))
    }
}

const LARGE: usize = 64 << 20;
/// What may be under way: the socket buffers of two connections at their largest, and little else.
const UNDER_WAY: usize = 32 << 20;

/// Reads slowly: everybody else gets to do what they can before each chunk is taken.
async fn read_slowly(mut body: Incoming, produced: &AtomicUsize) -> usize {
    let mut consumed = 0;
    while let Some(frame) = body.frame().await {
        consumed += frame.unwrap().data_ref().map_or(0, Bytes::len);
        let under_way = produced.load(Ordering::SeqCst) - consumed;
        assert!(
            under_way < UNDER_WAY,
            "{under_way} bytes are held somewhere"
        );
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    consumed
}

#[tokio::test]
async fn a_large_response_is_held_back_by_a_slow_reader() {
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let produced = Arc::<AtomicUsize>::default();
        let instance = Instance::http({
            let produced = produced.clone();
            move |_| {
                let body = Zeros::new(LARGE / CHUNK.len(), produced.clone());
                async move { Response::new(body.boxed_unsync()) }
            }
        })
        .await;
        let config = RevisionConfig {
            protocol,
            ..RevisionConfig::default()
        };
        let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
        let mut client = rig.http1().await;
        let body = client.send(get()).await.into_body();
        assert_eq!(read_slowly(body, &produced).await, LARGE, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_large_request_is_held_back_by_a_slow_reader() {
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let produced = Arc::<AtomicUsize>::default();
        let instance = Instance::http({
            let produced = produced.clone();
            move |request: Request<Incoming>| {
                let produced = produced.clone();
                async move {
                    let size = read_slowly(request.into_body(), &produced).await;
                    text(size.to_string())
                }
            }
        })
        .await;
        let config = RevisionConfig {
            protocol,
            ..RevisionConfig::default()
        };
        let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
        let upload = Zeros::new(LARGE / CHUNK.len(), produced.clone());
        let answer = rig.http1().await.ask(post(upload.boxed_unsync())).await;
        assert_eq!(answer.body, LARGE.to_string(), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_does_not_look_complete() {
    let broken = Arc::new(Semaphore::new(0));
    let instance = Instance::raw({
        let broken = broken.clone();
        move |mut stream| {
            let broken = broken.clone();
            async move {
                let mut head = [0; 1024];
                assert_ne!(stream.read(&mut head).await.unwrap(), 0);
                let part = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n";
                stream.write_all(part).await.unwrap();
                broken.acquire().await.unwrap().forget();
            }
        }
    })
    .await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut client = rig.http1().await;
    let mut body = client.send(get()).await.into_body();
    assert_eq!(next(&mut body).await.unwrap(), "part");
    broken.add_permits(1);
    assert!(body.collect().await.is_err());
    rig.until(|stats| stats.in_flight == 0).await;
}

#[tokio::test]
async fn a_response_that_is_reset_over_http2_does_not_look_complete() {
    for reason in [h2::Reason::CANCEL, h2::Reason::INTERNAL_ERROR] {
        let broken = Arc::new(Semaphore::new(0));
        let instance = Instance::raw({
            let broken = broken.clone();
            move |stream| {
                let broken = broken.clone();
                async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    let (_, mut respond) = connection.accept().await.unwrap().unwrap();
                    let mut body = respond.send_response(Response::new(()), false).unwrap();
                    body.send_data("part".into(), false).unwrap();
                    let serving = async { while connection.accept().await.is_some() {} };
                    let breaking = async {
                        broken.acquire().await.unwrap().forget();
                        body.send_reset(reason);
                    };
                    tokio::join!(serving, breaking);
                }
            }
        })
        .await;
        let config = RevisionConfig {
            protocol: Protocol::H2c,
            ..RevisionConfig::default()
        };
        let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
        let mut client = rig.http1().await;
        let mut body = client.send(get()).await.into_body();
        assert_eq!(next(&mut body).await.unwrap(), "part");
        broken.add_permits(1);
        assert!(body.collect().await.is_err(), "{reason:?}");
        rig.until(|stats| stats.in_flight == 0).await;
    }
}

#[tokio::test]
async fn responses_without_a_body_keep_the_connection() {
    let instance = Instance::http(async |request: Request<Incoming>| {
        let status = if request.method() == "HEAD" { 200 } else { 204 };
        Response::builder()
            .status(status)
            .body(Full::default().boxed_unsync())
            .unwrap()
    })
    .await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut client = rig.http1().await;
    for method in ["HEAD", "GET", "HEAD", "DELETE"] {
        let mut request = get();
        *request.method_mut() = method.parse().unwrap();
        assert!(client.ask(request).await.status.is_success(), "{method}");
    }
    assert_eq!(instance.connections(), 1);
}
