//! What a path of the Kubernetes API names.

use api::Resource;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    /// Versions of the core group: `/api`.
    CoreVersions,
    /// All other groups: `/apis`.
    Groups,
    /// One group: `/apis/G`.
    Group(&'a str),
    /// The resources of a version of a group.
    Version { group: &'a str, version: &'a str },
    /// All objects of a resource, in one namespace or in all.
    Collection {
        resource: &'a Resource,
        namespace: Option<&'a str>,
    },
    /// One object; the namespace is empty for cluster-scoped resources.
    Object {
        resource: &'a Resource,
        namespace: &'a str,
        name: &'a str,
        part: Part,
    },
}

/// Which part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Status,
}

/// Takes a path apart; `None` is a 404.
pub(super) fn parse<'a>(path: &'a str, resources: &'a [Resource]) -> Option<Target<'a>> {
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let segments: Vec<&str> = trimmed.strip_prefix('/')?.split('/').collect();
    let (group, rest) = match segments.as_slice() {
        ["api"] => return Some(Target::CoreVersions),
        ["apis"] => return Some(Target::Groups),
        ["apis", group] => {
            return has_group(resources, group).then_some(Target::Group(group));
        }
        ["api", rest @ ..] => ("", rest),
        ["apis", group, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (version, rest) = rest.split_first()?;
    let known: Vec<&Resource> = resources
        .iter()
        .filter(|resource| resource.group == group && resource.version == *version)
        .collect();
    let find = |plural: &str, namespaced: bool| {
        let found = known.iter().find(|resource| resource.plural == plural)?;
        (found.namespaced == namespaced).then_some(*found)
    };
    let target = match *rest {
        [] if !known.is_empty() => Target::Version { group, version },
        [plural] => Target::Collection {
            resource: known.iter().find(|resource| resource.plural == plural)?,
            namespace: None,
        },
        // A cluster-scoped object wins over a namespace with nothing in it: `namespaces/default` is an object.
        [plural, name] if find(plural, false).is_some() => {
            object(find(plural, false)?, "", name, Part::Whole)?
        }
        [plural, name, "status"] if find(plural, false).is_some() => {
            object(find(plural, false)?, "", name, Part::Status)?
        }
        ["namespaces", namespace, plural] if !namespace.is_empty() => Target::Collection {
            resource: find(plural, true)?,
            namespace: Some(namespace),
        },
        ["namespaces", namespace, plural, name] if !namespace.is_empty() => {
            object(find(plural, true)?, namespace, name, Part::Whole)?
        }
        ["namespaces", namespace, plural, name, "status"] if !namespace.is_empty() => {
            object(find(plural, true)?, namespace, name, Part::Status)?
        }
        _ => return None,
    };
    Some(target)
}

fn object<'a>(
    resource: &'a Resource,
    namespace: &'a str,
    name: &'a str,
    part: Part,
) -> Option<Target<'a>> {
    (!name.is_empty()).then_some(Target::Object {
        resource,
        namespace,
        name,
        part,
    })
}

fn has_group(resources: &[Resource], group: &str) -> bool {
    !group.is_empty() && resources.iter().any(|resource| resource.group == group)
}

#[cfg(test)]
mod tests {
    use api::resource::SERVICES;

    use super::*;

    const NAMESPACES: Resource = Resource {
        group: "",
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        namespaced: false,
        ..SERVICES
    };

    /// The target in a line.
    fn read(path: &str) -> String {
        match parse(path, &[SERVICES, NAMESPACES]) {
            None => "404".into(),
            Some(Target::CoreVersions) => "core versions".into(),
            Some(Target::Groups) => "groups".into(),
            Some(Target::Group(group)) => format!("group {group}"),
            Some(Target::Version { group, version }) => format!("version {group} {version}"),
            Some(Target::Collection {
                resource,
                namespace,
            }) => {
                format!("all {} in {}", resource.plural, namespace.unwrap_or("*"))
            }
            Some(Target::Object {
                resource,
                namespace,
                name,
                part,
            }) => {
                format!("{} {namespace}/{name} {part:?}", resource.plural)
            }
        }
    }

    #[test]
    fn paths_name_what_kubernetes_says_they_name() {
        let serving = "/apis/serving.knative.dev/v1";
        let cases = [
            ("/api".into(), "core versions"),
            ("/apis".into(), "groups"),
            ("/apis/".into(), "groups"),
            (
                "/apis/serving.knative.dev".into(),
                "group serving.knative.dev",
            ),
            ("/apis/apps".into(), "404"),
            (serving.into(), "version serving.knative.dev v1"),
            ("/apis/serving.knative.dev/v2".into(), "404"),
            ("/api/v1".into(), "version  v1"),
            (format!("{serving}/services"), "all services in *"),
            (format!("{serving}/things"), "404"),
            (
                format!("{serving}/namespaces/default/services"),
                "all services in default",
            ),
            (
                format!("{serving}/namespaces/default/services/a"),
                "services default/a Whole",
            ),
            (
                format!("{serving}/namespaces/default/services/a/status"),
                "services default/a Status",
            ),
            (
                format!("{serving}/namespaces/default/services/a/scale"),
                "404",
            ),
            (
                format!("{serving}/namespaces/default/services/a/status/b"),
                "404",
            ),
            (format!("{serving}/namespaces//services"), "404"),
            (format!("{serving}/services/a"), "404"),
            ("/api/v1/namespaces".into(), "all namespaces in *"),
            (
                "/api/v1/namespaces/default".into(),
                "namespaces /default Whole",
            ),
            (
                "/api/v1/namespaces/default/status".into(),
                "namespaces /default Status",
            ),
            ("/api/v1/namespaces/default/namespaces".into(), "404"),
            ("/".into(), "404"),
            (String::new(), "404"),
            ("/metrics".into(), "404"),
        ];
        for (path, target) in cases {
            assert_eq!(read(&path), target, "{path}");
        }
    }
}
