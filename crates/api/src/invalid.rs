//! What is wrong with an object of a core kind, worded as Kubernetes words it (`k8s.io/apimachinery`
//! `pkg/util/validation/field`) and answered with status 422.

use std::fmt::Display;

use crate::resource::Resource;
use crate::status::{Status, StatusCause};

/// All that is wrong with one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Invalid(Vec<StatusCause>);

impl Invalid {
    /// A value that may not be.
    pub(crate) fn value(&mut self, field: impl Into<String>, value: &str, why: impl Display) {
        let message = format!("Invalid value: {value:?}: {why}");
        self.add("FieldValueInvalid", field, message);
    }

    /// A secret value that may not be.
    pub(crate) fn secret_value(&mut self, field: impl Into<String>, why: impl Display) {
        self.value(field, "<secret contents redacted>", why);
    }

    /// A field that has to be there.
    pub(crate) fn required(&mut self, field: impl Into<String>) {
        self.add("FieldValueRequired", field, "Required value".to_owned());
    }

    /// A field that may not be as it is now.
    pub(crate) fn forbidden(&mut self, field: impl Into<String>, why: impl Display) {
        self.add("FieldValueForbidden", field, format!("Forbidden: {why}"));
    }

    /// More than there may be.
    pub(crate) fn too_long(&mut self, field: impl Into<String>, most: usize) {
        let message = format!("Too long: may not be more than {most} bytes");
        self.add("FieldValueTooLong", field, message);
    }

    fn add(&mut self, reason: &str, field: impl Into<String>, message: String) {
        self.0.push(StatusCause {
            reason: reason.to_owned(),
            message,
            field: field.into(),
        });
    }

    /// The refusal, if there is something wrong.
    pub(crate) fn into_result(self, resource: &Resource, name: &str) -> Result<(), Status> {
        let texts: Vec<String> = self
            .0
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        let what = match texts.as_slice() {
            [] => return Ok(()),
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        Err(Status::invalid(resource, name, &what, self.0))
    }
}
