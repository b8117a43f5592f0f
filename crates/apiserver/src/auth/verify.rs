//! Whether a certificate serves: asked of the verifiers that the other side of a connection uses.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    server::{
        VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
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

/// Tells certificates of this authority from others.
pub(super) fn clients(ca: &str) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    WebPkiClientVerifier::builder_with_provider(roots(ca)?, provider())
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

/// What a server asks of its clients in the handshake: any certificate whose key they have, or none. Whose it is is asked when
/// they speak, so that one of another authority is refused with words that clients show, and not with a broken connection.
#[derive(Debug)]
pub(super) struct AnyCertificate(pub(super) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
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
