//! The smallest useful function: gRPC `helloworld.Greeter/SayHello` and plain HTTP on one port.
//!
//! It listens on `$PORT` (50051 without it). One thread, since a function of one virtual CPU gains nothing
//! from more, and every thread is start-up time.

mod grpc;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

type Body = BoxBody<Bytes, Infallible>;

const DEFAULT_PORT: u16 = 50051;
/// A greeting is a name: nothing longer is read.
const MAX_REQUEST_BYTES: usize = 64 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = match std::env::var("PORT") {
        Ok(port) => port
            .parse()
            .map_err(|_| format!("PORT is not a port number: {port:?}"))?,
        Err(_) => DEFAULT_PORT,
    };
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await?;
    println!("helloworld listens on port {port}");
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            let connection = server.serve_connection(TokioIo::new(stream), service_fn(answer));
            if let Err(error) = connection.await {
                eprintln!("connection ended: {error}");
            }
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let started = Instant::now();
    let is_grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let body = http_body_util::Limited::new(request.into_body(), MAX_REQUEST_BYTES);
    let Ok(body) = body.collect().await else {
        return Ok(text(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request is too large\n",
        ));
    };
    let body = body.to_bytes();
    Ok(if is_grpc {
        grpc::respond(&path, &body, started)
    } else if method == Method::GET {
        text(StatusCode::OK, "Hello, World!\n")
    } else if method == Method::POST {
        let name = String::from_utf8_lossy(&body);
        text(StatusCode::OK, format!("Hello, {}!\n", name.trim()))
    } else {
        text(StatusCode::METHOD_NOT_ALLOWED, "GET or POST, please\n")
    })
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
