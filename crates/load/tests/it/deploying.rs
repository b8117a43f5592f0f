//! The deployer and an API.

use std::path::Path;
use std::time::Duration;

use load::cluster::{Access, Cluster};
use load::deploy::{Deployment, Function, Options, deploy, deployments};
use serde_json::json;
use tempfile::TempDir;

use crate::PATIENCE;
use crate::kubernetes::{Api, SERVICES};

const MANIFEST: &str = "apiVersion: serving.knative.dev/v1\nkind: Service\nspec: {template: {spec: {containers: [{image: x}]}}}\n";

fn cluster(api: &Api) -> Cluster {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Cluster::new(Access {
        server: format!("http://{}/", api.address),
        token: Some("secret".to_owned()),
        ..Access::default()
    })
    .expect("a client")
}

fn options() -> Options {
    Options {
        namespace: "default".to_owned(),
        at_once: 2,
        limit: PATIENCE,
        gateway: None,
    }
}

/// A folder with a manifest, and so many deployments of it.
fn functions(count: u32) -> (TempDir, Vec<Deployment>) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("f.yaml"), MANIFEST).expect("a manifest");
    let function: Function =
        serde_json::from_value(json!({"name": "f", "file": "f.yaml", "count": count}))
            .expect("a function");
    let all = deployments(&[function], folder.path());
    (folder, all)
}

#[tokio::test]
async fn functions_are_deployed_some_at_once_until_they_are_ready() {
    let api = Api::start().await;
    let (_folder, all) = functions(5);
    let (cluster, options) = (cluster(&api), options());
    let mut applied = api.applied();
    let deploying = deploy(&cluster, &all, &options, |_, _| ());
    let controller = async {
        let mut waiting: Vec<String> = Vec::new();
        for nth in 0..5 {
            waiting.push(applied.recv().await.expect("an apply"));
            // Two at once: no third is applied before one of them is ready.
            if waiting.len() == 2 || nth == 4 {
                assert!(applied.try_recv().is_err());
                for name in waiting.drain(..1) {
                    api.set_ready(&name);
                }
            }
        }
        for name in waiting {
            api.set_ready(&name);
        }
    };
    let (done, ()) = tokio::join!(deploying, controller);
    let hosts: Vec<_> = done
        .into_iter()
        .map(|it| it.expect("deployed").hostname)
        .collect();
    let expected: Vec<_> = (0..5)
        .map(|nth| format!("f-{nth}.default.127.0.0.1.sslip.io:8080"))
        .collect();
    assert_eq!(hosts, expected);
    let service = api.service("f-0");
    assert_eq!(
        service["spec"]["template"]["metadata"]["annotations"]["autoscaling.knative.dev/target"],
        "1"
    );
    let asked = api.asked();
    assert!(
        asked.contains(&format!("POST {SERVICES} Bearer secret")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_service_that_is_there_is_changed_and_a_gateway_names_its_host() {
    let api = Api::start().await;
    let (_folder, all) = functions(1);
    let options = Options {
        gateway: Some("192.168.1.240.sslip.io".to_owned()),
        ..options()
    };
    let cluster = cluster(&api);
    for generation in [1, 2] {
        let mut applied = api.applied();
        let controller = async {
            let name = applied.recv().await.expect("an apply");
            assert_eq!(api.service(&name)["metadata"]["generation"], generation);
            api.set_ready(&name);
        };
        let (done, ()) = tokio::join!(deploy(&cluster, &all, &options, |_, _| ()), controller);
        let hostname = &done[0].as_ref().expect("deployed").hostname;
        assert_eq!(hostname, "f-0.default.192.168.1.240.sslip.io");
    }
    let asked = api.asked();
    let patch = format!("PATCH {SERVICES}/f-0 Bearer secret");
    assert!(asked.contains(&patch), "{asked:?}");
}

#[tokio::test]
async fn why_a_function_is_not_ready_is_told_and_the_others_are_deployed() {
    let api = Api::start().await;
    let (folder, mut all) = functions(2);
    std::fs::write(
        folder.path().join("empty.yaml"),
        "apiVersion: serving.knative.dev/v1\nkind: Service\n",
    )
    .expect("a manifest");
    let other = |name: &str, file: &str, eventing| Deployment {
        name: name.to_owned(),
        file: folder.path().join(file),
        eventing,
        matchers: None,
        apply_script: Some("chain/apply.sh".to_owned()),
    };
    all.push(other("absent-0", "absent.yaml", false));
    all.push(other("empty-0", "empty.yaml", false));
    all.push(other("chain-0", "f.yaml", true));
    let mut applied = api.applied();
    let controller = async {
        for _ in 0..2 {
            match applied.recv().await.expect("an apply").as_str() {
                "f-0" => api.set_status(
                    "f-0",
                    &json!([{"type": "Ready", "status": "False", "reason": "RevisionFailed", "message": "no image x"}]),
                ),
                name => api.set_ready(name),
            }
        }
    };
    let (cluster, options) = (cluster(&api), options());
    let (done, ()) = tokio::join!(deploy(&cluster, &all, &options, |_, _| ()), controller);
    let words: Vec<_> = done
        .iter()
        .map(|it| match it {
            Ok(endpoint) => endpoint.hostname.clone(),
            Err(error) => error.to_string(),
        })
        .collect();
    assert_eq!(words[0], "it failed: Ready RevisionFailed: no image x");
    assert_eq!(words[1], "f-1.default.127.0.0.1.sslip.io:8080");
    assert!(words[2].starts_with("cannot read") && words[2].contains("absent.yaml"));
    assert!(words[3].contains("(400 Bad Request): validation failed: missing field(s)"));
    assert!(words[4].ends_with("run chain/apply.sh"), "{}", words[4]);
}

#[tokio::test]
async fn a_function_that_does_not_become_ready_in_time_is_told_with_what_it_waits_for() {
    let api = Api::start().await;
    let (_folder, all) = functions(1);
    let options = Options {
        limit: Duration::from_millis(300),
        ..options()
    };
    let mut applied = api.applied();
    let controller = async {
        let name = applied.recv().await.expect("an apply");
        api.set_status(
            &name,
            &json!([{"type": "Ready", "status": "Unknown", "reason": "Deploying", "message": "pulling x"}]),
        );
    };
    let cluster = cluster(&api);
    let (done, ()) = tokio::join!(deploy(&cluster, &all, &options, |_, _| ()), controller);
    let error = done[0].as_ref().expect_err("it is late").to_string();
    assert_eq!(
        error,
        "it is not ready after 0 s: Ready Deploying: pulling x"
    );
}

#[tokio::test]
async fn an_api_that_is_not_there_is_told_by_its_address() {
    let (address, _bound) = crate::backend::closed_port();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cluster = Cluster::new(Access {
        server: format!("http://{address}"),
        ..Access::default()
    })
    .expect("a client");
    let (_folder, all) = functions(1);
    let done = deploy(&cluster, &all, &options(), |_, _| ()).await;
    let error = done[0].as_ref().expect_err("nobody is there").to_string();
    assert!(error.contains(&address.to_string()), "{error}");
    assert!(Path::new(&all[0].file).is_file());
}
