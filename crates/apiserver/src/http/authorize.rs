//! What a request is about, and whether its user may make it: read off method and path alone, before anything looks at it
//! (`k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`).

use api::Status;
use axum::extract::Query;
use http::{Method, Uri};

use super::error::Failure;
use crate::auth::{Role, User};

const LOOK: [&str; 3] = ["get", "list", "watch"];
/// Groups whose objects tell users of themselves, with the plurals of those.
pub(super) const REVIEWS: [(&str, &str); 3] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
];

/// What a request is about. Texts that it says nothing of are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// `get`, `list`, `watch`, `create`, …; a method in lower case where there is no resource.
    pub(crate) verb: String,
    pub(crate) group: String,
    /// Empty for paths that are not about resources.
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) path: String,
}

impl Attributes {
    pub(crate) fn of(method: &Method, uri: &Uri) -> Self {
        let path = uri.path();
        let segments: Vec<&str> = path
            .strip_suffix('/')
            .unwrap_or(path)
            .split('/')
            .skip(1)
            .collect();
        let (group, rest) = match segments.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => ("", &[][..]),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, "status" | "finalize"] | ["namespaces", namespace] => {
                (*namespace, rest)
            }
            ["namespaces", namespace, rest @ ..] => (*namespace, rest),
            rest => ("", rest),
        };
        let part = |index: usize| rest.get(index).copied().unwrap_or_default().to_owned();
        let (resource, name) = (part(0), part(1));
        let verb = match *method {
            _ if resource.is_empty() => method.as_str().to_ascii_lowercase(),
            Method::GET | Method::HEAD if !name.is_empty() => "get".to_owned(),
            Method::GET | Method::HEAD if watches(uri) => "watch".to_owned(),
            Method::GET | Method::HEAD => "list".to_owned(),
            Method::POST => "create".to_owned(),
            Method::PUT => "update".to_owned(),
            Method::PATCH => "patch".to_owned(),
            Method::DELETE if name.is_empty() => "deletecollection".to_owned(),
            Method::DELETE => "delete".to_owned(),
            _ => method.as_str().to_ascii_lowercase(),
        };
        Self {
            verb,
            group: group.to_owned(),
            resource,
            subresource: part(2),
            namespace: namespace.to_owned(),
            name,
            path: path.to_owned(),
        }
    }

    /// Whether the answer has no end of its own.
    pub(crate) fn is_long_running(&self) -> bool {
        self.verb == "watch" || self.subresource == "log"
    }
}

/// `watch`, read as [`super::query`] reads it.
fn watches(uri: &Uri) -> bool {
    let Ok(Query(parameters)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return false;
    };
    let watch = parameters.iter().find(|(name, _)| name == "watch");
    watch.is_some_and(|(_, value)| !value.eq_ignore_ascii_case("false") && value != "0")
}

/// Whether a user may do this.
pub(crate) fn allows(user: &User, what: &Attributes) -> bool {
    if user.role == Role::Admin {
        return true;
    }
    let verb = what.verb.as_str();
    if what.resource.is_empty() {
        return matches!(verb, "get" | "head");
    }
    let (group, resource) = (what.group.as_str(), what.resource.as_str());
    if REVIEWS.contains(&(group, resource)) {
        return verb == "create";
    }
    LOOK.contains(&verb)
        && (group, resource) != ("", "secrets")
        // Asked for all of them, `*` has Secrets in it.
        && group != "*"
        && resource != "*"
}

/// Refuses what a user may not do (`k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go`).
pub(crate) fn check(user: &User, what: &Attributes) -> Result<(), Failure> {
    if allows(user, what) {
        return Ok(());
    }
    let name = &user.name;
    if what.resource.is_empty() {
        let message = format!(
            "forbidden: User {name:?} cannot {} path {:?}",
            what.verb, what.path
        );
        return Err(Status::failure(403, "Forbidden", message).into());
    }
    let qualified = match what.group.as_str() {
        "" => what.resource.clone(),
        group => format!("{}.{group}", what.resource),
    };
    let object = match what.name.as_str() {
        "" => qualified,
        name => format!("{qualified} {name:?}"),
    };
    let part = match what.subresource.as_str() {
        "" => what.resource.clone(),
        subresource => format!("{}/{subresource}", what.resource),
    };
    let place = match what.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let message = format!(
        "{object} is forbidden: User {name:?} cannot {} resource {part:?} in API group {:?} {place}",
        what.verb, what.group
    );
    let mut status = Status::failure(403, "Forbidden", message);
    status.details = Some(Box::new(api::status::StatusDetails {
        name: what.name.clone(),
        group: what.group.clone(),
        kind: what.resource.clone(),
        ..api::status::StatusDetails::default()
    }));
    Err(status.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, path: &str) -> Attributes {
        Attributes::of(&method.parse().unwrap(), &path.parse().unwrap())
    }

    #[test]
    fn requests_are_about_what_kubernetes_says_they_are_about() {
        let serving = "/apis/serving.knative.dev/v1";
        // verb group resource subresource namespace name
        let cases = [
            ("GET", "/api/v1/secrets".into(), "list  secrets   "),
            ("GET", "/api/v1/secrets/".into(), "list  secrets   "),
            ("GET", "/api/v1/secrets?watch=1".into(), "watch  secrets   "),
            (
                "GET",
                "/api/v1/secrets?watch=false".into(),
                "list  secrets   ",
            ),
            (
                "HEAD",
                "/api/v1/namespaces/a/secrets/b".into(),
                "get  secrets  a b",
            ),
            ("GET", "/api/v1/namespaces".into(), "list  namespaces   "),
            ("GET", "/api/v1/namespaces/a".into(), "get  namespaces  a a"),
            (
                "PUT",
                "/api/v1/namespaces/a/status".into(),
                "update  namespaces status a a",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/a/configmaps".into(),
                "deletecollection  configmaps  a ",
            ),
            (
                "GET",
                "/api/v1/namespaces/a/pods/b/log".into(),
                "get  pods log a b",
            ),
            (
                "PATCH",
                format!("{serving}/namespaces/a/services/b/status"),
                "patch serving.knative.dev services status a b",
            ),
            (
                "POST",
                format!("{serving}/namespaces/a/services"),
                "create serving.knative.dev services  a ",
            ),
            ("GET", serving.into(), "get serving.knative.dev    "),
            ("GET", "/api/v1".into(), "get     "),
            ("POST", "/version".into(), "post     "),
            ("OPTIONS", "/api/v1/secrets".into(), "options  secrets   "),
        ];
        for (method, path, expected) in cases {
            let it = of(method, &path);
            let read = [
                it.verb,
                it.group,
                it.resource,
                it.subresource,
                it.namespace,
                it.name,
            ]
            .join(" ");
            assert_eq!(read, expected, "{method} {path}");
        }
    }

    #[test]
    fn a_viewer_looks_at_everything_but_secrets() {
        let viewer = User {
            name: "ada".into(),
            role: Role::Viewer,
        };
        let services = "/apis/serving.knative.dev/v1/namespaces/default/services";
        let cases = [
            ("GET", services.into(), true),
            ("GET", format!("{services}/a"), true),
            ("GET", format!("{services}?watch=true"), true),
            ("GET", "/api/v1/namespaces/default/pods/a/log".into(), true),
            ("GET", "/apis/vhive.dev/v1/snapshots".into(), true),
            ("GET", "/version".into(), true),
            ("GET", "/metrics".into(), true),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".into(),
                true,
            ),
            ("POST", services.into(), false),
            ("PUT", format!("{services}/a"), false),
            ("PATCH", format!("{services}/a/status"), false),
            ("DELETE", format!("{services}/a"), false),
            ("DELETE", services.into(), false),
            ("GET", "/api/v1/secrets".into(), false),
            ("GET", "/api/v1/secrets/".into(), false),
            ("GET", "/api/v1/secrets?watch=true".into(), false),
            ("HEAD", "/api/v1/namespaces/default/secrets/a".into(), false),
            (
                "GET",
                "/api/v1/namespaces/default/secrets/a/status".into(),
                false,
            ),
            ("POST", "/nothing".into(), false),
            ("BREW", services.into(), false),
        ];
        for (method, path, allowed) in cases {
            assert_eq!(
                allows(&viewer, &of(method, &path)),
                allowed,
                "{method} {path}"
            );
            assert!(allows(&User::owner(), &of(method, &path)));
        }
    }

    #[test]
    fn refusals_have_the_words_of_kubernetes() {
        let viewer = User {
            name: "y".into(),
            role: Role::Viewer,
        };
        let services = "/apis/serving.knative.dev/v1/namespaces/default/services";
        let cases = [
            (
                "PUT",
                format!("{services}/x"),
                "services.serving.knative.dev \"x\" is forbidden: User \"y\" cannot update resource \"services\" in API group \
                 \"serving.knative.dev\" in the namespace \"default\"",
            ),
            (
                "POST",
                services.into(),
                "services.serving.knative.dev is forbidden: User \"y\" cannot create resource \"services\" in API group \
                 \"serving.knative.dev\" in the namespace \"default\"",
            ),
            (
                "GET",
                "/api/v1/secrets".into(),
                "secrets is forbidden: User \"y\" cannot list resource \"secrets\" in API group \"\" at the cluster scope",
            ),
            (
                "PATCH",
                format!("{services}/x/status"),
                "services.serving.knative.dev \"x\" is forbidden: User \"y\" cannot patch resource \"services/status\" in API \
                 group \"serving.knative.dev\" in the namespace \"default\"",
            ),
            (
                "POST",
                "/healthz".into(),
                "forbidden: User \"y\" cannot post path \"/healthz\"",
            ),
        ];
        for (method, path, message) in cases {
            let status = check(&viewer, &of(method, &path)).unwrap_err().to_json();
            assert_eq!(status["message"], message);
            assert_eq!(
                (&status["code"], &status["reason"]),
                (&403.into(), &"Forbidden".into())
            );
        }
    }
}
