//! Whom hypervisors run as: each a user of its own, so that a guest that breaks out of its hypervisor finds itself without
//! rights, and without rights over other hypervisors too.

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
    /// User and group of the hypervisor in a node's network `number`. Ids come again only after all others.
    pub(crate) fn of(self, number: u64) -> (u32, u32) {
        let offset = number % u64::from(self.count.max(1));
        let user = self.first.saturating_add(offset as u32);
        (user, self.group.unwrap_or(user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hypervisors_of_one_node_are_different_users_until_the_range_is_used_up() {
        let users = Users {
            first: 1000,
            count: 3,
            group: None,
        };
        let ids: Vec<_> = (0..4).map(|number| users.of(number).0).collect();
        assert_eq!(ids, [1000, 1001, 1002, 1000]);
    }

    #[test]
    fn the_group_of_kvm_is_shared() {
        let users = Users {
            first: 1000,
            count: 3,
            group: Some(108),
        };
        assert_eq!(users.of(1), (1001, 108));
    }
}
