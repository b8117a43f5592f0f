//! Whether a certificate serves: asked of the verifiers that the other side of a connection uses.

use std::sync::Arc;

use rustls::{
    Error, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::CryptoProvider,
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

/// Trusts one authority.
pub(super) struct Verifier {
    server: Arc<WebPkiServerVerifier>,
    client: Arc<dyn ClientCertVerifier>,
}

impl Verifier {
    /// `ca` is the authority's certificate, as PEM.
    pub(super) fn new(ca: &str) -> Result<Self, Error> {
        let roots = roots(ca)?;
        let refused = |error: VerifierBuilderError| Error::General(error.to_string());
        Ok(Self {
            server: WebPkiServerVerifier::builder_with_provider(roots.clone(), provider())
                .build()
                .map_err(refused)?,
            client: WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(refused)?,
        })
    }

    pub(super) fn server(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        at: UnixTime,
    ) -> bool {
        self.server
            .verify_server_cert(certificate, &[], name, &[], at)
            .is_ok()
    }

    pub(super) fn client(&self, certificate: &CertificateDer<'_>, at: UnixTime) -> bool {
        self.client.verify_client_cert(certificate, &[], at).is_ok()
    }
}

/// What a server asks of its clients: a certificate of this authority, or none.
pub(super) fn clients(ca: &str) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    WebPkiClientVerifier::builder_with_provider(roots(ca)?, provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

/// Whether a key is that of a certificate.
pub(super) fn belongs(key: &PrivateKeyDer<'static>, certificate: &CertificateDer<'static>) -> bool {
    CertifiedKey::from_der(vec![certificate.clone()], key.clone_key(), &provider())
        .is_ok_and(|pair| pair.keys_match().is_ok())
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(ca: &str) -> Result<Arc<RootCertStore>, Error> {
    let certificate = CertificateDer::from_pem_slice(ca.as_bytes())
        .map_err(|error| Error::General(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    Ok(Arc::new(roots))
}
