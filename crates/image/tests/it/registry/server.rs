//! A registry, and names and clients for it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use image::registry::{Client, Credentials};
use image::{Digest, Reference};
use testkit::registry::Registry;

/// `user:sesame`, as `htpasswd -B` writes it.
const HTPASSWD: &str = "user:$2b$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW\n";
/// `base64(user:sesame)`.
pub(crate) const RIGHT: &str = "dXNlcjpzZXNhbWU=";
/// `base64(user:wrong)`.
pub(crate) const WRONG: &str = "dXNlcjp3cm9uZw==";

pub(crate) struct Server {
    registry: Registry,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// One that is open to all.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// One that wants a password.
    pub(crate) fn with_password() -> Self {
        Self::with("auth: {htpasswd: {realm: test, path: FOLDER/htpasswd}}\n")
    }

    fn with(extra: &str) -> Self {
        let registry = Registry::start(&[("htpasswd", HTPASSWD)], extra).unwrap();
        Self {
            address: registry.address(),
            registry,
        }
    }

    /// The name of an image there.
    pub(crate) fn name(&self, rest: &str) -> Reference {
        format!("{}/{rest}", self.address).parse().unwrap()
    }

    /// Where the server keeps a blob.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let blobs = self
            .registry
            .folder()
            .join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// A client that is logged in with this, `base64(user:password)`.
    pub(crate) fn client_with(&self, auth: &str) -> Client {
        let path = self.registry.folder().join(format!("{}.json", auth.len()));
        let config = format!(
            r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#,
            self.address
        );
        fs::write(&path, config).unwrap();
        Client::new(Credentials::read(&path).unwrap(), Vec::new())
    }

    /// Puts a manifest there that no client of ours would.
    pub(crate) fn put_manifest(&self, rest: &str, media_type: &str, manifest: &str) {
        let (repository, tag) = rest.split_once(':').unwrap();
        let request = format!(
            "PUT /v2/{repository}/manifests/{tag} HTTP/1.1\r\n\
             Host: {}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{manifest}",
            self.address,
            manifest.len()
        );
        let mut connection = TcpStream::connect(self.address).unwrap();
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
}
