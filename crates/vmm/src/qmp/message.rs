//! Lines of JSON, told apart.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Event;

/// A line of QEMU's.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    Greeting,
    Return {
        id: Option<u64>,
        value: Value,
    },
    Error {
        id: Option<u64>,
        class: String,
        description: String,
    },
    Event(Event),
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "QMP")]
    greeting: Option<Value>,
    id: Option<u64>,
    #[serde(rename = "return")]
    value: Option<Value>,
    error: Option<Refusal>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Refusal {
    class: String,
    desc: String,
}

pub(super) fn parse(line: &[u8]) -> Result<Message, serde_json::Error> {
    let line: Line = serde_json::from_slice(line)?;
    if line.greeting.is_some() {
        return Ok(Message::Greeting);
    }
    if let Some(name) = line.event {
        return Ok(Message::Event(Event {
            name,
            data: line.data,
        }));
    }
    Ok(match line.error {
        Some(error) => Message::Error {
            id: line.id,
            class: error.class,
            description: error.desc,
        },
        None => Message::Return {
            id: line.id,
            value: line.value.unwrap_or_default(),
        },
    })
}

/// A command, as a line.
pub(super) fn command(id: u64, name: &str, arguments: Option<Value>) -> Vec<u8> {
    let mut command = json!({ "execute": name, "id": id });
    if let Some(arguments) = arguments {
        command["arguments"] = arguments;
    }
    let mut line = command.to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_line_is_told_apart() {
        let greeting = br#"{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}"#;
        assert_eq!(parse(greeting).unwrap(), Message::Greeting);
        let value = json!({});
        assert_eq!(
            parse(br#"{"return": {}, "id": 3}"#).unwrap(),
            Message::Return { id: Some(3), value }
        );
        assert_eq!(
            parse(br#"{"id": 4, "error": {"class": "GenericError", "desc": "no"}}"#).unwrap(),
            Message::Error {
                id: Some(4),
                class: "GenericError".into(),
                description: "no".into()
            }
        );
        assert_eq!(
            parse(br#"{"timestamp": {"seconds": 1}, "event": "STOP"}"#).unwrap(),
            Message::Event(Event {
                name: "STOP".into(),
                data: Value::Null
            })
        );
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        assert!(parse(b"qemu: terminating\n").is_err());
    }

    #[test]
    fn a_command_is_one_line() {
        let line = command(7, "migrate", Some(json!({ "uri": "fd:1\n" })));
        assert_eq!(line.split_inclusive(|byte| *byte == b'\n').count(), 1);
        let parsed: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(
            parsed,
            json!({ "execute": "migrate", "id": 7, "arguments": { "uri": "fd:1\n" } })
        );
    }
}
