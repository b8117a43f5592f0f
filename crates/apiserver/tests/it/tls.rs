//! Certificates and the listener.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use apiserver::auth;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::server::{SERVICES, Server, answer, client, strangers_client};

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[tokio::test]
async fn a_client_without_a_certificate_may_only_ask_for_health() {
    let server = Server::start().await;
    let stranger = strangers_client(&server.pki).build().unwrap();
    for path in ["/healthz", "/readyz", "/livez"] {
        let response = stranger.get(server.url(path)).send().await.unwrap();
        assert_eq!(
            (
                response.status().as_u16(),
                response.text().await.unwrap().as_str()
            ),
            (200, "ok")
        );
    }
    for path in [
        SERVICES,
        "/version",
        "/apis",
        "/nothing",
        "/healthz/../apis",
    ] {
        let (code, status) = answer(stranger.get(server.url(path)).send().await.unwrap()).await;
        assert_eq!(
            (code, &status["reason"]),
            (401, &Value::from("Unauthorized")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_ours_is_401() {
    let server = Server::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let mut other = auth::ensure(elsewhere.path(), &[], SystemTime::now()).unwrap();
    other.ca = server.pki.ca.clone();
    // Nor does the server's own certificate make a client.
    let mut swapped = server.pki.clone();
    swapped.client = swapped.server.clone();
    for pki in [other, swapped] {
        let impostor = client(&pki).build().unwrap();
        for path in ["/version", SERVICES, "/metrics"] {
            let answered = impostor.get(server.url(path)).send().await.unwrap();
            let (code, status) = answer(answered).await;
            assert_eq!(
                (code, &status["reason"]),
                (401, &Value::from("Unauthorized"))
            );
        }
        let health = impostor.get(server.url("/healthz")).send().await.unwrap();
        assert_eq!(health.status(), 200);
    }
    assert_eq!(server.get("/version").await.0, 200);
}

/// The certificate is not enough: the handshake asks for its key.
#[tokio::test]
async fn a_certificate_without_its_key_is_refused_in_the_handshake() {
    let server = Server::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let other = auth::ensure(elsewhere.path(), &[], SystemTime::now()).unwrap();
    let mut stolen = server.pki.clone();
    stolen.client.key = other.client.key;
    let identity = format!("{}{}", stolen.client.certificate, stolen.client.key);
    let Ok(identity) = reqwest::Identity::from_pem(identity.as_bytes()) else {
        return;
    };
    // The client's own library may refuse the pair first.
    let Ok(thief) = strangers_client(&stolen).identity(identity).build() else {
        return;
    };
    assert!(thief.get(server.url("/version")).send().await.is_err());
}

#[tokio::test]
async fn garbage_instead_of_a_handshake_harms_nobody() {
    let server = Server::start().await;
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x16, 3, 1, 0xff, 0xff],
        &[],
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }
    assert_eq!(server.get("/version").await.0, 200);
}

#[tokio::test]
async fn both_versions_of_http_are_spoken() {
    let server = Server::start().await;
    let old = client(&server.pki).http1_only().build().unwrap();
    for (client, version) in [
        (&server.client, reqwest::Version::HTTP_2),
        (&old, reqwest::Version::HTTP_11),
    ] {
        let response = client.get(server.url("/version")).send().await.unwrap();
        assert_eq!(response.version(), version);
    }
}

#[tokio::test]
async fn shutting_down_ends_watches_and_the_server() {
    let server = Server::start().await;
    let watch = server
        .client
        .get(server.url(&format!("{SERVICES}?watch=true")))
        .send()
        .await
        .unwrap();
    assert_eq!(watch.status(), 200);
    server.shutdown.cancel();
    assert_eq!(watch.text().await.unwrap(), "", "the stream ends whole");
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[test]
fn certificates_stay_until_they_must_go() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let ensure = |hosts: &[&str], at| {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        auth::ensure(folder.path(), &hosts, at).unwrap()
    };
    let first = ensure(&[], now);
    let same = ensure(&[], now + YEAR);
    assert_eq!(first.ca, same.ca);
    assert_eq!(first.server.certificate, same.server.certificate);
    assert_eq!(first.client.key, same.client.key);

    let hosts = ensure(&["vhive.example.com", "192.0.2.1"], now);
    assert_eq!(first.ca, hosts.ca);
    assert_ne!(
        first.server.certificate, hosts.server.certificate,
        "a host was added"
    );
    assert_eq!(first.client.certificate, hosts.client.certificate);
    assert_eq!(
        hosts.server.certificate,
        ensure(&["192.0.2.1"], now).server.certificate
    );

    for at in [now + 2 * YEAR, now - YEAR] {
        let renewed = ensure(&["192.0.2.1"], at);
        assert_eq!(first.ca, renewed.ca);
        assert_ne!(hosts.server.certificate, renewed.server.certificate);
        assert_ne!(first.client.certificate, renewed.client.certificate);
    }
}

#[test]
fn certificates_are_private_and_damage_is_repaired_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let ensure = || auth::ensure(folder.path(), &[], SystemTime::now());
    let first = ensure().unwrap();
    for name in ["ca.pem", "server.pem", "client.pem"] {
        let mode = fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    fs::write(folder.path().join("server.pem"), "half a certif").unwrap();
    // A key that is not the certificate's.
    let other = format!("{}{}", first.client.certificate, first.server.key);
    fs::write(folder.path().join("client.pem"), other).unwrap();
    let repaired = ensure().unwrap();
    assert_ne!(first.server.certificate, repaired.server.certificate);
    assert_ne!(first.client.certificate, repaired.client.certificate);

    fs::write(folder.path().join("ca.pem"), "nothing").unwrap();
    let error = ensure().err().unwrap();
    assert!(matches!(error, auth::Error::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("ca.pem.bad"), "{error}");
}

#[test]
fn first_starts_at_the_same_time_agree() {
    let folder = tempfile::tempdir().unwrap();
    let starts: Vec<_> = std::thread::scope(|scope| {
        let start = || auth::ensure(folder.path(), &[], SystemTime::now()).unwrap();
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect()
    });
    for start in &starts {
        assert_eq!(start.ca, starts[0].ca);
        assert_eq!(start.client.certificate, starts[0].client.certificate);
    }
}

#[test]
fn a_host_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = auth::ensure(folder.path(), &["not a host".into()], SystemTime::now())
        .err()
        .unwrap();
    assert!(error.to_string().contains("\"not a host\""), "{error}");
}

#[test]
fn a_kubeconfig_has_all_that_a_client_needs() {
    let folder = tempfile::tempdir().unwrap();
    let pki = auth::ensure(folder.path(), &[], SystemTime::now()).unwrap();
    let config = auth::kubeconfig(&pki, "https://127.0.0.1:6443");
    let config: Value = serde_yaml_ng::from_str(&config).unwrap();
    assert_eq!(
        config["clusters"][0]["cluster"]["server"],
        "https://127.0.0.1:6443"
    );
    assert_eq!(config["current-context"], config["contexts"][0]["name"]);
    let user = &config["users"][0]["user"];
    for (data, pem) in [
        (
            &config["clusters"][0]["cluster"]["certificate-authority-data"],
            &pki.ca,
        ),
        (&user["client-certificate-data"], &pki.client.certificate),
        (&user["client-key-data"], &pki.client.key),
    ] {
        use base64::Engine;
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(data.as_str().unwrap())
            .unwrap();
        assert_eq!(&decoded, pem.as_bytes());
    }
}
