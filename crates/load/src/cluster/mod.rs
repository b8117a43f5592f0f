//! A client of a Kubernetes-style API: a node's, or any cluster's that a kubeconfig names.

mod kubeconfig;

use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::io::StreamReader;

pub use kubeconfig::Error as KubeconfigError;

const CONNECT: Duration = Duration::from_secs(10);
/// For an answer that is no watch.
const ANSWER: Duration = Duration::from_secs(60);

/// How an API is reached, and who asks.
#[derive(Clone, Default)]
pub struct Access {
    /// `https://HOST:PORT`.
    pub server: String,
    /// Authorities, as PEM; without, the system's.
    pub ca: Option<Vec<u8>>,
    /// Believe whoever answers.
    pub insecure: bool,
    /// A client certificate and its key, as PEM.
    pub identity: Option<Vec<u8>>,
    /// A bearer's token.
    pub token: Option<String>,
    /// A proxy on the way.
    pub proxy: Option<String>,
    /// Where this was found, to be told.
    pub source: String,
}

/// Why the API did not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificates or addresses that were given are none.
    #[error("what is said of the API at {server} is wrong")]
    Access {
        /// Its address.
        server: String,
        /// What is wrong.
        source: reqwest::Error,
    },
    /// Nothing came back.
    #[error("no answer from the API at {server}")]
    Send {
        /// Its address.
        server: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// A refusal, in the API's own words.
    #[error("the API refuses it ({status}): {message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What it says.
        message: String,
    },
    /// What came back is no JSON.
    #[error("the API's answer for {path} cannot be read")]
    Answer {
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        source: reqwest::Error,
    },
}

impl Error {
    /// Whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

/// A client.
#[derive(Clone)]
pub struct Cluster {
    http: reqwest::Client,
    access: Access,
}

impl Cluster {
    /// A client that has not asked for anything yet.
    pub fn new(mut access: Access) -> Result<Self, Error> {
        let server = access.server.trim_end_matches('/').to_owned();
        access.server = server;
        let http = Self::client(&access).map_err(|source| Error::Access {
            server: access.server.clone(),
            source,
        })?;
        Ok(Self { http, access })
    }

    fn client(access: &Access) -> Result<reqwest::Client, reqwest::Error> {
        let mut client = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .user_agent(concat!("vhive-deployer/", env!("CARGO_PKG_VERSION")))
            .no_proxy();
        if let Some(proxy) = &access.proxy {
            client = client.proxy(reqwest::Proxy::all(proxy)?);
        }
        if let Some(ca) = &access.ca {
            client = client.tls_certs_only(reqwest::Certificate::from_pem_bundle(ca)?);
        }
        if access.insecure {
            client = client.tls_danger_accept_invalid_certs(true);
        }
        if let Some(identity) = &access.identity {
            client = client.identity(reqwest::Identity::from_pem(identity)?);
        }
        client.build()
    }

    /// The API's address, and where that was found.
    pub fn described(&self) -> String {
        format!("{} ({})", self.access.server, self.access.source)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        limit: Option<Duration>,
    ) -> Result<reqwest::Response, Error> {
        let url = format!("{}{path}", self.access.server);
        let kind = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.access.token {
            request = request.bearer_auth(token);
        }
        if let Some(limit) = limit {
            request = request.timeout(limit);
        }
        if let Some(body) = body {
            // What is there already is not set by the body.
            request = request
                .header(CONTENT_TYPE, HeaderValue::from_static(kind))
                .json(body);
        }
        let response = request.send().await.map_err(|source| Error::Send {
            server: self.access.server.clone(),
            source,
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let told: Option<Value> = serde_json::from_str(&text).ok();
        let message = told.as_ref().and_then(|told| told["message"].as_str());
        Err(Error::Refused {
            status,
            message: message.unwrap_or(text.trim()).to_owned(),
        })
    }

    /// Asks, and reads the answer.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let response = self.send(method, path, body, Some(ANSWER)).await?;
        response.json().await.map_err(|source| Error::Answer {
            path: path.to_owned(),
            source,
        })
    }

    /// What happens, one JSON text for each event, until the stream ends.
    pub(crate) async fn watch(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = std::io::Result<String>> + Unpin + use<>, Error> {
        let response = self.send(Method::GET, path, None, None).await?;
        let bytes = response.bytes_stream().map_err(std::io::Error::other);
        let lines = BufReader::new(StreamReader::new(bytes)).lines();
        let lines = futures_util::stream::unfold(lines, |mut lines| async {
            Some((lines.next_line().await.transpose()?, lines))
        });
        Ok(lines.boxed())
    }
}
