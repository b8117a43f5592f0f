//! Namespaces (k8s.io/kubernetes `pkg/apis/core/validation/validation.go`).

use super::name;
use crate::core::Namespace;
use crate::invalid::Invalid;
use crate::resource::NAMESPACES;
use crate::status::Status;

/// Checks a Namespace: its name is a label of host names.
pub fn validate_namespace(namespace: &Namespace) -> Result<(), Status> {
    let mut invalid = Invalid::default();
    let name = namespace.metadata.name.as_str();
    for problem in name::dns_1123_label(name) {
        invalid.value("metadata.name", name, problem);
    }
    for (index, finalizer) in namespace.spec.finalizers.iter().enumerate() {
        for problem in name::qualified(finalizer) {
            invalid.value(format!("spec.finalizers[{index}]"), finalizer, problem);
        }
    }
    invalid.into_result(&NAMESPACES, name)
}
