//! What stands behind the question mark.

use std::time::Duration;

use api::Resource;
use axum::extract::Query;
use http::Uri;

use super::{
    error::Failure,
    field_selector::FieldSelector,
    page::Continue,
    selector::{self, Selector},
};

/// How a list or a watch is narrowed down, and where a watch begins.
#[derive(Debug)]
pub(super) struct ListOptions {
    pub(super) labels: Selector,
    pub(super) fields: FieldSelector,
    pub(super) watch: bool,
    /// None where it is not given; 0 is "any".
    pub(super) resource_version: Option<u64>,
    /// `resourceVersionMatch=Exact`.
    pub(super) exact: bool,
    /// Objects of one page at most; none where it is not given.
    pub(super) limit: Option<usize>,
    /// Where the page before ended.
    pub(super) resume: Option<Continue>,
    pub(super) timeout: Option<Duration>,
    pub(super) bookmarks: bool,
    /// The watch begins with everything there is, and a bookmark after it.
    pub(super) initial_events: bool,
    /// Which part of an object goes with a row of a table.
    pub(super) include_object: IncludeObject,
}

/// `includeObject` of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IncludeObject {
    None,
    Metadata,
    Object,
}

/// How a write is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WriteOptions {
    pub(super) dry_run: bool,
    pub(super) validation: FieldValidation,
    /// Who writes, if it is said.
    pub(super) manager: Option<String>,
    /// Whether an apply takes what others own.
    pub(super) force: bool,
    /// `propagationPolicy` of a deletion; empty where it is not given.
    pub(super) propagation: String,
}

/// What becomes of fields that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

impl ListOptions {
    pub(super) fn parse(uri: &Uri, resource: &Resource) -> Result<Self, Failure> {
        let parameters = Parameters::parse(uri)?;
        let initial_events = parameters.flag("sendInitialEvents");
        let exact = match parameters.text("resourceVersionMatch") {
            "Exact" => true,
            "" | "NotOlderThan" => false,
            other => {
                return Err(Failure::bad_request(format!(
                    "resourceVersionMatch: Unsupported value: {other:?}"
                )));
            }
        };
        let resource_version = parameters.number("resourceVersion")?;
        let resume = match parameters.text("continue") {
            "" => None,
            _ if resource_version.is_some_and(|version| version > 0) => {
                return Err(Failure::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            token => Some(Continue::parse(token)?),
        };
        Ok(Self {
            labels: Selector::parse(parameters.text("labelSelector"))
                .map_err(|error: selector::Error| Failure::bad_request(error.to_string()))?,
            fields: FieldSelector::parse(parameters.text("fieldSelector"), resource)
                .map_err(|error| Failure::bad_request(error.to_string()))?,
            watch: parameters.flag("watch"),
            resource_version,
            exact,
            limit: parameters
                .number("limit")?
                .filter(|limit| *limit > 0)
                .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            resume,
            timeout: parameters
                .number("timeoutSeconds")?
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            bookmarks: parameters.flag("allowWatchBookmarks"),
            initial_events,
            include_object: parameters.include_object()?,
        })
    }
}

/// The part of an object that goes with a row, for a read of one object.
pub(super) fn include_object(uri: &Uri) -> Result<IncludeObject, Failure> {
    Parameters::parse(uri)?.include_object()
}

impl WriteOptions {
    pub(super) fn parse(uri: &Uri) -> Result<Self, Failure> {
        let parameters = Parameters::parse(uri)?;
        let validation = match parameters.text("fieldValidation") {
            "Ignore" => FieldValidation::Ignore,
            "" | "Warn" => FieldValidation::Warn,
            "Strict" => FieldValidation::Strict,
            other => {
                return Err(Failure::bad_request(format!(
                    "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
                )));
            }
        };
        Ok(Self {
            dry_run: dry_run(
                parameters
                    .0
                    .iter()
                    .filter(|(name, _)| name == "dryRun")
                    .map(|(_, value)| value.as_str()),
            )?,
            validation,
            manager: Some(parameters.text("fieldManager"))
                .filter(|manager| !manager.is_empty())
                .map(str::to_owned),
            force: parameters.flag("force"),
            propagation: parameters.text("propagationPolicy").to_owned(),
        })
    }
}

/// Reads `dryRun`, which may be nothing or `All`.
pub(super) fn dry_run<'a>(values: impl Iterator<Item = &'a str>) -> Result<bool, Failure> {
    let mut dry = false;
    for value in values {
        match value {
            "All" => dry = true,
            "" => {}
            other => {
                return Err(Failure::bad_request(format!(
                    "dryRun: Unsupported value: {other:?}: supported values: \"All\""
                )));
            }
        }
    }
    Ok(dry)
}

struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn parse(uri: &Uri) -> Result<Self, Failure> {
        Query::try_from_uri(uri)
            .map(|Query(parameters)| Self(parameters))
            .map_err(|error| Failure::bad_request(error.to_string()))
    }

    /// The first value; empty where there is none.
    fn text(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// True unless it is missing, `false` or `0` (`k8s.io/apimachinery/pkg/runtime/conversion.go`).
    fn flag(&self, name: &str) -> bool {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .is_some_and(|(_, value)| !value.eq_ignore_ascii_case("false") && value != "0")
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        match self.text(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Failure::bad_request(format!(
                    "{name}: Invalid value: {text:?}: must be a number, 0 or more"
                ))
            }),
        }
    }

    fn include_object(&self) -> Result<IncludeObject, Failure> {
        match self.text("includeObject") {
            "None" => Ok(IncludeObject::None),
            "" | "Metadata" => Ok(IncludeObject::Metadata),
            "Object" => Ok(IncludeObject::Object),
            other => Err(Failure::bad_request(format!(
                "includeObject: Unsupported value: {other:?}: supported values: \"None\", \"Metadata\", \"Object\""
            ))),
        }
    }
}
