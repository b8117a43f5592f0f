//! Changes to messages whose other fields, those that are not known here among them, stay as they are.
//!
//! Two encoded messages one after the other are one message: repeated fields go on, embedded messages merge, and of others the last
//! counts (<https://protobuf.dev/programming-guides/encoding/#last-one-wins>). So much is changed by appending.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use prost::DecodeError;
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};

/// One field as it lies in a message.
struct Field {
    number: u32,
    /// Of the whole field in the message.
    whole: Range<usize>,
    /// Of its content, if that has a length.
    content: Option<Range<usize>>,
}

fn fields(message: &[u8]) -> Result<Vec<Field>, DecodeError> {
    let mut fields = Vec::new();
    let mut rest = message;
    while rest.has_remaining() {
        let start = message.len() - rest.len();
        let (number, wire_type) = decode_key(&mut rest)?;
        let content = if wire_type == WireType::LengthDelimited {
            let mut inside = rest;
            let length = decode_varint(&mut inside)?;
            let begin = message.len() - inside.len();
            Some((begin, length))
        } else {
            None
        };
        // Finds out, too, whether it is all there.
        skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
        fields.push(Field {
            number,
            whole: start..message.len() - rest.len(),
            content: content.map(|(begin, length)| begin..begin + length as usize),
        });
    }
    Ok(fields)
}

/// The message without all fields of this number.
pub(crate) fn without(message: &[u8], number: u32) -> Result<Bytes, DecodeError> {
    let mut kept = BytesMut::with_capacity(message.len());
    for field in fields(message)? {
        if field.number != number {
            kept.extend_from_slice(&message[field.whole]);
        }
    }
    Ok(kept.freeze())
}

/// A field of bytes, a string or an embedded message.
pub(crate) fn field(number: u32, content: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(content.len() + 8);
    encode_key(number, WireType::LengthDelimited, &mut out);
    encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out.freeze()
}

/// The message with these fields after its own.
pub(crate) fn appended<'a>(message: &[u8], fields: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut out = BytesMut::from(message);
    fields.into_iter().for_each(|it| out.extend_from_slice(it));
    out.freeze()
}

/// The message with something appended to some of the embedded messages of this number: to each what `more` makes of its text in
/// field `key`.
pub(crate) fn extend_each(
    message: &[u8],
    number: u32,
    key: u32,
    more: impl Fn(&str) -> Option<Bytes>,
) -> Result<Bytes, DecodeError> {
    let mut out = BytesMut::with_capacity(message.len());
    for it in fields(message)? {
        let inner = it.content.map(|range| &message[range]);
        let extension = match inner {
            Some(inner) if it.number == number => text(inner, key)?.and_then(&more),
            _ => None,
        };
        match (inner, extension) {
            (Some(inner), Some(extension)) => {
                out.extend_from_slice(&field(number, &appended(inner, [&extension[..]])));
            }
            _ => out.extend_from_slice(&message[it.whole]),
        }
    }
    Ok(out.freeze())
}

/// The text in this field.
pub(crate) fn text(message: &[u8], number: u32) -> Result<Option<&str>, DecodeError> {
    let fields = fields(message)?;
    let last = fields.into_iter().rfind(|it| it.number == number);
    let content = last.and_then(|it| it.content);
    Ok(content.and_then(|range| str::from_utf8(&message[range]).ok()))
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::proto::runtime_v1 as cri;

    fn request() -> cri::RunPodSandboxRequest {
        cri::RunPodSandboxRequest {
            config: Some(cri::PodSandboxConfig {
                hostname: "h".into(),
                ..Default::default()
            }),
            runtime_handler: "vhive".into(),
        }
    }

    #[test]
    fn a_field_is_taken_out_and_the_others_stay_also_unknown_ones() {
        let unknown = field(77, b"later");
        let message = appended(&request().encode_to_vec(), [&unknown[..]]);
        assert_eq!(text(&message, 2).unwrap(), Some("vhive"));
        let without = without(&message, 2).unwrap();
        let read = cri::RunPodSandboxRequest::decode(without.clone()).unwrap();
        assert_eq!(read.runtime_handler, "");
        assert_eq!(read.config, request().config);
        assert!(without.ends_with(&unknown));
    }

    #[test]
    fn what_is_appended_to_one_of_several_is_read_as_part_of_it() {
        let item = |id: &str| cri::PodSandbox {
            id: id.into(),
            ..Default::default()
        };
        let list = cri::ListPodSandboxResponse {
            items: vec![item("a"), item("b")],
        };
        let extended = extend_each(&list.encode_to_vec(), 1, 1, |id| {
            (id == "b").then(|| field(7, b"vhive"))
        });
        let read = cri::ListPodSandboxResponse::decode(extended.unwrap()).unwrap();
        let handlers: Vec<_> = read.items.iter().map(|it| &*it.runtime_handler).collect();
        assert_eq!(handlers, ["", "vhive"]);
    }

    #[test]
    fn what_is_cut_off_is_an_error_and_not_a_panic() {
        let message = request().encode_to_vec();
        for length in 1..message.len() {
            // Between two fields it may be whole.
            let _ = without(&message[..length], 2);
            let _ = text(&message[..length], 2);
        }
        assert!(without(&message[..message.len() - 1], 2).is_err());
        assert!(without(&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], 2).is_err());
    }
}
