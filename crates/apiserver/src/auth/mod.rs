//! Who may speak to the API: the holders of certificates that this node's own authority signed, and users with tokens.

mod authenticator;
mod identity;
mod ingress;
mod kubeconfig;
mod pki;
mod user;
mod users;
mod verify;

pub use self::{
    authenticator::Authenticator,
    identity::Identity,
    ingress::CertificateFiles,
    kubeconfig::{kubeconfig, user_kubeconfig},
    pki::{Error, Pki, ensure},
    user::{Role, User},
    users::{UserError, Users},
};
