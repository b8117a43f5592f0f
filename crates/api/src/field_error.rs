//! Errors of validation, worded as Knative words them: `Message: sorted,paths` and, on a line of its own, details.

use std::collections::BTreeMap;
use std::fmt;

/// All errors of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldErrors(BTreeMap<(String, String), Vec<String>>);

impl FieldErrors {
    /// No error.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an error at `path`. Errors of one message are told together.
    pub fn add(&mut self, message: impl Into<String>, path: impl Into<String>) {
        self.add_with_details(message, path, "");
    }

    /// Adds one error about several places.
    pub fn add_all(&mut self, message: impl Into<String>, paths: impl IntoIterator<Item = String>) {
        let message = message.into();
        for path in paths {
            self.add(message.clone(), path);
        }
    }

    /// Takes over the errors of `other`.
    pub fn merge(&mut self, other: Self) {
        for ((message, details), paths) in other.0 {
            for path in paths {
                self.add_with_details(message.clone(), path, details.clone());
            }
        }
    }

    /// The errors, if there are any.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Adds an error with details.
    pub fn add_with_details(
        &mut self,
        message: impl Into<String>,
        path: impl Into<String>,
        details: impl Into<String>,
    ) {
        let paths = self.0.entry((message.into(), details.into())).or_default();
        let path = path.into();
        if let Err(index) = paths.binary_search(&path) {
            paths.insert(index, path);
        }
    }

    /// `missing field(s)`.
    pub fn missing(&mut self, path: impl Into<String>) {
        self.add("missing field(s)", path);
    }

    /// `must not set the field(s)`.
    pub fn disallowed(&mut self, path: impl Into<String>) {
        self.add("must not set the field(s)", path);
    }

    /// `expected LOW <= VALUE <= HIGH`.
    pub fn out_of_bounds(
        &mut self,
        value: impl fmt::Display,
        low: impl fmt::Display,
        high: impl fmt::Display,
        path: impl Into<String>,
    ) {
        self.add(format!("expected {low} <= {value} <= {high}"), path);
    }

    /// `invalid value: VALUE`.
    pub fn invalid_value(&mut self, value: impl fmt::Display, path: impl Into<String>) {
        self.add(format!("invalid value: {value}"), path);
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, ((message, details), paths)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{message}: {}", paths.join(", "))?;
            if !details.is_empty() {
                write!(f, "\n{details}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for FieldErrors {}
