//! From a host name to a revision: one immutable table, replaced as a whole.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::key::RevisionKey;
use crate::revision::Revision;

/// The traffic of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRoute {
    /// Host name without port; compared without regard to case.
    pub host: String,
    /// Revisions and their share; shares need not sum to 100, those of 0 get nothing.
    pub targets: Vec<(RevisionKey, u32)>,
}

/// All hosts. Lookup takes constant time in the number of hosts and of targets. A copy shares what it does not change.
#[derive(Default, Clone)]
pub(crate) struct Table(HashMap<Arc<str>, Arc<Split>>);

impl Table {
    pub(crate) fn new(
        routes: &[HostRoute],
        revision: impl FnMut(&RevisionKey) -> Arc<Revision>,
    ) -> Self {
        let mut table = Self::default();
        table.put(routes, revision);
        table
    }

    /// Adds hosts, or replaces what they were.
    pub(crate) fn put(
        &mut self,
        routes: &[HostRoute],
        mut revision: impl FnMut(&RevisionKey) -> Arc<Revision>,
    ) {
        let entry = |route: &HostRoute| {
            let weights: Vec<u32> = route.targets.iter().map(|(_, weight)| *weight).collect();
            let targets = route.targets.iter().map(|(key, _)| revision(key)).collect();
            let host = Arc::from(normalise(&route.host));
            (host, Arc::new(Split::new(targets, &weights)))
        };
        self.0.extend(routes.iter().map(entry));
    }

    /// Takes a host out.
    pub(crate) fn remove(&mut self, host: &str) {
        self.0.remove(&*normalise(host));
    }

    /// The revision that gets this request; `None` if the host is not known or no target has a share.
    pub(crate) fn pick(&self, authority: &str) -> Option<Arc<Revision>> {
        self.0.get(&*normalise(authority))?.pick().cloned()
    }
}

/// `Example.com:8080` → `example.com`. Allocates only when there are capitals.
pub(crate) fn normalise(authority: &str) -> Cow<'_, str> {
    let host = match authority.rsplit_once(':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// Targets and the alias table that picks one in constant time.
struct Split {
    targets: Vec<Arc<Revision>>,
    alias: Alias,
}

impl Split {
    fn new(targets: Vec<Arc<Revision>>, weights: &[u32]) -> Self {
        Self {
            targets,
            alias: Alias::new(weights),
        }
    }

    fn pick(&self) -> Option<&Arc<Revision>> {
        self.targets.get(self.alias.pick()?)
    }
}

/// Vose's alias method, in whole numbers so that shares are exact: column i keeps its own index for
/// `keep` out of `total` draws and gives the rest to `other`.
struct Alias {
    total: u64,
    columns: Vec<Column>,
}

struct Column {
    keep: u64,
    other: usize,
}

impl Alias {
    fn new(weights: &[u32]) -> Self {
        let count = weights.len() as u64;
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut columns: Vec<Column> = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| Column {
                keep: u64::from(*weight) * count,
                other: index,
            })
            .collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..columns.len()).partition(|index| columns[*index].keep < total);
        while let (Some(low), Some(&high)) = (small.pop(), large.last()) {
            columns[low].other = high;
            columns[high].keep -= total - columns[low].keep;
            if columns[high].keep < total {
                large.pop();
                small.push(high);
            }
        }
        Self { total, columns }
    }

    fn pick(&self) -> Option<usize> {
        match (&*self.columns, self.total) {
            (_, 0) => None,
            ([_], _) => Some(0),
            (columns, total) => {
                let index = fastrand::usize(..columns.len());
                let column = &columns[index];
                Some(if fastrand::u64(..total) < column.keep {
                    index
                } else {
                    column.other
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_loses_its_port_its_last_dot_and_its_capitals() {
        for (authority, host) in [
            ("a.example", "a.example"),
            ("A.Example:8080", "a.example"),
            ("a.example.:80", "a.example"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("127.0.0.1:8080", "127.0.0.1"),
            ("a.example:", "a.example"),
            ("", ""),
        ] {
            assert_eq!(normalise(authority), host, "{authority}");
        }
    }

    /// What each index gets in all, counted exactly from the columns.
    fn shares(weights: &[u32]) -> Vec<u64> {
        let alias = Alias::new(weights);
        let mut shares = vec![0; weights.len()];
        for (index, column) in alias.columns.iter().enumerate() {
            let keep = column.keep.min(alias.total);
            shares[index] += keep;
            shares[column.other] += alias.total - keep;
        }
        shares
    }

    proptest::proptest! {
        #[test]
        fn every_target_gets_exactly_its_share(weights in proptest::collection::vec(0u32..1000, 1..20)) {
            proptest::prop_assume!(weights.iter().any(|weight| *weight > 0));
            let expected: Vec<u64> =
                weights.iter().map(|weight| u64::from(*weight) * weights.len() as u64).collect();
            proptest::prop_assert_eq!(shares(&weights), expected);
        }
    }

    #[test]
    fn no_share_at_all_picks_nothing() {
        assert_eq!(Alias::new(&[0, 0]).pick(), None);
        assert_eq!(Alias::new(&[]).pick(), None);
    }
}
