//! How many requests at once, and how long they may take.

use serde_json::{Value, json};

use super::{refused, sound, taken};
use crate::admit;
use crate::resource::SERVICES;

fn spec(fields: &Value) -> Value {
    sound(&json!({"spec": {"template": {"spec": fields}}}))
}

#[test]
fn concurrency_and_times_are_bounded() {
    let at = "spec.template.spec";
    let cases = [
        ("containerConcurrency", -1, 1000),
        ("containerConcurrency", 1001, 1000),
        ("timeoutSeconds", -30, 600),
        ("timeoutSeconds", 601, 600),
        ("responseStartTimeoutSeconds", -1, 600),
        ("responseStartTimeoutSeconds", 1000, 600),
        ("idleTimeoutSeconds", -1, 600),
        ("idleTimeoutSeconds", 601, 600),
    ];
    refused(cases.into_iter().map(|(field, value, most)| {
        let mut fields = json!({});
        fields[field] = json!(value);
        (
            spec(&fields),
            format!("expected 0 <= {value} <= {most}: {at}.{field}"),
        )
    }));
    refused([(
        spec(
            &json!({"timeoutSeconds": 700, "idleTimeoutSeconds": 700, "containerConcurrency": 2000}),
        ),
        format!(
            "expected 0 <= 2000 <= 1000: {at}.containerConcurrency\n\
             expected 0 <= 700 <= 600: {at}.idleTimeoutSeconds, {at}.timeoutSeconds"
        ),
    )]);
    taken([
        spec(&json!({"containerConcurrency": 0, "timeoutSeconds": 0})),
        spec(
            &json!({"containerConcurrency": 1000, "timeoutSeconds": 600, "idleTimeoutSeconds": 600}),
        ),
        // Whichever comes first ends a request.
        spec(
            &json!({"timeoutSeconds": 10, "responseStartTimeoutSeconds": 20, "idleTimeoutSeconds": 30}),
        ),
    ]);
}

#[test]
fn a_request_that_may_take_long_must_begin_to_be_answered() {
    for (given, timeout, start) in [
        (json!({}), 300, Value::Null),
        (json!({"timeoutSeconds": 0}), 300, Value::Null),
        (json!({"timeoutSeconds": 300}), 300, Value::Null),
        (json!({"timeoutSeconds": 301}), 301, json!(300)),
        (
            json!({"timeoutSeconds": 600, "responseStartTimeoutSeconds": 0}),
            600,
            json!(0),
        ),
        (
            json!({"timeoutSeconds": 600, "responseStartTimeoutSeconds": 450}),
            600,
            json!(450),
        ),
    ] {
        let mut object = spec(&given);
        admit(&SERVICES, &mut object, None).unwrap();
        let spec = &object["spec"]["template"]["spec"];
        assert_eq!(spec["timeoutSeconds"], timeout, "{given}");
        assert_eq!(spec["responseStartTimeoutSeconds"], start, "{given}");
        assert_eq!(spec["idleTimeoutSeconds"], Value::Null, "{given}");
    }
}
