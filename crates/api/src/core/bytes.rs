//! Bytes in JSON.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Bytes, which JSON has in base64 (RFC 4648 §4). They may be secret, so printing them shows only how many there are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    /// Ends of lines are passed over, as Go's decoder does. The error does not repeat what it could not read.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let text: String = text
            .chars()
            .filter(|it| !matches!(it, '\r' | '\n'))
            .collect();
        let decoded = STANDARD.decode(text);
        decoded
            .map(Self)
            .map_err(|_| D::Error::custom("illegal base64 data"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_over_ends_of_lines_and_written_without() {
        let bytes: Bytes = serde_json::from_str(r#""aGVs\nbG8=\n""#).unwrap();
        assert_eq!(bytes.0, b"hello");
        assert_eq!(serde_json::to_string(&bytes).unwrap(), r#""aGVsbG8=""#);
        assert_eq!(format!("{bytes:?}"), "5 bytes");
    }

    #[test]
    fn what_is_no_base64_is_refused_without_being_repeated() {
        let error = serde_json::from_str::<Bytes>(r#""pass word""#).unwrap_err();
        assert!(
            error.to_string().starts_with("illegal base64 data"),
            "{error}"
        );
    }
}
