//! Where the requests for an endpoint go.

use std::io;
use std::net::SocketAddr;

use crate::endpoints::Endpoint;
use crate::wildcard_dns;

/// Why an endpoint cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Its name is no host.
    #[error("{0:?} is not a host name, with or without a port")]
    Name(String),
    /// Nobody knows its address.
    #[error("cannot resolve {name}")]
    Resolve {
        /// HOST:PORT.
        name: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The resolver knows the name, and no address.
    #[error("{0} has no address")]
    NoAddress(String),
}

/// An endpoint with its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What is connected to.
    pub address: SocketAddr,
    /// What is asked for: the endpoint's host, and its port where that is not 80.
    pub authority: String,
    /// The endpoint's name, as in its file.
    pub hostname: String,
}

impl Target {
    /// The target of an endpoint. Its own port goes before `port`; `gateway` (HOST:PORT) is connected to in any case.
    pub async fn of(
        endpoint: &Endpoint,
        port: u16,
        gateway: Option<&str>,
    ) -> Result<Self, TargetError> {
        let wrong = || TargetError::Name(endpoint.hostname.clone());
        let given: http::uri::Authority = endpoint.hostname.parse().map_err(|_| wrong())?;
        if given.as_str().contains('@') || given.host().is_empty() {
            return Err(wrong());
        }
        let port = given.port_u16().unwrap_or(port);
        let host = given.host();
        let address = match (gateway, wildcard_dns::address(host)) {
            (Some(gateway), _) => resolve(gateway).await?,
            (None, Some(address)) => SocketAddr::from((address, port)),
            (None, None) => resolve(&format!("{host}:{port}")).await?,
        };
        let authority = match port {
            80 => host.to_owned(),
            _ => format!("{host}:{port}"),
        };
        Ok(Self {
            address,
            authority,
            hostname: endpoint.hostname.clone(),
        })
    }
}

async fn resolve(name: &str) -> Result<SocketAddr, TargetError> {
    let mut found = tokio::net::lookup_host(name)
        .await
        .map_err(|source| TargetError::Resolve {
            name: name.to_owned(),
            source,
        })?;
    found
        .next()
        .ok_or_else(|| TargetError::NoAddress(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn target(hostname: &str, port: u16, gateway: Option<&str>) -> Result<Target, String> {
        let endpoint = Endpoint {
            hostname: hostname.to_owned(),
            ..Endpoint::default()
        };
        let target = Target::of(&endpoint, port, gateway).await;
        target.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_name_that_carries_its_address_needs_no_resolver() {
        let target = target("f-0.default.10.1.2.3.sslip.io", 80, None)
            .await
            .unwrap();
        assert_eq!(target.address, "10.1.2.3:80".parse().unwrap());
        assert_eq!(target.authority, "f-0.default.10.1.2.3.sslip.io");
    }

    #[tokio::test]
    async fn an_endpoints_own_port_goes_before_the_one_for_all() {
        let host = "f-0.default.127.0.0.1.sslip.io";
        let own = target(&format!("{host}:8080"), 80, None).await.unwrap();
        assert_eq!(own.address, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(own.authority, format!("{host}:8080"));
        let told = target(host, 31080, None).await.unwrap();
        assert_eq!(told.address.port(), 31080);
        assert_eq!(told.authority, format!("{host}:31080"));
    }

    #[tokio::test]
    async fn a_gateway_overrides_where_to_connect_and_not_what_to_ask_for() {
        let target = target("f-0.default.example.com", 80, Some("127.0.0.1:9"))
            .await
            .unwrap();
        assert_eq!(target.address, "127.0.0.1:9".parse().unwrap());
        assert_eq!(target.authority, "f-0.default.example.com");
    }

    #[tokio::test]
    async fn what_is_no_host_is_told_by_its_name() {
        let error = target("http://f/", 80, None).await.unwrap_err();
        assert!(error.contains("http://f/"), "{error}");
    }
}
