//! Users with tokens: who they are, what they may do, and that they can be sent away.

use apiserver::auth::{Role, Users, user_kubeconfig};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::server::{SERVICES, Server, answer, service, strangers_client};

struct Caller {
    client: Client,
    token: String,
}

impl Caller {
    fn new(server: &Server, token: &str) -> Self {
        Self {
            client: strangers_client(&server.pki).build().unwrap(),
            token: token.to_owned(),
        }
    }

    async fn send(
        &self,
        server: &Server,
        method: Method,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
        let media_type = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let request = self
            .client
            .request(method, server.url(path))
            .bearer_auth(&self.token)
            .header("content-type", media_type)
            .body(body.to_string());
        answer(request.send().await.unwrap()).await
    }

    async fn get(&self, server: &Server, path: &str) -> (u16, Value) {
        self.send(server, Method::GET, path, &Value::Null).await
    }
}

fn issue(server: &Server, name: &str, role: Role) -> Caller {
    let users = Users::under(&server.folder.path().join("pki"));
    Caller::new(server, &users.issue(name, role).unwrap())
}

#[tokio::test]
async fn a_token_that_is_nobodys_is_401() {
    let server = Server::start().await;
    let ada = issue(&server, "ada", Role::Admin);
    assert_eq!(ada.get(&server, SERVICES).await.0, 200);
    for token in ["", "x", "ada.x", &format!("{}0", ada.token)] {
        let stranger = Caller::new(&server, token);
        let (code, status) = stranger.get(&server, SERVICES).await;
        assert_eq!((code, &status["reason"]), (401, &json!("Unauthorized")));
    }
    let basic = ada
        .client
        .get(server.url(SERVICES))
        .basic_auth("ada", Some(&ada.token));
    assert_eq!(basic.send().await.unwrap().status(), 401);
    Users::under(&server.folder.path().join("pki"))
        .revoke("ada")
        .unwrap();
    assert_eq!(ada.get(&server, SERVICES).await.0, 401, "sent away");
}

#[tokio::test]
async fn a_viewer_sees_and_does_not_touch() {
    let server = Server::start().await;
    let object = server.create("x").await;
    let y = issue(&server, "y", Role::Viewer);
    let one = format!("{SERVICES}/x");
    for path in [
        SERVICES,
        &one,
        "/apis",
        "/version",
        "/api/v1/namespaces",
        "/api/v1/configmaps",
        "/openapi/v3",
    ] {
        assert_eq!(y.get(&server, path).await.0, 200, "{path}");
    }
    let where_it_is =
        "resource \"services\" in API group \"serving.knative.dev\" in the namespace \"default\"";
    let x = "services.serving.knative.dev \"x\"";
    let cases = [
        (Method::PUT, &*one, format!("{x} is forbidden: User \"y\" cannot update {where_it_is}")),
        (Method::PATCH, &one, format!("{x} is forbidden: User \"y\" cannot patch {where_it_is}")),
        (Method::DELETE, &one, format!("{x} is forbidden: User \"y\" cannot delete {where_it_is}")),
        (
            Method::POST,
            SERVICES,
            format!("services.serving.knative.dev is forbidden: User \"y\" cannot create {where_it_is}"),
        ),
        (
            Method::DELETE,
            SERVICES,
            format!("services.serving.knative.dev is forbidden: User \"y\" cannot deletecollection {where_it_is}"),
        ),
        (
            Method::GET,
            "/api/v1/secrets",
            "secrets is forbidden: User \"y\" cannot list resource \"secrets\" in API group \"\" at the cluster scope".into(),
        ),
        (
            Method::GET,
            "/api/v1/namespaces/default/secrets?watch=true",
            "secrets is forbidden: User \"y\" cannot watch resource \"secrets\" in API group \"\" in the namespace \
             \"default\""
                .into(),
        ),
        (Method::POST, "/version", "forbidden: User \"y\" cannot post path \"/version\"".into()),
    ];
    for (method, path, message) in cases {
        let (code, status) = y.send(&server, method, path, &object).await;
        assert_eq!(
            (code, &status["reason"]),
            (403, &json!("Forbidden")),
            "{path}"
        );
        assert_eq!(status["message"], message);
    }
    assert_eq!(server.get(&one).await.1, object, "as it was");
}

#[tokio::test]
async fn what_a_user_writes_is_signed_with_the_name() {
    let server = Server::start().await;
    let ada = issue(&server, "ada", Role::Admin);
    let (code, made) = ada
        .send(&server, Method::POST, SERVICES, &service("a"))
        .await;
    let annotations = &made["metadata"]["annotations"];
    assert_eq!(
        (code, &annotations["serving.knative.dev/creator"]),
        (201, &json!("ada"))
    );
    let edit = json!({"spec": {"template": {"spec": {"timeoutSeconds": 9}}}});
    let (_, edited) = server
        .send(Method::PATCH, &format!("{SERVICES}/a"), &edit)
        .await;
    let annotations = &edited["metadata"]["annotations"];
    assert_eq!(annotations["serving.knative.dev/creator"], "ada");
    assert_eq!(
        annotations["serving.knative.dev/lastModifier"],
        "vhive-admin"
    );
}

#[tokio::test]
async fn users_are_told_who_they_are_and_what_they_may_do() {
    let server = Server::start().await;
    let whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let can_i = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let y = issue(&server, "y", Role::Viewer);
    let (code, review) = y
        .send(
            &server,
            Method::POST,
            whoami,
            &json!({"kind": "SelfSubjectReview"}),
        )
        .await;
    assert_eq!(code, 201);
    assert_eq!(
        review["status"]["userInfo"],
        json!({"username": "y", "groups": ["vhive:viewers", "system:authenticated"]})
    );
    let (_, review) = server
        .send(Method::POST, whoami, &json!({"kind": "SelfSubjectReview"}))
        .await;
    assert_eq!(review["status"]["userInfo"]["username"], "vhive-admin");

    let question = |verb: &str, group: &str, resource: &str| {
        json!({
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"namespace": "default", "verb": verb, "group": group, "resource": resource}},
        })
    };
    for (verb, group, resource, allowed) in [
        ("get", "serving.knative.dev", "services", true),
        ("delete", "serving.knative.dev", "services", false),
        ("get", "", "secrets", false),
        ("list", "", "configmaps", true),
        ("*", "*", "*", false),
        ("get", "*", "*", false),
    ] {
        let question = question(verb, group, resource);
        let (code, review) = y.send(&server, Method::POST, can_i, &question).await;
        assert_eq!(
            (code, &review["status"]["allowed"]),
            (201, &json!(allowed)),
            "{question}"
        );
        assert_eq!(review["spec"], question["spec"]);
        let (_, review) = server.send(Method::POST, can_i, &question).await;
        assert_eq!(review["status"]["allowed"], true);
    }
    let path = json!({
        "kind": "SelfSubjectAccessReview", "spec": {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}},
    });
    let (_, review) = y.send(&server, Method::POST, can_i, &path).await;
    assert_eq!(review["status"]["allowed"], true);
    let kind = json!({"kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}});
    let (_, review) = y.send(&server, Method::POST, rules, &kind).await;
    let text = review["status"]["resourceRules"].to_string();
    assert!(
        !text.contains("secrets") && text.contains("configmaps"),
        "{text}"
    );
    let (_, review) = server.send(Method::POST, rules, &kind).await;
    assert_eq!(review["status"]["resourceRules"][0]["verbs"], json!(["*"]));

    for (path, body) in [
        (whoami, json!({"kind": "Pod"})),
        (can_i, json!({"kind": "SelfSubjectAccessReview"})),
    ] {
        let (code, status) = y.send(&server, Method::POST, path, &body).await;
        assert_eq!((code, &status["kind"]), (400, &json!("Status")));
    }
    let (code, status) = server.get(whoami).await;
    assert_eq!((code, &status["reason"]), (405, &json!("MethodNotAllowed")));
}

#[tokio::test]
async fn a_users_kubeconfig_has_the_token_and_no_key() {
    let server = Server::start().await;
    let text = user_kubeconfig(&server.pki, "https://127.0.0.1:6443", "ada", "ada.token");
    let config: Value = serde_yaml_ng::from_str(&text).unwrap();
    assert_eq!(
        config["users"][0],
        json!({"name": "ada", "user": {"token": "ada.token"}})
    );
    assert_eq!(config["contexts"][0]["context"]["user"], "ada");
    assert_eq!(config["current-context"], config["contexts"][0]["name"]);
    assert!(!text.contains("client-key-data"));
}
