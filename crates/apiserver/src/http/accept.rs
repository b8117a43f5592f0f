//! In which form an answer is wanted (RFC 9110 §12.5.1, with the parameters that Kubernetes adds).

use http::{HeaderMap, header::ACCEPT};

use super::error::Failure;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The object or list as it is.
    Json,
    /// A table with the columns that `kubectl get` prints.
    Table,
    /// All groups in one document, for discovery; with the version of the form.
    AggregatedDiscovery(&'static str),
}

/// The first form that a client names and `offered` has. Quality values do not count, as in Kubernetes.
pub(super) fn negotiate(headers: &HeaderMap, offered: &[Form]) -> Result<Form, Failure> {
    let mut named = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .peekable();
    if named.peek().is_none() {
        return Ok(Form::Json);
    }
    named
        .filter_map(form)
        .find(|form| *form == Form::Json || offered.contains(form))
        .ok_or_else(Failure::not_acceptable)
}

fn form(range: &str) -> Option<Form> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next()?;
    if !matches!(media, "application/json" | "application/*" | "*/*") {
        return None;
    }
    let (mut shape, mut group, mut version) = ("", "", "");
    for parameter in parts {
        match parameter.split_once('=') {
            Some(("as", value)) => shape = value,
            Some(("g", value)) => group = value,
            Some(("v", value)) => version = value,
            _ => {}
        }
    }
    match (shape, group, version) {
        ("", _, _) => Some(Form::Json),
        ("Table", "meta.k8s.io", "v1") => Some(Form::Table),
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => {
            Some(Form::AggregatedDiscovery("v2"))
        }
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1") => {
            Some(Form::AggregatedDiscovery("v2beta1"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(accept: &str, offered: &[Form]) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        negotiate(&headers, offered).ok()
    }

    #[test]
    fn the_first_form_on_offer_is_taken() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let discovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let tables = [Form::Table];
        let cases: [(&str, &[Form], Option<Form>); 11] = [
            ("", &[], Some(Form::Json)),
            ("*/*", &[], Some(Form::Json)),
            ("application/json, */*", &tables, Some(Form::Json)),
            ("application/json;q=0.9", &[], Some(Form::Json)),
            (
                "application/vnd.kubernetes.protobuf,application/json",
                &[],
                Some(Form::Json),
            ),
            (table, &tables, Some(Form::Table)),
            (table, &[], None),
            (&format!("{table},application/json"), &[], Some(Form::Json)),
            (
                "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
                &tables,
                None,
            ),
            (
                discovery,
                &[Form::AggregatedDiscovery("v2")],
                Some(Form::AggregatedDiscovery("v2")),
            ),
            ("text/html", &[], None),
        ];
        for (accept, offered, form) in cases {
            assert_eq!(read(accept, offered), form, "{accept}");
        }
    }
}
