//! The ingress over TLS.

use std::sync::Arc;

use gateway::RevisionConfig;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::instance::Instance;
use crate::rig::{Answer, HOST, Rig, empty, get, to_host};

/// A second door of `rig`, over TLS; and how to trust it.
struct Door {
    address: std::net::SocketAddr,
    roots: RootCertStore,
}

impl Door {
    async fn of(rig: &Rig) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([HOST.to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (gateway, shutdown) = (rig.gateway.clone(), rig.shutdown.clone());
        tokio::spawn(async move { gateway.serve_tls(listener, config, shutdown).await });
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        Self { address, roots }
    }

    async fn knock(&self, alpn: &[&str]) -> TlsStream<TcpStream> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(HOST).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.unwrap()
    }
}

/// Answers with how the request came, by its own word.
async fn told() -> Instance {
    Instance::http(async |request: Request<Incoming>| {
        let field = |name| request.headers()[name].to_str().unwrap().to_owned();
        let text = format!("{} {}", field("x-forwarded-proto"), field("forwarded"));
        http::Response::new(Full::from(text).boxed_unsync())
    })
    .await
}

#[tokio::test]
async fn http2_and_http1_are_agreed_on_and_the_instance_is_told() {
    let instance = told().await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let door = Door::of(&rig).await;
    let expected = format!("https for=127.0.0.1;host={HOST};proto=https");

    let stream = door.knock(&["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let response = client.send_request(to_host("GET", empty())).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(Answer::of(response).await.body, expected);

    for alpn in [&["http/1.1"][..], &[]] {
        let io = TokioIo::new(door.knock(alpn).await);
        let (mut client, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let response = client.send_request(get()).await.unwrap();
        assert_eq!(Answer::of(response).await.body, expected, "{alpn:?}");
    }
}

#[tokio::test]
async fn who_does_not_speak_tls_is_turned_away_and_others_are_served() {
    let instance = told().await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let door = Door::of(&rig).await;
    let mut plain = TcpStream::connect(door.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // An alert, or nothing; then the end.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    let io = TokioIo::new(door.knock(&[]).await);
    let (mut client, connection) = http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(client.send_request(get()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_handshake_under_way_does_not_keep_the_gateway_from_ending() {
    let rig = Rig::start(RevisionConfig::default(), vec![]).await;
    let door = Door::of(&rig).await;
    let mut silent = TcpStream::connect(door.address).await.unwrap();
    rig.shutdown.cancel();
    let mut nothing = Vec::new();
    let _ = silent.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty());
}
