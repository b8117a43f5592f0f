//! Namespaces on their way into the store.

use serde_json::{Value, json};

use crate::resource::NAMESPACES;
use crate::{admit, unknown_fields};

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

#[test]
fn a_namespace_is_labelled_with_its_name_and_held() {
    let mut new = namespace("team");
    new["spec"] = json!({"finalizers": ["example.com/other"]});
    admit(&NAMESPACES, &mut new, None).unwrap();
    assert_eq!(
        new["metadata"]["labels"],
        json!({"kubernetes.io/metadata.name": "team"})
    );
    assert_eq!(
        new["spec"]["finalizers"],
        json!(["kubernetes"]),
        "nobody else could take his own away"
    );
    let mut edited = namespace("team");
    admit(&NAMESPACES, &mut edited, Some(&new)).unwrap();
    assert_eq!(edited["spec"], new["spec"], "a write does not let it go");
}

#[test]
fn its_name_is_a_label_of_hosts() {
    for name in ["a", "a-1", "1a", &"a".repeat(63)] {
        admit(&NAMESPACES, &mut namespace(name), None).unwrap();
    }
    for (name, why) in [
        ("a.b", "a lowercase RFC 1123 label"),
        ("A", "a lowercase RFC 1123 label"),
        ("-a", "a lowercase RFC 1123 label"),
        (&"a".repeat(64), "must be no more than 63 characters"),
    ] {
        let status = admit(&NAMESPACES, &mut namespace(name), None).unwrap_err();
        assert_eq!(status.code, 422);
        assert!(status.message.contains(why), "{status}");
    }
}

#[test]
fn fields_that_it_does_not_have_are_named() {
    let mut odd = namespace("a");
    odd["spec"] = json!({"size": 1});
    assert_eq!(unknown_fields(&NAMESPACES, &odd), ["spec.size"]);
}
