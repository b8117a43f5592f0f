//! From text to a value, with the paths of fields that are there twice: the last of them counts, and whoever asks for strict
//! validation is told (`sigs.k8s.io/json`, `UnmarshalStrict`).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// More of them are not told.
const MOST: usize = 100;

/// What a text says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Document {
    pub(super) value: Value,
    /// Paths of fields that are there more than once, such as `spec.traffic[0].tag`; each once, in the order of the text.
    pub(super) duplicates: Vec<String>,
}

impl Document {
    /// Reads JSON.
    pub(super) fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let document = Self::read(&mut deserializer)?;
        deserializer.end()?;
        Ok(document)
    }

    /// Reads YAML.
    pub(super) fn from_yaml(text: &[u8]) -> Result<Self, serde_yaml_ng::Error> {
        Self::read(serde_yaml_ng::Deserializer::from_slice(text))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut place = Place::default();
        let value = Reader(&mut place).deserialize(deserializer)?;
        Ok(Self {
            value,
            duplicates: place.duplicates,
        })
    }
}

enum Step {
    Field(String),
    Index(usize),
}

/// Where the reader is, and what it met twice.
#[derive(Default)]
struct Place {
    path: Vec<Step>,
    duplicates: Vec<String>,
}

impl Place {
    /// Notes that the field where the reader is was there before.
    fn again(&mut self) {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => path = format!("{path}[{index}]"),
                Step::Field(name) if path.is_empty() => path.clone_from(name),
                Step::Field(name) => path = format!("{path}.{name}"),
            }
        }
        if self.duplicates.len() < MOST && !self.duplicates.contains(&path) {
            self.duplicates.push(path);
        }
    }
}

struct Reader<'a>(&'a mut Place);

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            self.0.path.push(Step::Index(list.len()));
            let item = items.next_element_seed(Reader(self.0))?;
            self.0.path.pop();
            match item {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            self.0.path.push(Step::Field(name.clone()));
            if object.contains_key(&name) {
                self.0.again();
            }
            let value = fields.next_value_seed(Reader(self.0))?;
            self.0.path.pop();
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_there_twice_is_told_by_its_path_and_the_last_counts() {
        let text = br#"{"a": 1, "b": [{"c": 1, "c": 2}, {"d": {"e": 1, "e": 1, "e": 3}}], "a": 2}"#;
        let document = Document::from_json(text).unwrap();
        assert_eq!(
            document.value,
            json!({"a": 2, "b": [{"c": 2}, {"d": {"e": 3}}]})
        );
        assert_eq!(document.duplicates, ["b[0].c", "b[1].d.e", "a"]);
        let yaml = Document::from_yaml(b"spec:\n  x: 1\n  x: 2\nlist:\n- a: 1\n  a: 2\n").unwrap();
        assert_eq!(yaml.value, json!({"spec": {"x": 2}, "list": [{"a": 2}]}));
        assert_eq!(yaml.duplicates, ["spec.x", "list[0].a"]);
        let patch = Document::from_json(br#"[{"op": "test", "op": "add"}]"#).unwrap();
        assert_eq!(patch.duplicates, ["[0].op"]);
    }

    #[test]
    fn what_is_no_text_of_its_kind_is_refused() {
        for text in ["", "{", "{} {}", "{\"a\" 1}", "[1,]"] {
            assert!(Document::from_json(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["a: b: c", "a: !x y", "--- {}\n--- {}\n", "1: x\n? [a]\n: b"] {
            assert!(Document::from_yaml(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_the_library_reads_it(text in "[\\[\\]{}:,\"ab01.eE \\\\-]{0,24}") {
            let library = serde_json::from_slice::<Value>(text.as_bytes());
            let read = Document::from_json(text.as_bytes()).map(|document| document.value);
            prop_assert_eq!(read.ok(), library.ok());
        }
    }
}
