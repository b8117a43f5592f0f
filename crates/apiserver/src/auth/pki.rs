//! The node's certificates: an authority, a server and a client, made at first start and renewed when they must be.
//!
//! Whether a certificate still serves is not written down anywhere: it is verified, for now and for 90 days from now.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tracing::info;

use super::{
    authenticator::Authenticator,
    identity::{self, Identity},
    users::Users,
    verify::{self, AnyCertificate, Verifier},
};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a server or client certificate serves.
pub(super) const LIFETIME: Duration = DAY.saturating_mul(2 * 365);
/// What must be left of it at a start.
const RENEW_BEFORE: Duration = DAY.saturating_mul(90);
/// Names that the server always answers to.
pub(super) const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot read or write {path}; check that this user may, and that the disk is not full", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The authority's file is damaged. It is not replaced, because that would lock every client out.
    #[error(
        "{path} holds no certificate with its key; put it back from a backup, or give every client a new kubeconfig \
         after: mv {path} {path}.bad",
        path = .path.display()
    )]
    Damaged {
        /// The authority's file.
        path: PathBuf,
    },
    /// A name cannot stand in a certificate.
    #[error(
        "{host:?} is neither a host name nor an IP address; correct the extra hosts of the API"
    )]
    Host {
        /// The name.
        host: String,
    },
    /// A certificate could not be made.
    #[error("cannot make the certificate of the {name}")]
    Make {
        /// Whose.
        name: &'static str,
        /// What the library said.
        source: rcgen::Error,
    },
    /// A certificate or key that was named cannot be used.
    #[error("cannot use {path} for TLS; name a PEM file with the certificate and its chain, and one with its key", path = .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The TLS library does not take the certificates.
    #[error("cannot set up TLS with the certificates in {path}; to have new ones: mv {path} {path}.bad", path = .path.display())]
    Tls {
        /// The folder of the certificates.
        path: PathBuf,
        /// What the library said.
        source: rustls::Error,
    },
}

/// The certificates of a node.
#[derive(Clone)]
pub struct Pki {
    /// The authority's certificate, as PEM.
    pub ca: String,
    /// What the server shows.
    pub server: Identity,
    /// What a client shows.
    pub client: Identity,
    folder: PathBuf,
}

/// Reads the certificates in `folder`, and makes what is missing, expires within 90 days, or lacks one of `hosts`
/// (names or addresses beside the loopback ones). The files are readable to their owner alone.
///
/// # Errors
/// [`Error`], each with what to do next.
pub fn ensure(folder: &Path, hosts: &[String], now: SystemTime) -> Result<Pki, Error> {
    let io = |source| Error::Io {
        path: folder.into(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(io)?;
    // Two first starts at once must not make an authority each. Released with the file.
    let lock = File::create(folder.join("lock")).map_err(io)?;
    lock.lock().map_err(io)?;
    let hosts: Vec<String> = LOCAL
        .iter()
        .map(|host| (*host).to_owned())
        .chain(hosts.iter().cloned())
        .collect();
    let names = hosts
        .iter()
        .map(|host| {
            ServerName::try_from(host.clone()).map_err(|_| Error::Host { host: host.clone() })
        })
        .collect::<Result<Vec<_>, _>>()?;

    let (authority, signer) = authority(&folder.join("ca.pem"))?;
    let verifier = Verifier::new(&authority.certificate).map_err(|source| Error::Tls {
        path: folder.into(),
        source,
    })?;
    let all_names = |certificate: &CertificateDer<'_>, at| {
        names
            .iter()
            .all(|name| verifier.server(certificate, name, at))
    };
    let path = folder.join("server.pem");
    let server = match usable(&path, all_names, now)? {
        Some(identity) => identity,
        None => issue(&path, "server", server_params(&hosts), &signer, now)?,
    };
    let any_name = |certificate: &CertificateDer<'_>, at| verifier.client(certificate, at);
    let path = folder.join("client.pem");
    let client = match usable(&path, any_name, now)? {
        Some(identity) => identity,
        None => issue(&path, "client", Ok(client_params()), &signer, now)?,
    };
    Ok(Pki {
        ca: authority.certificate,
        server,
        client,
        folder: folder.into(),
    })
}

impl Pki {
    /// Where they are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// TLS for [`crate::serve()`], HTTP/2 and HTTP/1.1, and whom it lets in. A client without a certificate gets through the
    /// handshake, because health checks have none and users have tokens.
    ///
    /// # Errors
    /// [`Error::Tls`] when the certificates do not fit together.
    pub fn authenticator(&self) -> Result<Authenticator, Error> {
        let make = || -> Result<Authenticator, rustls::Error> {
            let pem =
                |error: rustls_pki_types::pem::Error| rustls::Error::General(error.to_string());
            let certificate = self.server.parse_certificate().map_err(pem)?;
            let key = self.server.parse_key().map_err(pem)?;
            let certificates = verify::clients(&self.ca)?;
            let mut config = ServerConfig::builder_with_provider(verify::provider())
                .with_safe_default_protocol_versions()?
                .with_client_cert_verifier(Arc::new(AnyCertificate(certificates.clone())))
                .with_single_cert(vec![certificate], key)?;
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            Ok(Authenticator {
                tls: Arc::new(config),
                certificates,
                users: Users::under(&self.folder),
            })
        };
        make().map_err(|source| Error::Tls {
            path: self.folder.clone(),
            source,
        })
    }
}

/// The authority: made once, never replaced.
pub(super) fn authority(path: &Path) -> Result<(Identity, Issuer<'static, KeyPair>), Error> {
    let identity = if let Some(text) = read(path)? {
        Identity::parse(&text).ok_or_else(|| Error::Damaged { path: path.into() })?
    } else {
        let identity = new_authority().map_err(|source| Error::Make {
            name: "authority",
            source,
        })?;
        write(path, &identity)?;
        info!(path = %path.display(), "made a certificate authority");
        identity
    };
    let key = KeyPair::from_pem(&identity.key).map_err(|_| Error::Damaged { path: path.into() })?;
    Ok((identity, Issuer::new(ca_params(), key)))
}

fn new_authority() -> Result<Identity, rcgen::Error> {
    let key = KeyPair::generate()?;
    Ok(Identity {
        certificate: ca_params().self_signed(&key)?.pem(),
        key: key.serialize_pem(),
    })
}

/// Reads a certificate, if it is there and serves for long enough.
fn usable(
    path: &Path,
    serves: impl Fn(&CertificateDer<'_>, UnixTime) -> bool,
    now: SystemTime,
) -> Result<Option<Identity>, Error> {
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let times = [now, now + RENEW_BEFORE].map(UnixTime::since_unix_epoch);
    let identity = read(path)?.as_deref().and_then(Identity::parse);
    Ok(identity.filter(
        |identity| match (identity.parse_certificate(), identity.parse_key()) {
            (Ok(certificate), Ok(key)) => {
                verify::belongs(&key, &certificate)
                    && times.into_iter().all(|at| serves(&certificate, at))
            }
            _ => false,
        },
    ))
}

/// Makes a certificate.
fn issue(
    path: &Path,
    name: &'static str,
    params: Result<CertificateParams, rcgen::Error>,
    signer: &Issuer<'_, KeyPair>,
    now: SystemTime,
) -> Result<Identity, Error> {
    let make = || -> Result<Identity, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = params?;
        // A clock that is behind on the other side must not refuse a new certificate.
        params.not_before = (now - DAY).into();
        params.not_after = (now + LIFETIME).into();
        Ok(Identity {
            certificate: params.signed_by(&key, signer)?.pem(),
            key: key.serialize_pem(),
        })
    };
    let identity = make().map_err(|source| Error::Make { name, source })?;
    write(path, &identity)?;
    info!(path = %path.display(), name, "made a certificate");
    Ok(identity)
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    identity::read(path).map_err(|source| Error::Io {
        path: path.into(),
        source,
    })
}

fn write(path: &Path, identity: &Identity) -> Result<(), Error> {
    identity.write(path).map_err(|source| Error::Io {
        path: path.into(),
        source,
    })
}

/// What signs: its lifetime does not depend on the clock of the first start, which may be wrong.
fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("vhive-ca", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params
}

pub(super) fn server_params(hosts: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = named("vhive", None);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Kubernetes takes the name of a user from the common name and the groups from the organisations.
fn client_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("vhive-admin", Some("system:masters"));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

fn named(name: &str, organisation: Option<&str>) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    if let Some(organisation) = organisation {
        names.push(DnType::OrganizationName, organisation);
    }
    names
}
