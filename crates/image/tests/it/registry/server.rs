//! Debian's `docker-registry` on a free port of the loopback.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use image::registry::{Client, Credentials};
use image::{Digest, Reference};
use tempfile::TempDir;

/// `user:sesame`, as `htpasswd -B` writes it.
const HTPASSWD: &str = "user:$2b$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW\n";
/// `base64(user:sesame)`.
pub(crate) const RIGHT: &str = "dXNlcjpzZXNhbWU=";
/// `base64(user:wrong)`.
pub(crate) const WRONG: &str = "dXNlcjp3cm9uZw==";

pub(crate) struct Server {
    folder: TempDir,
    process: Child,
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
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_str().unwrap();
        fs::write(folder.path().join("htpasswd"), HTPASSWD).unwrap();
        let config = format!(
            "version: 0.1\n\
             log: {{level: info, formatter: text}}\n\
             storage: {{filesystem: {{rootdirectory: FOLDER/data}}}}\n\
             http: {{addr: '127.0.0.1:0'}}\n\
             {extra}"
        );
        let config_path = folder.path().join("config.yml");
        fs::write(&config_path, config.replace("FOLDER", path)).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(config_path)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("apt-get install docker-registry");
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let address = listening(&mut log);
        // It must always find a reader.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self {
            folder,
            process,
            address,
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
            .folder
            .path()
            .join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// A client that is logged in with this, `base64(user:password)`.
    pub(crate) fn client_with(&self, auth: &str) -> Client {
        let path = self.folder.path().join(format!("{}.json", auth.len()));
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

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until the server says where it listens.
fn listening(log: &mut impl std::io::BufRead) -> SocketAddr {
    let mut said = String::new();
    for line in log.by_ref().lines() {
        let line = line.unwrap();
        if let Some((_, rest)) = line.split_once("listening on ") {
            let end = rest.find(|it: char| !(it.is_ascii_digit() || ".:".contains(it)));
            return rest[..end.unwrap_or(rest.len())].parse().unwrap();
        }
        said.push_str(&line);
        said.push('\n');
    }
    panic!("docker-registry did not start:\n{said}");
}
