//! Who may speak to the API: a certificate authority of this node's own, and the certificates it signs.

mod identity;
mod kubeconfig;
mod pki;
mod verify;

pub use self::{
    identity::Identity,
    kubeconfig::kubeconfig,
    pki::{Error, Pki, ensure},
};
