//! Which of the header fields that the rules speak of a message has, found in one pass: a handful of fields
//! is compared faster than a score of names is hashed.

use http::HeaderMap;

/// A set of [`Field`]s.
#[derive(Clone, Copy)]
pub(crate) struct Fields(u32);

#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Field {
    Connection,
    ContentType,
    Cookie,
    Expect,
    Explain,
    Forwarded,
    ForwardedFor,
    ForwardedHost,
    ForwardedProto,
    KeepAlive,
    NetworkProbe,
    ProxyConnection,
    ServingNamespace,
    ServingRevision,
    Te,
    TransferEncoding,
    Upgrade,
    UserAgent,
}

impl Fields {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let bit =
            |name: &http::HeaderName| field(name.as_str()).map_or(0, |field| 1 << field as u32);
        Self(headers.keys().fold(0, |set, name| set | bit(name)))
    }

    pub(crate) fn has(self, field: Field) -> bool {
        self.0 & 1 << field as u32 != 0
    }
}

fn field(name: &str) -> Option<Field> {
    Some(match name {
        "connection" => Field::Connection,
        "content-type" => Field::ContentType,
        "cookie" => Field::Cookie,
        "expect" => Field::Expect,
        "vhive-explain" => Field::Explain,
        "forwarded" => Field::Forwarded,
        "x-forwarded-for" => Field::ForwardedFor,
        "x-forwarded-host" => Field::ForwardedHost,
        "x-forwarded-proto" => Field::ForwardedProto,
        "keep-alive" => Field::KeepAlive,
        "k-network-probe" => Field::NetworkProbe,
        "proxy-connection" => Field::ProxyConnection,
        "knative-serving-namespace" => Field::ServingNamespace,
        "knative-serving-revision" => Field::ServingRevision,
        "te" => Field::Te,
        "transfer-encoding" => Field::TransferEncoding,
        "upgrade" => Field::Upgrade,
        "user-agent" => Field::UserAgent,
        _ => return None,
    })
}
