//! The hosts of all routes, and what of them has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gateway::HostRoute;

/// The hosts of each family's route. Two may claim the same: the tag `a` of `b`, and `a-b`.
#[derive(Debug)]
pub(crate) struct Hosts<K> {
    of: BTreeMap<K, Vec<HostRoute>>,
    claims: HashMap<String, BTreeSet<K>>,
    touched: BTreeSet<String>,
}

/// What the gateway is to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) routes: Vec<HostRoute>,
    pub(crate) gone: Vec<String>,
}

impl<K> Default for Hosts<K> {
    fn default() -> Self {
        Self {
            of: BTreeMap::new(),
            claims: HashMap::new(),
            touched: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone> Hosts<K> {
    pub(crate) fn families(&self) -> impl Iterator<Item = &K> {
        self.of.keys()
    }

    /// Notes the hosts of a family, in place of those that it had.
    pub(crate) fn set(&mut self, family: &K, hosts: Vec<HostRoute>) {
        let before = self.of.get(family).map_or(&[][..], Vec::as_slice);
        if before == hosts.as_slice() {
            return;
        }
        for route in before {
            if let Some(claims) = self.claims.get_mut(&route.host) {
                claims.remove(family);
                if claims.is_empty() {
                    self.claims.remove(&route.host);
                }
            }
            self.touched.insert(route.host.clone());
        }
        for route in &hosts {
            let claims = self.claims.entry(route.host.clone()).or_default();
            claims.insert(family.clone());
            self.touched.insert(route.host.clone());
        }
        if hosts.is_empty() {
            self.of.remove(family);
        } else {
            self.of.insert(family.clone(), hosts);
        }
    }

    /// What has changed since this was last asked for; nothing mostly.
    pub(crate) fn take_changes(&mut self) -> Option<Changes> {
        if self.touched.is_empty() {
            return None;
        }
        let mut changes = Changes::default();
        for host in std::mem::take(&mut self.touched) {
            match self.route(&host) {
                Some(route) => changes.routes.push(route.clone()),
                None => changes.gone.push(host),
            }
        }
        Some(changes)
    }

    /// Of several that claim a host the last has it.
    fn route(&self, host: &str) -> Option<&HostRoute> {
        let family = self.claims.get(host)?.last()?;
        self.of.get(family)?.iter().find(|route| route.host == host)
    }
}

#[cfg(test)]
mod tests {
    use gateway::RevisionKey;

    use super::*;

    fn route(host: &str, revision: &str) -> HostRoute {
        HostRoute {
            host: host.to_owned(),
            targets: vec![(RevisionKey::new("ns", revision), 100)],
        }
    }

    #[test]
    fn only_what_has_changed_is_told() {
        let mut hosts = Hosts::default();
        assert_eq!(hosts.take_changes(), None);
        hosts.set(&"a", vec![route("a", "1"), route("x-a", "1")]);
        hosts.set(&"b", vec![route("b", "1")]);
        assert_eq!(hosts.take_changes().unwrap().routes.len(), 3);
        hosts.set(&"b", vec![route("b", "1")]);
        assert_eq!(hosts.take_changes(), None);
        hosts.set(&"a", vec![route("a", "2")]);
        let changes = Changes {
            routes: vec![route("a", "2")],
            gone: vec!["x-a".to_owned()],
        };
        assert_eq!(hosts.take_changes(), Some(changes));
        hosts.set(&"a", Vec::new());
        assert_eq!(hosts.take_changes().unwrap().gone, ["a"]);
        assert_eq!(hosts.families().collect::<Vec<_>>(), [&"b"]);
    }

    #[test]
    fn a_host_that_two_claim_stays_until_both_have_let_go() {
        let mut hosts = Hosts::default();
        hosts.set(&"a-b", vec![route("a-b", "own")]);
        hosts.set(&"b", vec![route("a-b", "tag")]);
        assert_eq!(hosts.take_changes().unwrap().routes, [route("a-b", "tag")]);
        hosts.set(&"b", Vec::new());
        assert_eq!(hosts.take_changes().unwrap().routes, [route("a-b", "own")]);
        hosts.set(&"a-b", Vec::new());
        assert_eq!(hosts.take_changes().unwrap().gone, ["a-b"]);
    }
}
