//! Who asks, and what he may do.

use http::Extensions;
use serde::{Deserialize, Serialize};

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Look at everything but Secrets, as Kubernetes' role `view`.
    Viewer,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// What he may do.
    pub role: Role,
}

impl User {
    /// The holder of the node's client certificate.
    pub fn owner() -> Self {
        Self {
            name: api::admission::USER.to_owned(),
            role: Role::Admin,
        }
    }

    /// Who makes a request; without a listener before it, its owner.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_else(Self::owner)
    }

    /// The groups of Kubernetes that he counts as a member of.
    pub(crate) fn groups(&self) -> [&'static str; 2] {
        let group = match self.role {
            Role::Admin => "system:masters",
            Role::Viewer => "vhive:viewers",
        };
        [group, "system:authenticated"]
    }
}
