//! The kinds that the API serves.

/// One kind, under the names that clients use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Resource {
    /// API group; empty is the core group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Kind, as in objects.
    pub kind: &'static str,
    /// Plural, as in paths.
    pub plural: &'static str,
    /// Singular.
    pub singular: &'static str,
    /// What `kubectl get` also takes.
    pub short_names: &'static [&'static str],
    /// Whether objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// `plural.group`, as error messages name it; just the plural in the core group.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `group/version`, as objects have it.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

const SERVING: &str = "serving.knative.dev";

/// `services.serving.knative.dev`.
pub const SERVICES: Resource = Resource {
    group: SERVING,
    version: "v1",
    kind: "Service",
    plural: "services",
    singular: "service",
    short_names: &["kservice", "ksvc"],
    namespaced: true,
};

/// `configurations.serving.knative.dev`.
pub const CONFIGURATIONS: Resource = Resource {
    group: SERVING,
    version: "v1",
    kind: "Configuration",
    plural: "configurations",
    singular: "configuration",
    short_names: &["config", "cfg"],
    namespaced: true,
};

/// `revisions.serving.knative.dev`.
pub const REVISIONS: Resource = Resource {
    group: SERVING,
    version: "v1",
    kind: "Revision",
    plural: "revisions",
    singular: "revision",
    short_names: &["rev"],
    namespaced: true,
};

/// `routes.serving.knative.dev`.
pub const ROUTES: Resource = Resource {
    group: SERVING,
    version: "v1",
    kind: "Route",
    plural: "routes",
    singular: "route",
    short_names: &["rt"],
    namespaced: true,
};

/// `namespaces`.
pub const NAMESPACES: Resource = Resource {
    group: "",
    version: "v1",
    kind: "Namespace",
    plural: "namespaces",
    singular: "namespace",
    short_names: &["ns"],
    namespaced: false,
};

/// `configmaps`.
pub const CONFIG_MAPS: Resource = Resource {
    group: "",
    version: "v1",
    kind: "ConfigMap",
    plural: "configmaps",
    singular: "configmap",
    short_names: &["cm"],
    namespaced: true,
};

/// `secrets`.
pub const SECRETS: Resource = Resource {
    group: "",
    version: "v1",
    kind: "Secret",
    plural: "secrets",
    singular: "secret",
    short_names: &[],
    namespaced: true,
};

/// All kinds.
pub fn kinds() -> &'static [Resource] {
    &[
        SERVICES,
        CONFIGURATIONS,
        REVISIONS,
        ROUTES,
        NAMESPACES,
        CONFIG_MAPS,
        SECRETS,
    ]
}
