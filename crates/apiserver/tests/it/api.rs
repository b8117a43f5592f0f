//! The API as clients use it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{SERVICES, Server, answer, service};

const ALL: &str = "/apis/serving.knative.dev/v1/services";

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn an_object_lives_through_create_get_replace_and_delete() {
    let server = Server::start().await;
    let created = server.create("a").await;
    let one = format!("{SERVICES}/a");
    let metadata = &created["metadata"];
    assert_eq!(
        (&metadata["namespace"], &metadata["generation"]),
        (&json!("default"), &json!(1))
    );
    assert_eq!(
        created["spec"]["template"]["spec"]["timeoutSeconds"], 300,
        "defaults are set"
    );
    assert_eq!(server.get(&one).await, (200, created.clone()));

    let mut next = created.clone();
    next["spec"]["template"]["spec"]["containers"][0]["image"] = json!("example.com/other");
    let (code, replaced) = server.send(Method::PUT, &one, &next).await;
    assert_eq!(
        (code, &replaced["metadata"]["generation"]),
        (200, &json!(2))
    );
    assert_eq!(replaced["metadata"]["uid"], metadata["uid"]);

    let (code, status) = server.send(Method::PUT, &one, &next).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        status["message"],
        "Operation cannot be fulfilled on services.serving.knative.dev \"a\": the object has been modified; please \
         apply your changes to the latest version and try again"
    );

    let (code, status) = server
        .send(
            Method::DELETE,
            &one,
            &json!({"propagationPolicy": "Background"}),
        )
        .await;
    assert_eq!((code, &status["status"]), (200, &json!("Success")));
    assert_eq!(status["details"]["uid"], metadata["uid"]);
    let (code, status) = server.get(&one).await;
    assert_eq!(
        (code, &status["kind"], &status["reason"]),
        (404, &json!("Status"), &json!("NotFound"))
    );
    assert_eq!(
        status["message"],
        "services.serving.knative.dev \"a\" not found"
    );
    assert_eq!(
        status["details"],
        json!({"name": "a", "group": "serving.knative.dev", "kind": "services"})
    );
}

#[tokio::test]
async fn refusals_are_statuses_with_the_words_of_kubernetes() {
    let server = Server::start().await;
    let created = server.create("a").await;
    let one = format!("{SERVICES}/a");
    let with = |edit: fn(&mut Value)| {
        let mut object = created.clone();
        edit(&mut object);
        object
    };
    let cases = [
        (
            Method::GET,
            "/nothing",
            Value::Null,
            404,
            "the server could not find the requested resource",
        ),
        (
            Method::GET,
            "/apis/apps/v1/deployments",
            Value::Null,
            404,
            "the server could not find the requested resource",
        ),
        (
            Method::POST,
            ALL,
            service("b"),
            405,
            "the server does not allow this method on the requested resource",
        ),
        (
            Method::POST,
            &one,
            service("b"),
            405,
            "the server does not allow this method on the requested resource",
        ),
        (
            Method::POST,
            "/version",
            json!({}),
            405,
            "the server does not allow this method on the requested resource",
        ),
        (
            Method::POST,
            SERVICES,
            service("a"),
            409,
            "services.serving.knative.dev \"a\" already exists",
        ),
        (
            Method::POST,
            SERVICES,
            json!([]),
            400,
            "the body must be an object",
        ),
        (
            Method::POST,
            SERVICES,
            json!({"kind": "Route"}),
            400,
            "the kind in the data (Route) does not match the expected kind (Service)",
        ),
        (
            Method::POST,
            SERVICES,
            json!({"metadata": {"namespace": "other", "name": "b"}}),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            Method::POST,
            SERVICES,
            json!({"spec": {}}),
            422,
            "Service.serving.knative.dev \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
        (
            Method::POST,
            SERVICES,
            with(|object| object["metadata"]["name"] = json!("b")),
            422,
            "Service.serving.knative.dev \"b\" is invalid: metadata.resourceVersion: resourceVersion should not be set \
             on objects to be created",
        ),
        (
            Method::PUT,
            &one,
            with(|object| object["metadata"]["resourceVersion"] = Value::Null),
            422,
            "Service.serving.knative.dev \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified \
             for an update",
        ),
        (
            Method::PUT,
            &one,
            with(|object| object["metadata"]["name"] = json!("b")),
            400,
            "the name of the object (b) does not match the name on the URL (a)",
        ),
        (
            Method::PUT,
            &one,
            with(|object| object["metadata"]["uid"] = json!("other")),
            409,
            "",
        ),
        (
            Method::PUT,
            &format!("{SERVICES}/b"),
            with(|object| object["metadata"]["name"] = json!("b")),
            404,
            "services.serving.knative.dev \"b\" not found",
        ),
        (
            Method::PATCH,
            &format!("{SERVICES}/b"),
            json!({}),
            404,
            "services.serving.knative.dev \"b\" not found",
        ),
        (
            Method::DELETE,
            &format!("{SERVICES}/b"),
            json!({}),
            404,
            "services.serving.knative.dev \"b\" not found",
        ),
        (
            Method::DELETE,
            &one,
            json!({"preconditions": {"uid": "other"}}),
            409,
            "",
        ),
        (
            Method::DELETE,
            &one,
            json!({"propagationPolicy": "Sideways"}),
            400,
            "propagationPolicy: Unsupported value: \"Sideways\": supported values: \"Background\", \"Foreground\", \"Orphan\"",
        ),
        (
            Method::DELETE,
            &one,
            json!({"dryRun": ["Some"]}),
            400,
            "dryRun: Unsupported value: \"Some\": supported values: \"All\"",
        ),
        (
            Method::GET,
            &format!("{SERVICES}?labelSelector=a in"),
            Value::Null,
            400,
            "unable to parse requirement: found '', expected: '('",
        ),
        (
            Method::GET,
            &format!("{SERVICES}?fieldSelector=spec.a=b"),
            Value::Null,
            400,
            "field label not supported: spec.a",
        ),
        (
            Method::GET,
            &format!("{SERVICES}?resourceVersion=9999"),
            Value::Null,
            504,
            "Too large resource version: 9999, current: 5",
        ),
        (
            Method::GET,
            &format!("{SERVICES}?watch=1&resourceVersion=x"),
            Value::Null,
            400,
            "",
        ),
        (
            Method::POST,
            &format!("{SERVICES}?fieldValidation=Maybe"),
            service("b"),
            400,
            "",
        ),
    ];
    for (method, path, body, code, message) in cases {
        let (found, status) = server.send(method.clone(), path, &body).await;
        assert_eq!(found, code, "{method} {path}: {status}");
        assert_eq!(
            (&status["kind"], &status["code"]),
            (&json!("Status"), &json!(code)),
            "{method} {path}"
        );
        if !message.is_empty() {
            assert_eq!(status["message"], message, "{method} {path}");
        }
    }
    assert_eq!(
        server.get(&one).await,
        (200, created),
        "nothing was changed"
    );
}

#[tokio::test]
async fn forms_that_are_not_spoken_are_refused() {
    let server = Server::start().await;
    let refused = |request: reqwest::RequestBuilder| async move {
        answer(request.send().await.unwrap()).await
    };
    let post = || server.client.post(server.url(SERVICES));
    let protobuf = "application/vnd.kubernetes.protobuf";
    let (code, status) = refused(post().header("content-type", protobuf).body("k8s")).await;
    assert_eq!(
        (code, &status["reason"]),
        (415, &json!("UnsupportedMediaType"))
    );

    let (code, status) = refused(
        server
            .client
            .get(server.url(SERVICES))
            .header("accept", "text/html"),
    )
    .await;
    assert_eq!((code, &status["reason"]), (406, &json!("NotAcceptable")));

    let (code, status) = refused(post().body(vec![b' '; (3 << 20) + 1])).await;
    assert_eq!(
        (code, &status["reason"]),
        (413, &json!("RequestEntityTooLarge"))
    );

    let (code, status) = refused(post().body("{")).await;
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")));

    let strategic = "application/strategic-merge-patch+json";
    let patch = server
        .client
        .patch(server.url(&format!("{SERVICES}/a")))
        .header("content-type", strategic);
    let (code, status) = refused(patch.body("{}")).await;
    assert_eq!(
        (code, &status["reason"]),
        (415, &json!("UnsupportedMediaType"))
    );
}

#[tokio::test]
async fn yaml_is_as_good_as_json() {
    let server = Server::start().await;
    let yaml = "
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: a}
spec:
  template:
    spec:
      containers:
      - image: example.com/helloworld
        env: [{name: A, value: \"1\"}]
";
    let post = server
        .client
        .post(server.url(SERVICES))
        .header("content-type", "application/yaml");
    let (code, object) = answer(post.body(yaml).send().await.unwrap()).await;
    assert_eq!(
        (code, &object["metadata"]["name"]),
        (201, &json!("a")),
        "{object}"
    );
}

#[tokio::test]
async fn a_merge_patch_changes_what_it_names_and_null_deletes() {
    let server = Server::start().await;
    let created = server.create("a").await;
    let one = format!("{SERVICES}/a");
    let patch = json!({"metadata": {"labels": {"app": null, "color": "red"}}});
    let (code, patched) = server.send(Method::PATCH, &one, &patch).await;
    assert_eq!(code, 200, "{patched}");
    assert_eq!(patched["metadata"]["labels"], json!({"color": "red"}));
    assert_eq!(patched["metadata"]["generation"], 1);
    assert_eq!(patched["spec"], created["spec"]);

    let (_, again) = server.send(Method::PATCH, &one, &patch).await;
    assert_eq!(
        again, patched,
        "a patch that changes nothing takes no version"
    );

    let patch = json!({"spec": {"template": {"spec": {"timeoutSeconds": 10}}}});
    let (_, patched) = server.send(Method::PATCH, &one, &patch).await;
    assert_eq!(patched["metadata"]["generation"], 2);

    let stale = json!({"metadata": {"resourceVersion": created["metadata"]["resourceVersion"]}, "spec": {}});
    assert_eq!(server.send(Method::PATCH, &one, &stale).await.0, 409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn patches_without_a_version_are_all_made() {
    let server = std::sync::Arc::new(Server::start().await);
    server.create("a").await;
    let patches: Vec<_> = (0..16)
        .map(|label| {
            let server = server.clone();
            tokio::spawn(async move {
                let patch = json!({"metadata": {"labels": {format!("l{label}"): "x"}}});
                server
                    .send(Method::PATCH, &format!("{SERVICES}/a"), &patch)
                    .await
                    .0
            })
        })
        .collect();
    for patch in patches {
        assert_eq!(patch.await.unwrap(), 200);
    }
    let (_, object) = server.get(&format!("{SERVICES}/a")).await;
    assert_eq!(object["metadata"]["labels"].as_object().unwrap().len(), 17);
}

#[tokio::test]
async fn the_status_is_written_apart() {
    let server = Server::start().await;
    let created = server.create("a").await;
    let (one, status) = (format!("{SERVICES}/a"), format!("{SERVICES}/a/status"));
    let mut object = created.clone();
    object["status"] = json!({"url": "http://a.example.com"});
    object["spec"]["template"]["spec"]["timeoutSeconds"] = json!(7);
    let (code, written) = server.send(Method::PUT, &status, &object).await;
    assert_eq!(
        (code, &written["status"]["url"]),
        (200, &json!("http://a.example.com")),
        "{written}"
    );
    assert_eq!(written["spec"], created["spec"]);
    assert_eq!(written["metadata"]["generation"], 1);
    assert_eq!(server.get(&status).await.1, written);

    let (_, patched) = server
        .send(Method::PATCH, &one, &json!({"status": {"url": "http://b"}}))
        .await;
    assert_eq!(
        patched, written,
        "the status cannot be written with the rest"
    );
    let (_, patched) = server
        .send(
            Method::PATCH,
            &status,
            &json!({"status": {"url": "http://b"}}),
        )
        .await;
    assert_eq!(patched["status"]["url"], "http://b");
}

#[tokio::test]
async fn lists_are_narrowed_by_namespace_labels_and_fields() {
    let server = Server::start().await;
    let other = json!({"metadata": {"name": "other"}});
    let (code, _) = server
        .send(Method::POST, "/api/v1/namespaces", &other)
        .await;
    assert_eq!(code, 201);
    server.create("a").await;
    server.create("b").await;
    let elsewhere = "/apis/serving.knative.dev/v1/namespaces/other/services";
    assert_eq!(
        server.send(Method::POST, elsewhere, &service("c")).await.0,
        201
    );
    let cases = [
        (SERVICES.to_owned(), vec!["a", "b"]),
        (elsewhere.to_owned(), vec!["c"]),
        (ALL.to_owned(), vec!["a", "b", "c"]),
        (
            format!("{ALL}?labelSelector=app%20in%20(a,c)"),
            vec!["a", "c"],
        ),
        (format!("{ALL}?labelSelector=app,app!=a"), vec!["b", "c"]),
        (format!("{ALL}?labelSelector=!app"), vec![]),
        (format!("{ALL}?fieldSelector=metadata.name%3Db"), vec!["b"]),
        (
            format!("{ALL}?fieldSelector=metadata.namespace!=default"),
            vec!["c"],
        ),
    ];
    for (path, expected) in cases {
        let (code, list) = server.get(&path).await;
        assert_eq!((code, names(&list)), (200, expected), "{path}");
        assert_eq!(
            (&list["kind"], &list["apiVersion"]),
            (&json!("ServiceList"), &json!("serving.knative.dev/v1"))
        );
        assert_eq!(
            list["metadata"]["resourceVersion"],
            server.store.resource_version().to_string()
        );
    }
    let (code, deleted) = server
        .send(
            Method::DELETE,
            &format!("{SERVICES}?labelSelector=app=a"),
            &json!({}),
        )
        .await;
    assert_eq!((code, names(&deleted)), (200, vec!["a"]));
    assert_eq!(names(&server.get(ALL).await.1), ["b", "c"]);
}

#[tokio::test]
async fn a_dry_run_answers_and_changes_nothing() {
    let server = Server::start().await;
    let version = server.store.resource_version();
    let (code, object) = server
        .send(
            Method::POST,
            &format!("{SERVICES}?dryRun=All"),
            &service("a"),
        )
        .await;
    assert_eq!((code, &object["metadata"]["generation"]), (201, &json!(1)));
    assert_eq!(server.store.resource_version(), version);

    server.create("a").await;
    let version = server.store.resource_version();
    let patch = json!({"spec": {"template": {"spec": {"timeoutSeconds": 10}}}});
    let (code, patched) = server
        .send(Method::PATCH, &format!("{SERVICES}/a?dryRun=All"), &patch)
        .await;
    assert_eq!(
        (code, &patched["spec"]["template"]["spec"]["timeoutSeconds"]),
        (200, &json!(10))
    );
    let delete = server
        .send(
            Method::DELETE,
            &format!("{SERVICES}/a"),
            &json!({"dryRun": ["All"]}),
        )
        .await;
    assert_eq!(delete.0, 200);
    assert_eq!(server.store.resource_version(), version);
}

#[tokio::test]
async fn unknown_fields_are_refused_warned_of_or_dropped() {
    let server = Server::start().await;
    let mut odd = service("a");
    odd["spec"]["template"]["spec"]["colour"] = json!("red");
    let post = |validation: &str, name: &str| {
        let mut odd = odd.clone();
        odd["metadata"]["name"] = json!(name);
        let path = format!("{SERVICES}?fieldValidation={validation}");
        server
            .client
            .post(server.url(&path))
            .body(odd.to_string())
            .send()
    };
    let (code, status) = answer(post("Strict", "a").await.unwrap()).await;
    assert_eq!(code, 400);
    assert_eq!(
        status["message"],
        "Service in version \"v1\" cannot be handled as a Service: strict decoding error: unknown field \
         \"spec.template.spec.colour\""
    );
    let warned = post("Warn", "b").await.unwrap();
    assert_eq!(
        warned.headers()["warning"],
        "299 - \"unknown field \\\"spec.template.spec.colour\\\"\""
    );
    let (code, object) = answer(warned).await;
    assert_eq!(
        (code, &object["spec"]["template"]["spec"]["colour"]),
        (201, &Value::Null)
    );
    let ignored = post("Ignore", "c").await.unwrap();
    assert_eq!(ignored.status(), 201);
    assert!(!ignored.headers().contains_key("warning"));
}

#[tokio::test]
async fn a_name_is_made_from_its_prefix() {
    let server = Server::start().await;
    let mut object = service("");
    object["metadata"] = json!({"generateName": "fn-"});
    let (code, first) = server.send(Method::POST, SERVICES, &object).await;
    assert_eq!(code, 201, "{first}");
    let (_, second) = server.send(Method::POST, SERVICES, &object).await;
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(name(&first).starts_with("fn-") && name(&first) != name(&second));
}

#[tokio::test]
async fn an_object_with_finalizers_is_marked_and_goes_with_the_last_of_them() {
    let server = Server::start().await;
    let mut object = service("a");
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    assert_eq!(server.send(Method::POST, SERVICES, &object).await.0, 201);
    let one = format!("{SERVICES}/a");
    let (code, marked) = server.send(Method::DELETE, &one, &json!({})).await;
    assert_eq!((code, &marked["kind"]), (200, &json!("Service")));
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    let (code, _) = server
        .send(
            Method::PATCH,
            &one,
            &json!({"metadata": {"finalizers": null}}),
        )
        .await;
    assert_eq!(code, 200);
    assert_eq!(server.get(&one).await.0, 404);
}

#[tokio::test]
async fn tables_have_the_columns_of_the_kind() {
    let server = Server::start().await;
    server.create("a").await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    for path in [SERVICES.to_owned(), format!("{SERVICES}/a")] {
        let response = server
            .client
            .get(server.url(&path))
            .header("accept", accept)
            .send()
            .await
            .unwrap();
        let (_, table) = answer(response).await;
        assert_eq!(table["kind"], "Table");
        let columns: Vec<&str> = table["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| column["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            columns,
            [
                "Name",
                "URL",
                "LatestCreated",
                "LatestReady",
                "Ready",
                "Reason"
            ]
        );
        assert_eq!(table["rows"][0]["cells"][0], "a");
    }
}

#[tokio::test]
async fn there_are_no_further_kinds_for_kubectl_to_look_for() {
    let server = Server::start().await;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let (code, list) = server.get(path).await;
    assert_eq!(code, 200);
    assert_eq!(list["kind"], "CustomResourceDefinitionList");
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn discovery_names_every_kind_in_both_forms() {
    let server = Server::start().await;
    let (_, groups) = server.get("/apis").await;
    assert_eq!(
        groups["groups"][0]["preferredVersion"]["groupVersion"],
        "serving.knative.dev/v1"
    );
    let (_, version) = server.get("/apis/serving.knative.dev/v1").await;
    let service = &version["resources"][0];
    assert_eq!(
        (&service["name"], &service["kind"]),
        (&json!("services"), &json!("Service"))
    );
    assert!(
        service["shortNames"]
            .as_array()
            .unwrap()
            .contains(&json!("ksvc"))
    );
    assert_eq!(server.get("/api").await.1["versions"], json!(["v1"]));
    assert_eq!(server.get("/api/v1").await.0, 200);

    let accept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let response = server
        .client
        .get(server.url("/apis"))
        .header("accept", accept)
        .send()
        .await
        .unwrap();
    assert!(
        response.headers()["content-type"]
            .to_str()
            .unwrap()
            .contains("as=APIGroupDiscoveryList")
    );
    let (_, document) = answer(response).await;
    let resources = document["items"][0]["versions"][0]["resources"]
        .as_array()
        .unwrap();
    let serving = api::kinds()
        .iter()
        .filter(|it| it.group == "serving.knative.dev");
    assert_eq!(resources.len(), serving.count());
}

/// Objects in objects, so many.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!("x"), |value, _| json!({"a": value}))
}

#[tokio::test]
async fn an_object_that_is_too_deep_to_be_read_again_is_refused() {
    let server = Server::start().await;
    server.create("a").await;
    let one = format!("{SERVICES}/a");
    let status = |levels| json!({"status": {"annotations": nested(levels)}});
    // Deeper than may be stored, but for who owns the fields not too deep to be read.
    for levels in [95, 120] {
        let path = format!("{one}/status");
        let (code, refused) = server.send(Method::PATCH, &path, &status(levels)).await;
        assert_eq!((code, &refused["reason"]), (422, &json!("Invalid")));
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("Too deep"), "{message}");
    }
    let (code, object) = server.get(&one).await;
    assert_eq!((code, &object["metadata"]["name"]), (200, &json!("a")));
    let (code, _) = server.send(Method::DELETE, &one, &json!({})).await;
    assert_eq!(code, 200);
}

#[tokio::test]
async fn a_status_of_another_type_is_refused_and_nulls_are_left_out() {
    let server = Server::start().await;
    server.create("a").await;
    let one = format!("{SERVICES}/a");
    let path = format!("{one}/status");
    let wrong = json!({"status": {"conditions": "none"}});
    let (code, status) = server.send(Method::PATCH, &path, &wrong).await;
    assert_eq!((code, &status["reason"]), (422, &json!("Invalid")));
    let cause = &status["details"]["causes"][0];
    assert_eq!(cause["field"], "status.conditions", "{status}");
    let mut object = server.get(&one).await.1;
    object["status"] = json!({"conditions": null, "url": "http://a"});
    let (code, written) = server.send(Method::PUT, &path, &object).await;
    assert_eq!(code, 200, "{written}");
    assert_eq!(written["status"], json!({"url": "http://a"}));
    object["status"] = Value::Null;
    object["metadata"] = written["metadata"].clone();
    let (code, written) = server.send(Method::PUT, &path, &object).await;
    assert_eq!((code, written.get("status")), (200, None));
}

#[tokio::test]
async fn owners_of_fields_are_forgotten_when_a_client_says_so() {
    let server = Server::start().await;
    let made = server.create("a").await;
    let one = format!("{SERVICES}/a");
    let owners = |owners: Value| json!({"metadata": {"managedFields": owners}});
    let (code, kept) = server.send(Method::PATCH, &one, &owners(json!([]))).await;
    assert_eq!((code, &kept), (200, &made), "an empty list says nothing");
    let (code, forgot) = server.send(Method::PATCH, &one, &owners(json!([{}]))).await;
    assert_eq!((code, forgot["metadata"].get("managedFields")), (200, None));
    // They are forgotten first, and what is changed beside that is owned.
    let mut both = owners(json!([{}]));
    both["metadata"]["labels"] = json!({"b": "c"});
    let (_, owned) = server.send(Method::PATCH, &one, &both).await;
    let owners = owned["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(owners.len(), 1, "{owned}");
    assert_eq!(
        owners[0]["fieldsV1"],
        json!({"f:metadata": {"f:labels": {"f:b": {}}}})
    );
}

#[tokio::test]
async fn reviews_are_not_asked_for_in_yaml() {
    let server = Server::start().await;
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let request = server.client.post(server.url(path));
    let request = request.header("content-type", "application/yaml");
    let (code, status) = answer(
        request
            .body("kind: SelfSubjectReview")
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(
        (code, &status["reason"]),
        (415, &json!("UnsupportedMediaType"))
    );
}
