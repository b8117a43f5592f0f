//! TLS of the ingress, where functions answer at `NAME.NAMESPACE.DOMAIN`.
//!
//! A wildcard in a certificate stands for one label, so that there is none for all functions: each namespace gets a certificate
//! of the node's authority when somebody first asks for a host in it. They are kept in memory.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rcgen::{Issuer, KeyPair};
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tracing::warn;

use super::{
    pki::{self, DAY, Error, LIFETIME, LOCAL, Pki},
    verify,
};

/// Certificates kept; beyond it all are forgotten, so that asking for made-up namespaces does not fill the memory.
const KEPT: usize = 1024;

/// A certificate that somebody else has issued, with its key: PEM files.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The certificate, and those between it and the authority's.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// TLS with this certificate, whatever host is asked for.
    ///
    /// # Errors
    /// [`Error::Certificate`] when a file cannot be read or the two do not belong together.
    pub fn server_config(&self) -> Result<ServerConfig, Error> {
        let unusable = |path: &Path, source| Error::Certificate {
            path: path.to_owned(),
            source,
        };
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unusable(&self.certificate, error.into()))?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| unusable(&self.key, error.into()))?;
        let make = || {
            ServerConfig::builder_with_provider(verify::provider())
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(chain, key)
        };
        make().map_err(|error| unusable(&self.certificate, error.into()))
    }
}

impl Pki {
    /// TLS for the hosts of functions below `domain`, with certificates of the node's authority.
    ///
    /// # Errors
    /// [`Error`] when the authority's file cannot be used.
    pub fn ingress_config(&self, domain: &str, now: SystemTime) -> Result<ServerConfig, Error> {
        let certificates = Certificates::new(self, domain, now)?;
        let builder = ServerConfig::builder_with_provider(verify::provider())
            .with_safe_default_protocol_versions()
            .map_err(|source| Error::Tls {
                path: self.folder().to_owned(),
                source,
            })?;
        Ok(builder
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificates)))
    }
}

struct Certificates {
    issuer: Issuer<'static, KeyPair>,
    domain: String,
    now: SystemTime,
    /// For those who ask for no host, or for none of ours.
    local: Arc<CertifiedKey>,
    /// By what follows the first label.
    issued: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates")
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    fn new(pki: &Pki, domain: &str, now: SystemTime) -> Result<Self, Error> {
        let (_, issuer) = pki::authority(&pki.folder().join("ca.pem"))?;
        let domain = domain.to_ascii_lowercase();
        let mut names: Vec<String> = LOCAL.iter().map(|it| (*it).to_owned()).collect();
        names.push(format!("*.{domain}"));
        let local = Arc::new(sign(&names, &issuer, now)?);
        Ok(Self {
            issuer,
            domain,
            now,
            local,
            issued: Mutex::default(),
        })
    }

    fn of(&self, host: Option<&str>) -> Arc<CertifiedKey> {
        let Some(namespace) = host.and_then(|host| namespace(host, &self.domain)) else {
            return self.local.clone();
        };
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = issued.get(namespace) {
            return known.clone();
        }
        match sign(&[format!("*.{namespace}")], &self.issuer, self.now) {
            Ok(certificate) => {
                if issued.len() >= KEPT {
                    issued.clear();
                }
                let certificate = Arc::new(certificate);
                issued.insert(namespace.to_owned(), certificate.clone());
                certificate
            }
            Err(error) => {
                warn!(%error, namespace, "no certificate");
                self.local.clone()
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.of(hello.server_name()))
    }
}

/// `NAMESPACE.DOMAIN` of `NAME.NAMESPACE.DOMAIN`.
fn namespace<'a>(host: &'a str, domain: &str) -> Option<&'a str> {
    let (_, parent) = host.split_once('.')?;
    let label = parent.strip_suffix(domain)?.strip_suffix('.')?;
    (!label.is_empty() && !label.contains('.')).then_some(parent)
}

fn sign(
    names: &[String],
    issuer: &Issuer<'_, KeyPair>,
    now: SystemTime,
) -> Result<CertifiedKey, Error> {
    let make = || -> Result<(Vec<u8>, Vec<u8>), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = pki::server_params(names)?;
        // A clock that is behind on the other side must not refuse a new certificate.
        params.not_before = (now - DAY).into();
        params.not_after = (now + LIFETIME).into();
        let certificate = params.signed_by(&key, issuer)?;
        Ok((certificate.der().to_vec(), key.serialize_der()))
    };
    let (certificate, key) = make().map_err(|source| Error::Make {
        name: "ingress",
        source,
    })?;
    let key = PrivateKeyDer::Pkcs8(key.into());
    CertifiedKey::from_der(vec![certificate.into()], key, &verify::provider()).map_err(|source| {
        Error::Tls {
            path: PathBuf::from("ca.pem"),
            source,
        }
    })
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::{ServerName, UnixTime};

    use super::*;

    #[test]
    fn only_functions_hosts_have_a_namespace() {
        for (host, expected) in [
            ("f.ns.example.com", Some("ns.example.com")),
            ("tag-f.ns.example.com", Some("ns.example.com")),
            ("ns.example.com", None),
            ("a.f.ns.example.com", None),
            ("example.com", None),
            ("f.ns.example.org", None),
            ("f.nsexample.com", None),
            ("localhost", None),
        ] {
            assert_eq!(namespace(host, "example.com"), expected, "{host}");
        }
    }

    #[test]
    fn every_namespace_has_a_certificate_that_clients_of_the_authority_trust() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let pki = pki::ensure(folder.path(), &[], now).unwrap();
        let certificates = Certificates::new(&pki, "Example.com", now).unwrap();
        let verifier = verify::Verifier::new(&pki.ca).unwrap();
        let trusted = |asked: Option<&str>, name: &str| {
            let certificate = certificates.of(asked);
            let name = ServerName::try_from(name).unwrap().to_owned();
            verifier.server(&certificate.cert[0], &name, UnixTime::now())
        };
        for host in [
            "f.default.example.com",
            "g.default.example.com",
            "f.b.example.com",
        ] {
            assert!(trusted(Some(host), host), "{host}");
        }
        assert!(trusted(None, "127.0.0.1"));
        assert!(trusted(Some("localhost"), "localhost"));
        assert!(!trusted(
            Some("f.default.example.com"),
            "f.other.example.com"
        ));
        let [one, other] =
            ["f.a.example.com", "g.a.example.com"].map(|it| certificates.of(Some(it)));
        assert!(Arc::ptr_eq(&one, &other), "one for each namespace");
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let pki = pki::ensure(folder.path(), &[], SystemTime::now()).unwrap();
        let [certificate, key, other] =
            ["a.crt", "a.key", "b.key"].map(|it| folder.path().join(it));
        std::fs::write(&certificate, &pki.server.certificate).unwrap();
        std::fs::write(&key, &pki.server.key).unwrap();
        std::fs::write(&other, &pki.client.key).unwrap();
        let config = |certificate: &Path, key: &Path| {
            CertificateFiles {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            }
            .server_config()
        };
        assert!(config(&certificate, &key).is_ok());
        for (certificate, key, named) in [
            (&*certificate, &*other, "a.crt"),
            (&certificate, &folder.path().join("none"), "none"),
            (&key, &key, "a.key"),
        ] {
            let error = config(certificate, key).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
