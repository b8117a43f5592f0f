//! Lists in pieces: `limit` and `continue`.
//!
//! All pages of a list show one moment: the token names it, and the store takes back what has happened since. When its log
//! does not reach back that far the token has expired, and the client begins again.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{error::Failure, query::ListOptions};
use crate::store::List;

/// What a `continue` token says; opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Continue {
    /// The moment that all pages show.
    #[serde(rename = "rv")]
    pub(super) resource_version: u64,
    /// Key of the last object of the page before.
    after: String,
}

/// What stands behind a page.
#[derive(Debug, Default)]
pub(super) struct Page {
    next: Option<Continue>,
    remaining: Option<usize>,
}

impl Continue {
    pub(super) fn parse(token: &str) -> Result<Self, Failure> {
        URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| Failure::bad_request("continue key is not valid"))
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl Page {
    /// Writes the token, and how many objects are behind it, into the metadata of a list.
    pub(super) fn describe(&self, metadata: &mut Value) {
        if let Some(next) = &self.next {
            metadata["continue"] = next.text().into();
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
}

/// Leaves the page that was asked for.
pub(super) fn cut(mut list: List, options: &ListOptions) -> (List, Page) {
    if let Some(resume) = &options.resume {
        let after = resume.after.as_str();
        list.objects.retain(|object| object.key().as_str() > after);
    }
    let limit = options.limit.unwrap_or(usize::MAX);
    let remaining = list.objects.len().saturating_sub(limit);
    if remaining == 0 {
        return (list, Page::default());
    }
    list.objects.truncate(limit);
    let next = list.objects.last().map(|last| Continue {
        resource_version: list.resource_version,
        after: last.key().as_str().to_owned(),
    });
    // Upstream does not count what a selector would have to look at; here it is known, but clients expect the absence.
    let counted = options.labels.is_everything() && options.fields.is_everything();
    let remaining = counted.then_some(remaining);
    (list, Page { next, remaining })
}

/// The log no longer reaches back to the moment of a token.
pub(super) fn expired() -> Failure {
    let message = "The provided continue parameter is too old to display a consistent list result. You must start a new \
                   list without the continue parameter.";
    Failure::new(StatusCode::GONE, "Expired", message)
}
