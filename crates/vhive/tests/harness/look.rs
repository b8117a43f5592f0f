//! Looks at the world: until it is as wanted, and at what the node says of a service.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Looks again until it holds; each look takes time of its own, so it needs no pause.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "never came: {what}");
    }
}

/// Status and message of the condition Ready.
pub(crate) fn ready(service: &Value) -> (String, String) {
    let conditions = service["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let ready = conditions
        .into_iter()
        .find(|it| it["type"] == "Ready")
        .unwrap_or_default();
    (
        ready["status"].as_str().unwrap_or_default().to_owned(),
        ready["message"].as_str().unwrap_or_default().to_owned(),
    )
}

/// What the function `name` answers to a GET, if that is a success.
pub(crate) fn get(ingress: &str, name: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(ingress)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {name}.default.127.0.0.1.sslip.io\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") {
        return Ok(answer);
    }
    Err(io::Error::other(answer))
}
