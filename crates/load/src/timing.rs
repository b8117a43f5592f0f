//! Cold or warm, as the gateway tells in a Server-Timing field (<https://www.w3.org/TR/server-timing/>) when it is asked to.

use http::HeaderMap;

use crate::Start;

/// The request header that asks.
pub(crate) const EXPLAIN: &str = "vhive-explain";

/// Phases that also a request has that waits for no start.
const OF_ALL: [&str; 3] = ["queue", "connect", "first-byte"];

/// How the instance came to be there. A function may have a field of this name too: the gateway's is the one that has a first byte.
pub(crate) fn start(headers: &HeaderMap) -> Start {
    let fields = headers.get_all("server-timing").iter();
    let mut fields = fields.filter_map(|value| value.to_str().ok());
    let Some(field) = fields.find(|field| phases(field).any(|phase| phase == "first-byte")) else {
        return Start::Unknown;
    };
    if phases(field).any(|phase| !OF_ALL.contains(&phase)) {
        Start::Cold
    } else {
        Start::Warm
    }
}

fn phases(field: &str) -> impl Iterator<Item = &str> {
    field
        .split(',')
        .filter_map(|metric| metric.split(';').next())
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fields: &[&'static str]) -> Start {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append("server-timing", http::HeaderValue::from_static(field));
        }
        start(&headers)
    }

    #[test]
    fn cold_is_what_waited_for_a_phase_of_a_start() {
        let warm = "connect;dur=0.000, first-byte;dur=1.234";
        assert_eq!(told(&[warm]), Start::Warm);
        assert_eq!(
            told(&["queue;dur=3.0, connect;dur=0.1, first-byte;dur=1"]),
            Start::Warm
        );
        assert_eq!(
            told(&["queue;dur=3.0, load;dur=80.0, connect;dur=0.1, first-byte;dur=1"]),
            Start::Cold
        );
        assert_eq!(told(&["db;dur=3.0", warm]), Start::Warm);
        assert_eq!(told(&["db;dur=3.0"]), Start::Unknown);
        assert_eq!(told(&[]), Start::Unknown);
    }
}
