//! From text to a value, with the paths of fields that are there twice: the last of them counts, and whoever asks for strict
//! validation is told (`sigs.k8s.io/json`, `UnmarshalStrict`).
//!
//! A text is bounded by the limit of bodies, what it says is not: aliases of YAML that name lists of aliases say gigabytes in a few
//! kilobytes, and an object of one field takes a hundred times its text. So what the value takes is counted as it is read.

use std::{collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// More of them are not told.
const MOST: usize = 100;
/// Characters of a path that is told; the rest of a longer one is left out.
const LONGEST_PATH: usize = 512;
/// Bytes of memory that a value may take, about: twenty times what a body may be long.
const MEMORY: usize = 64 << 20;
/// What any value takes, with the room that a list leaves for growing.
const EACH: usize = 2 * size_of::<Value>();
/// What an object takes beside its fields: the first node of its tree has room for eleven.
const OBJECT: usize = 11 * (size_of::<Value>() + size_of::<String>());

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

/// Where the reader is, what it met twice, and how much it may still take.
struct Place {
    path: Vec<Step>,
    duplicates: Vec<String>,
    memory: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            path: Vec::new(),
            duplicates: Vec::new(),
            memory: MEMORY,
        }
    }
}

impl Place {
    /// Notes that the field where the reader is was there before.
    fn again(&mut self) {
        if self.duplicates.len() >= MOST {
            return;
        }
        let path = self.written();
        if !self.duplicates.contains(&path) {
            self.duplicates.push(path);
        }
    }

    fn written(&self) -> String {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => {
                    path.push('[');
                    path.push_str(&index.to_string());
                    path.push(']');
                }
                Step::Field(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.extend(name.chars().take(LONGEST_PATH));
                }
            }
            if path.chars().count() > LONGEST_PATH {
                return path
                    .chars()
                    .take(LONGEST_PATH)
                    .chain("...".chars())
                    .collect();
            }
        }
        path
    }

    /// Takes so many bytes, if there are as many left.
    fn take<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.memory = self.memory.checked_sub(bytes).ok_or_else(|| {
            E::custom(format_args!(
                "what it says takes more than {} MiB of memory; say less, and write out aliases",
                MEMORY >> 20
            ))
        })?;
        Ok(())
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
        self.0.take(EACH)?;
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.0.take(EACH)?;
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.0.take(EACH)?;
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.0.take(EACH)?;
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.0.take(EACH + value.len())?;
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.0.take(EACH + value.len())?;
        Ok(value.into())
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.0.take(EACH)?;
        Ok(Value::Null)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.0.take(EACH)?;
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.0.take(EACH)?;
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
        self.0.take(EACH)?;
        let mut object = Map::new();
        let mut told = HashSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            let first = if object.is_empty() { OBJECT } else { 0 };
            self.0.take(first + size_of::<String>() + name.len())?;
            self.0.path.push(Step::Field(name.clone()));
            if object.contains_key(&name) && !told.contains(&name) {
                self.0.again();
                told.insert(name.clone());
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
    fn a_few_lines_of_aliases_do_not_become_gigabytes() {
        let mut yaml = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let ten = vec![format!("*a{}", level - 1); 10].join(", ");
            let level = level.to_string();
            yaml += &["a", &level, ": &a", &level, " [", &ten, "]\n"].concat();
        }
        // The library counts aliases by the length of the text, and is content with these.
        yaml += &["c: [", &"x, ".repeat(20_000), "]\n"].concat();
        let error = Document::from_yaml(yaml.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("64 MiB"), "{error}");
        let few = Document::from_yaml(b"a: &a [x]\nb: [*a, *a]\n").unwrap();
        assert_eq!(few.value, json!({"a": ["x"], "b": [["x"], ["x"]]}));
    }

    #[test]
    fn objects_of_json_are_counted_as_what_they_take() {
        let text = format!("[{}0]", "{\"\":0},".repeat(200_000));
        let error = Document::from_json(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("64 MiB"), "{error}");
        let text = format!("[{}0]", "0,".repeat(200_000));
        assert!(Document::from_json(text.as_bytes()).is_ok());
    }

    #[test]
    fn a_field_that_is_there_a_thousand_times_is_told_once_and_shortly() {
        let name = "\u{e9}".repeat(2_000);
        let text = format!("{{\"{name}\": {{{}\"y\": 2}}}}", "\"x\": 1,".repeat(1_000));
        let duplicates = Document::from_json(text.as_bytes()).unwrap().duplicates;
        assert_eq!(duplicates.len(), 1);
        assert_eq!(
            duplicates[0],
            format!("{}...", "\u{e9}".repeat(LONGEST_PATH))
        );
        let text = format!(
            "{{{}}}",
            (0..300)
                .map(|at| format!("\"f{0}\": 1", at / 2))
                .collect::<Vec<_>>()
                .join(",")
        );
        assert_eq!(
            Document::from_json(text.as_bytes())
                .unwrap()
                .duplicates
                .len(),
            MOST
        );
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
