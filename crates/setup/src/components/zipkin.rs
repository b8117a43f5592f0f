//! Zipkin, which shows where the time of a request went.

use crate::config::fill;
use crate::plan::{Action, Check, Command, Component, Published, Step, Target, Undo};

use super::manifests::{applied, fetched, written};

pub(super) fn component(target: &Target) -> Component {
    let knative = &target.config.knative;
    let url = fill(
        &knative.istio_zipkin_download_url_template,
        &[&knative.istio_zipkin_version],
    );
    let patch = r#"{"data":{"backend":"zipkin","zipkin-endpoint":"http://zipkin.istio-system.svc.cluster.local:9411/api/v2/spans","debug":"true"}}"#;
    let mut command =
        Command::kubectl("patch configmap/config-tracing -n knative-serving --type merge -p");
    command.words.push(patch.to_owned());
    super::component(
        "zipkin",
        &[],
        vec![
            fetched(
                "zipkin/manifest",
                "traces are kept and shown by it",
                "zipkin",
                url,
                Published::Nowhere,
            ),
            written(
                "zipkin/overlay",
                "the manifest as it is",
                "zipkin",
                "kustomization.yaml",
                "resources: [zipkin.yaml]\n".to_owned(),
            ),
            applied("zipkin/apply", "traces are kept and shown by it", "zipkin"),
            Step::new(
                "zipkin/knative",
                "Knative sends its traces there",
                Action::Run {
                    command,
                    check: Check::Prints {
                        command: Command::kubectl(
                            "get configmap/config-tracing -n knative-serving -o jsonpath={.data.backend}",
                        ),
                        text: "zipkin".to_owned(),
                    },
                    undo: Undo::By(Command::kubectl(
                        r#"patch configmap/config-tracing -n knative-serving --type merge -p {"data":{"backend":"none"}}"#,
                    )),
                    recover: None,
                },
            ),
        ],
    )
}
