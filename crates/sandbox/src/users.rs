//! Whom hypervisors run as: each a user of its own, so that a guest that breaks out of its hypervisor finds itself without
//! rights, and without rights over other hypervisors too.

use sha2::{Digest as _, Sha256};

/// A range of user ids that belong to nobody else on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Users {
    /// The lowest id.
    pub first: u32,
    /// How many there are; at least 1.
    pub count: u32,
    /// The group that may use `/dev/kvm`, where hypervisors need it. Without it, a hypervisor's group has its user's id.
    pub group: Option<u32>,
}

impl Users {
    /// User and group of the hypervisor in a node's network `number`. Ids come again only after all others; each node begins
    /// somewhere else, since several may share a machine.
    pub(crate) fn of(self, node_id: &str, number: u64) -> (u32, u32) {
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(node_id));
        let begin = u64::from(u32::from_be_bytes([a, b, c, d]));
        let offset = begin.wrapping_add(number) % u64::from(self.count.max(1));
        let user = self.first.saturating_add(offset as u32);
        (user, self.group.unwrap_or(user))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const USERS: Users = Users {
        first: 1000,
        count: 3,
        group: None,
    };

    #[test]
    fn hypervisors_of_one_node_are_different_users_until_the_range_is_used_up() {
        let ids: Vec<_> = (0..4).map(|number| USERS.of("node", number).0).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 3);
        assert_eq!(ids[0], ids[3]);
        assert!(ids.iter().all(|id| (1000..1003).contains(id)));
    }

    #[test]
    fn nodes_begin_at_different_users() {
        let wide = Users {
            count: 1 << 20,
            ..USERS
        };
        assert_ne!(wide.of("one", 0), wide.of("two", 0));
    }

    #[test]
    fn the_group_of_kvm_is_shared() {
        let users = Users {
            group: Some(108),
            ..USERS
        };
        assert_eq!(users.of("node", 1).1, 108);
    }
}
