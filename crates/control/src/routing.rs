//! From Routes to host names and shares.

use api::serving::{Configuration, Route};

/// How host names and URLs are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// What follows `NAME.NAMESPACE.`
    pub suffix: String,
    /// Port of the ingress; left out of URLs if it is 80.
    pub port: u16,
}

impl Domain {
    /// Host of a route, or of a tag of it.
    pub fn host(&self, tag: &str, name: &str, namespace: &str) -> String {
        format!("{}.{namespace}.{}", label(tag, name), self.suffix)
    }

    /// URL of a route, or of a tag of it.
    pub fn url(&self, tag: &str, name: &str, namespace: &str) -> String {
        let host = self.host(tag, name, namespace);
        match self.port {
            80 => format!("http://{host}"),
            port => format!("http://{host}:{port}"),
        }
    }
}

fn label(tag: &str, name: &str) -> String {
    if tag.is_empty() {
        name.to_owned()
    } else {
        format!("{tag}-{name}")
    }
}

/// One host and the revisions (by name, in the route's namespace) that share its traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTargets {
    /// Host name, no port.
    pub host: String,
    /// Revision and share.
    pub targets: Vec<(String, u32)>,
}

/// The hosts of one route. Where the latest ready revision is asked for and none was ever ready, the latest created one
/// stands in: its requests wait for it, and learn why it does not come.
pub fn hosts(
    route: &Route,
    configuration: Option<&Configuration>,
    domain: &Domain,
) -> Vec<HostTargets> {
    let (name, namespace) = (&route.metadata.name, &route.metadata.namespace);
    let latest = configuration.map_or("", |configuration| {
        let status = &configuration.status;
        match status.latest_ready_revision_name.as_str() {
            "" => status.latest_created_revision_name.as_str(),
            ready => ready,
        }
    });
    let resolved: Vec<(&str, &str, u32)> = route
        .spec
        .traffic
        .iter()
        .map(|target| {
            let revision = if target.revision_name.is_empty() {
                latest
            } else {
                &target.revision_name
            };
            (
                target.tag.as_str(),
                revision,
                target.percent.unwrap_or(0).clamp(0, 100) as u32,
            )
        })
        .filter(|(_, revision, _)| !revision.is_empty())
        .collect();
    let mut hosts = Vec::new();
    let mut add = |tag: &str, targets: &[(String, u32)]| {
        if targets.is_empty() {
            return;
        }
        let label = label(tag, name);
        for host in [
            domain.host(tag, name, namespace),
            format!("{label}.{namespace}"),
            format!("{label}.{namespace}.svc"),
            format!("{label}.{namespace}.svc.cluster.local"),
        ] {
            hosts.push(HostTargets {
                host,
                targets: targets.to_vec(),
            });
        }
    };
    let shares: Vec<(String, u32)> = resolved
        .iter()
        .filter(|(.., share)| *share > 0)
        .map(|(_, revision, share)| ((*revision).to_owned(), *share))
        .collect();
    add("", &shares);
    for (tag, revision, _) in resolved.iter().filter(|(tag, ..)| !tag.is_empty()) {
        add(tag, &[((*revision).to_owned(), 100)]);
    }
    hosts
}
