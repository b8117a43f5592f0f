//! Containers: what one may say of itself, and what several may say together.

use serde_json::{Value, json};

use super::{refused, service, taken, with, with_all};

const AT: &str = "spec.template.spec.containers[0]";

#[test]
fn images_must_be_references() {
    let bad = |image: &str| {
        (
            with(&json!({"image": image})),
            format!(
                "Failed to parse image reference: {AT}.image\nimage: {image:?}, error: could not parse reference: {image}"
            ),
        )
    };
    let digest = format!("team/app@sha256:{}", "a1".repeat(31));
    refused([
        (
            with(&json!({"image": ""})),
            format!("missing field(s): {AT}.image"),
        ),
        bad("Team/App"),
        bad("team/app:"),
        bad("team/app:v 1"),
        bad("team/app:v1:v2"),
        bad("https://registry.example.com/app"),
        bad("registry.example.com/"),
        bad("app@sha256:short"),
        bad("app@md5:d41d8cd98f00b204e9800998ecf8427e"),
        bad(&digest),
    ]);
    taken([
        with(&json!({"image": "app:v1.2_3-rc"})),
        with(&json!({"image": "localhost:5000/team/app"})),
        with(&json!({"image": "registry.example.com:8443/a/b/c:latest"})),
        with(&json!({"image": format!("app:v1@sha256:{}", "0f".repeat(32))})),
    ]);
}

#[test]
fn names_of_environment_variables_are_there_and_not_the_platforms() {
    let reserved = |name: &str| {
        (
            with(&json!({"env": [{"name": "OK", "value": "1"}, {"name": name, "value": "x"}]})),
            format!("{name:?} is a reserved environment variable: {AT}.env[1].name"),
        )
    };
    refused([
        reserved("PORT"),
        reserved("K_SERVICE"),
        reserved("K_REVISION"),
        reserved("K_CONFIGURATION"),
        (
            with(&json!({"env": [{"value": "x"}]})),
            format!("missing field(s): {AT}.env[0].name"),
        ),
        (
            with(&json!({"env": [{"value": "x"}, {"name": "A"}, {"name": ""}]})),
            format!("missing field(s): {AT}.env[0].name, {AT}.env[2].name"),
        ),
        (
            with(&json!({"env": [{"name": "PORT"}, {"name": "K_SERVICE"}, {"name": "PORT"}]})),
            format!(
                "\"K_SERVICE\" is a reserved environment variable: {AT}.env[1].name\n\
                 \"PORT\" is a reserved environment variable: {AT}.env[0].name, {AT}.env[2].name"
            ),
        ),
    ]);
    taken([
        with(
            &json!({"env": [{"name": "K_SINK", "value": "http://x"}, {"name": "port", "value": "1"}]}),
        ),
        with(&json!({"env": [{"name": "A"}, {"name": "A", "value": "twice"}]})),
    ]);
}

#[test]
fn environment_comes_from_one_source_each() {
    let both = format!("{AT}.envFrom.configMapRef, {AT}.envFrom.secretRef");
    refused([
        (
            with(&json!({"envFrom": [{"prefix": "A_"}]})),
            format!("expected exactly one, got neither: {both}"),
        ),
        (
            with(
                &json!({"envFrom": [{"configMapRef": {"name": "a"}, "secretRef": {"name": "b"}}]}),
            ),
            format!("expected exactly one, got both: {both}"),
        ),
    ]);
    taken([with(
        &json!({"envFrom": [{"prefix": "A_", "configMapRef": {"name": "a"}}, {"secretRef": {"name": "b"}}]}),
    )]);
}

#[test]
fn ports_have_a_protocol_a_range_and_neighbours_that_are_taken() {
    let reserved = |port: u16| {
        (
            with(&json!({"ports": [{"containerPort": port}]})),
            format!(
                "invalid value: {port} is a reserved port: {AT}.ports.containerPort\n\
                 {port} is a reserved port, please use a different value"
            ),
        )
    };
    let port = |fields: Value| with(&json!({"ports": [fields]}));
    let named = |name: &str| {
        (
            port(json!({"containerPort": 8080, "name": name})),
            format!(
                "Port name {name} is not allowed: {AT}.ports\nName must be empty, or one of: 'h2c', 'http1'"
            ),
        )
    };
    refused([
        reserved(8008),
        reserved(8012),
        reserved(8013),
        reserved(8022),
        reserved(9090),
        reserved(9091),
        named("http"),
        named("http2"),
        named("grpc"),
        named("H2C"),
        (
            port(json!({"containerPort": -1})),
            format!("expected 0 <= -1 <= 65535: {AT}.ports.containerPort"),
        ),
        (
            port(json!({"containerPort": 65536})),
            format!("expected 0 <= 65536 <= 65535: {AT}.ports.containerPort"),
        ),
        (
            port(json!({"containerPort": 8080, "protocol": "UDP"})),
            format!("invalid value: UDP: {AT}.ports.protocol"),
        ),
        (
            port(json!({"containerPort": 8080, "protocol": "tcp"})),
            format!("invalid value: tcp: {AT}.ports.protocol"),
        ),
        (
            port(json!({"containerPort": 8080, "hostPort": 80})),
            format!("must not set the field(s): {AT}.ports.hostPort"),
        ),
        (
            port(json!({"containerPort": 8080, "hostIP": "127.0.0.1", "hostPort": 80})),
            format!("must not set the field(s): {AT}.ports.hostIP, {AT}.ports.hostPort"),
        ),
    ]);
    taken([
        port(json!({})),
        port(json!({"containerPort": 0})),
        port(json!({"containerPort": 1, "protocol": "TCP"})),
        port(json!({"containerPort": 65535, "name": "http1"})),
        port(json!({"containerPort": 50051, "name": "h2c"})),
        with(&json!({"ports": []})),
    ]);
}

#[test]
fn what_a_process_may_be_is_bounded() {
    let context = |fields: Value| with(&json!({"securityContext": fields}));
    let forbidden = |fields: Value, names: &[&str]| {
        let paths: Vec<String> = names
            .iter()
            .map(|name| format!("{AT}.securityContext.{name}"))
            .collect();
        (
            context(fields),
            format!("must not set the field(s): {}", paths.join(", ")),
        )
    };
    refused([
        forbidden(json!({"privileged": true}), &["privileged"]),
        forbidden(json!({"procMount": "Unmasked"}), &["procMount"]),
        forbidden(
            json!({"seLinuxOptions": {"level": "s0"}}),
            &["seLinuxOptions"],
        ),
        forbidden(
            json!({"windowsOptions": {"runAsUserName": "x"}}),
            &["windowsOptions"],
        ),
        forbidden(
            json!({"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}),
            &["capabilities.add"],
        ),
        forbidden(
            json!({"privileged": true, "procMount": "Default"}),
            &["privileged", "procMount"],
        ),
        (
            context(json!({"runAsUser": -7})),
            format!("expected 0 <= -7 <= 2147483647: {AT}.securityContext.runAsUser"),
        ),
        (
            context(json!({"runAsUser": 4_294_967_296_i64})),
            format!("expected 0 <= 4294967296 <= 2147483647: {AT}.securityContext.runAsUser"),
        ),
        (
            context(json!({"runAsGroup": -1})),
            format!("expected 0 <= -1 <= 2147483647: {AT}.securityContext.runAsGroup"),
        ),
    ]);
    taken([context(json!({
        "runAsUser": 0, "runAsGroup": 2_147_483_647, "runAsNonRoot": false, "privileged": false,
        "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
        "seccompProfile": {"type": "RuntimeDefault"}, "capabilities": {"drop": ["ALL"]},
    }))]);
}

#[test]
fn amounts_are_quantities() {
    let at = format!("{AT}.resources");
    refused([
        (
            with(&json!({"resources": {"limits": {"memory": "much"}}})),
            format!("invalid value: much: {at}.limits[memory]"),
        ),
        (
            with(&json!({"resources": {"requests": {"cpu": "-1"}}})),
            format!("invalid value: -1: {at}.requests[cpu]"),
        ),
        (
            with(&json!({"resources": {"claims": [{"name": "gpu"}]}})),
            format!("must not set the field(s): {at}.claims"),
        ),
    ]);
    taken([
        with(
            &json!({"resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}, "requests": {"cpu": 0.5}}}),
        ),
        with(&json!({"resources": {"limits": {"ephemeral-storage": "10G"}}})),
        with(&json!({"resources": {}})),
    ]);
}

#[test]
fn other_words_of_a_container_are_checked() {
    refused([
        (
            with(&json!({"name": "queue-proxy"})),
            format!("\"queue-proxy\" is a reserved container name: {AT}.name"),
        ),
        (
            with(&json!({"terminationMessagePolicy": "Never"})),
            format!("invalid value: Never: {AT}.terminationMessagePolicy"),
        ),
    ]);
    let forbidden = |field: &str, value: Value| {
        let mut fields = json!({});
        fields[field] = value;
        (
            with(&fields),
            format!("must not set the field(s): {AT}.{field}"),
        )
    };
    refused([
        forbidden(
            "lifecycle",
            json!({"preStop": {"exec": {"command": ["x"]}}}),
        ),
        forbidden("stdin", json!(true)),
        forbidden("stdinOnce", json!(true)),
        forbidden("tty", json!(true)),
        forbidden(
            "volumeDevices",
            json!([{"name": "a", "devicePath": "/dev/a"}]),
        ),
        forbidden("resizePolicy", json!([{"resourceName": "cpu"}])),
        forbidden("restartPolicy", json!("Always")),
    ]);
    taken([with(&json!({
        "name": "app", "command": ["/bin/app"], "args": ["--fast"], "workingDir": "/srv",
        "terminationMessagePath": "/dev/x", "terminationMessagePolicy": "FallbackToLogsOnError",
        "imagePullPolicy": "Always",
    }))]);
}

#[test]
fn of_several_containers_one_has_the_port() {
    let app = || json!({"image": "app", "ports": [{"containerPort": 8080}]});
    let beside = || json!({"image": "beside"});
    let all = "spec.template.spec.containers[*]";
    refused([
        (
            with_all(&[beside(), beside()]),
            format!("missing field(s): {all}.ports"),
        ),
        (
            with_all(&[app(), app()]),
            format!(
                "more than one container port is set: {all}.ports\nOnly a single port is allowed across all containers"
            ),
        ),
        (
            with_all(&[
                json!({"image": "app", "ports": [{"containerPort": 1}, {"containerPort": 2}]}),
                beside(),
            ]),
            format!(
                "more than one container port is set: {all}.ports\nOnly a single port is allowed across all containers"
            ),
        ),
        (
            with_all(&[
                json!({"image": "app", "name": "a", "ports": [{"containerPort": 1}]}),
                json!({"image": "beside", "name": "a"}),
            ]),
            "duplicate container name \"a\": spec.template.spec.containers[1].name".to_owned(),
        ),
        (
            with_all(&[app(), json!({})]),
            "missing field(s): spec.template.spec.containers[1].image".to_owned(),
        ),
        (
            with_all(&[app(), json!({"image": "b", "env": [{"name": "K_SERVICE"}]})]),
            "\"K_SERVICE\" is a reserved environment variable: spec.template.spec.containers[1].env[0].name".to_owned(),
        ),
        (
            with_all(&[app(), json!({"image": "b", "name": "queue-proxy"})]),
            "\"queue-proxy\" is a reserved container name: spec.template.spec.containers[1].name".to_owned(),
        ),
        (
            with_all(&[]),
            "missing field(s): spec.template.spec.containers".to_owned(),
        ),
        (
            service(&json!({"template": {}})),
            "missing field(s): spec.template.spec.containers".to_owned(),
        ),
    ]);
    taken([
        with_all(&[app(), beside(), beside()]),
        // Only the one that serves is told a port.
        with_all(&[
            beside(),
            app(),
            json!({"image": "c", "env": [{"name": "PORT", "value": "9"}]}),
        ]),
    ]);
}

#[test]
fn fields_of_a_pod_that_reach_beyond_the_function_are_refused() {
    let pod = |field: &str, value: Value| {
        let mut object = with(&json!({}));
        object["spec"]["template"]["spec"][field] = value;
        (
            object,
            format!("must not set the field(s): spec.template.spec.{field}"),
        )
    };
    refused([
        pod("activeDeadlineSeconds", json!(5)),
        pod("affinity", json!({"nodeAffinity": {}})),
        pod("automountServiceAccountToken", json!(true)),
        pod("dnsConfig", json!({"nameservers": ["1.1.1.1"]})),
        pod("dnsPolicy", json!("Default")),
        pod("hostAliases", json!([{"ip": "1.2.3.4"}])),
        pod("hostIPC", json!(true)),
        pod("hostname", json!("a")),
        pod("nodeName", json!("a")),
        pod("priority", json!(1)),
        pod("priorityClassName", json!("high")),
        pod("schedulerName", json!("other")),
        pod("securityContext", json!({"fsGroup": 5})),
        pod("shareProcessNamespace", json!(true)),
        pod("subdomain", json!("a")),
        pod("terminationGracePeriodSeconds", json!(5)),
        pod("tolerations", json!([{"key": "a"}])),
        pod("topologySpreadConstraints", json!([{"maxSkew": 1}])),
    ]);
    let account = |name: &str| {
        let mut object = with(&json!({}));
        object["spec"]["template"]["spec"]["serviceAccountName"] = json!(name);
        object
    };
    refused([(
        account("not a name"),
        "invalid value: not a name: spec.template.spec.serviceAccountName\n\
         a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
         and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    )]);
    let mut quiet = account("builder.v1");
    quiet["spec"]["template"]["spec"]["automountServiceAccountToken"] = json!(false);
    quiet["spec"]["template"]["spec"]["imagePullSecrets"] = json!([{"name": "regcred"}]);
    taken([quiet, account("")]);
}
