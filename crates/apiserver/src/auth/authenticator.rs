//! Who is at the other end of a connection: the holder of a certificate of the node's authority, or of a user's token.

use std::sync::Arc;

use http::{HeaderMap, header::AUTHORIZATION};
use rustls::{ServerConfig, server::danger::ClientCertVerifier};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{user::User, users::Users};

/// Tells users from strangers.
#[derive(Clone)]
pub struct Authenticator {
    pub(super) tls: Arc<ServerConfig>,
    pub(super) certificates: Arc<dyn ClientCertVerifier>,
    pub(super) users: Users,
}

impl Authenticator {
    pub(crate) fn tls(&self) -> Arc<ServerConfig> {
        self.tls.clone()
    }

    /// Whose these certificates are, the holder's first. The authority signs no others than the owner's and the server's.
    pub(crate) fn of_certificates(&self, shown: &[CertificateDer<'_>]) -> Option<User> {
        let (holder, others) = shown.split_first()?;
        self.certificates
            .verify_client_cert(holder, others, UnixTime::now())
            .ok()
            .map(|_| User::owner())
    }

    /// Who names himself in a request (RFC 6750 §2.1).
    pub(crate) fn of_token(&self, headers: &HeaderMap) -> Option<User> {
        let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = text.split_once(' ')?;
        let bearer = scheme.eq_ignore_ascii_case("bearer");
        bearer.then(|| self.users.find(token.trim()))?
    }
}
