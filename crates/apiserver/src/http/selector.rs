//! Label selectors: the grammar of `k8s.io/apimachinery/pkg/labels/selector.go`.
//!
//! ```text
//! selector    := requirement { "," requirement }
//! requirement := "!" key | key [ operator ]
//! operator    := ("=" | "==" | "!=" | ">" | "<") value | ("in" | "notin") "(" value { "," value } ")"
//! ```

use std::collections::BTreeMap;

/// What labels must be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("unable to parse requirement: found '{found}', expected: {expected}")]
    Unexpected {
        found: String,
        expected: &'static str,
    },
    #[error(
        "key: Invalid value: {0:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character"
    )]
    Key(String),
    #[error(
        "values: Invalid value: {0:?}: a valid label must be an empty string or consist of alphanumeric characters, \
             '-', '_' or '.', and must start and end with an alphanumeric character"
    )]
    Value(String),
    #[error("values: Invalid value: {0:?}: for 'Gt', 'Lt' operators, the value must be an integer")]
    Number(String),
}

impl Selector {
    /// Whether it lets everything through.
    pub(super) fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            let number = || value?.parse::<i64>().ok();
            match &requirement.operator {
                Operator::Exists => value.is_some(),
                Operator::Missing => value.is_none(),
                Operator::In(values) => value.is_some_and(|value| values.contains(value)),
                Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Operator::Greater(bound) => number().is_some_and(|value| value > *bound),
                Operator::Less(bound) => number().is_some_and(|value| value < *bound),
            }
        })
    }

    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let tokens = tokens(text);
        let mut parser = Parser { tokens: &tokens };
        let mut requirements = Vec::new();
        if parser.tokens.is_empty() {
            return Ok(Self::default());
        }
        loop {
            requirements.push(parser.requirement()?);
            match parser.next() {
                None => return Ok(Self(requirements)),
                Some(",") => {}
                Some(other) => return Err(unexpected(Some(other), "',' or 'end of string'")),
            }
        }
    }
}

/// Splits into operators, which are made of special characters, and words. Empty words do not appear.
fn tokens(text: &str) -> Vec<&str> {
    const SPECIAL: [char; 7] = ['=', '!', '(', ')', ',', '>', '<'];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("==") || rest.starts_with("!=") {
            2
        } else if SPECIAL.contains(&first) {
            1
        } else {
            rest.find(|character: char| character.is_whitespace() || SPECIAL.contains(&character))
                .unwrap_or(rest.len())
        };
        let (token, after) = rest.split_at(len);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

struct Parser<'a> {
    tokens: &'a [&'a str],
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn peek(&self) -> Option<&'a str> {
        self.tokens.first().copied()
    }

    fn requirement(&mut self) -> Result<Requirement, Error> {
        if self.peek() == Some("!") {
            self.next();
            let key = self.key()?;
            return Ok(Requirement {
                key,
                operator: Operator::Missing,
            });
        }
        let key = self.key()?;
        let operator = match self.peek() {
            None | Some(",") => Operator::Exists,
            Some(operator) => {
                self.next();
                match operator {
                    "=" | "==" => Operator::In(vec![self.value()?]),
                    "!=" => Operator::NotIn(vec![self.value()?]),
                    ">" => Operator::Greater(self.number()?),
                    "<" => Operator::Less(self.number()?),
                    "in" => Operator::In(self.values()?),
                    "notin" => Operator::NotIn(self.values()?),
                    other => return Err(unexpected(Some(other), "in, notin, =, ==, !=, gt, lt")),
                }
            }
        };
        Ok(Requirement { key, operator })
    }

    fn key(&mut self) -> Result<String, Error> {
        let key = self
            .word("identifier")?
            .ok_or_else(|| unexpected(None, "identifier"))?;
        let (prefix, name) = key.rsplit_once('/').unwrap_or(("example.com", key));
        let sound = is_word(name)
            && !name.is_empty()
            && !prefix.is_empty()
            && prefix.len() <= 253
            && !prefix.contains('/');
        sound
            .then(|| key.to_owned())
            .ok_or_else(|| Error::Key(key.to_owned()))
    }

    /// A value may be left out: `a=` asks for an empty one.
    fn value(&mut self) -> Result<String, Error> {
        let value = self.word("identifier")?.unwrap_or_default();
        is_word(value)
            .then(|| value.to_owned())
            .ok_or_else(|| Error::Value(value.to_owned()))
    }

    fn number(&mut self) -> Result<i64, Error> {
        let value = self.value()?;
        value.parse().map_err(|_| Error::Number(value))
    }

    fn values(&mut self) -> Result<Vec<String>, Error> {
        match self.next() {
            Some("(") => {}
            other => return Err(unexpected(other, "'('")),
        }
        let mut values = Vec::new();
        loop {
            values.push(self.value()?);
            match self.next() {
                Some(",") => {}
                Some(")") => return Ok(values),
                other => return Err(unexpected(other, "',' or ')'")),
            }
        }
    }

    /// The next token if it is a word; nothing where the requirement ends.
    fn word(&mut self, expected: &'static str) -> Result<Option<&'a str>, Error> {
        match self.peek() {
            None | Some("," | ")") => Ok(None),
            Some("=" | "==" | "!=" | "!" | "(" | ">" | "<") => {
                Err(unexpected(self.peek(), expected))
            }
            Some(word) => {
                self.next();
                Ok(Some(word))
            }
        }
    }
}

fn unexpected(found: Option<&str>, expected: &'static str) -> Error {
    Error::Unexpected {
        found: found.unwrap_or_default().to_owned(),
        expected,
    }
}

/// Up to 63 characters, alphanumeric at both ends.
fn is_word(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.iter().copied().all(inner)
        && edge(bytes.first())
        && edge(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn selectors_select() {
        let red = labels(&[
            ("color", "red"),
            ("serving.knative.dev/service", "a"),
            ("size", "7"),
            ("empty", ""),
        ]);
        let cases = [
            ("", true),
            ("  ", true),
            ("color", true),
            ("shape", false),
            ("!color", false),
            ("! shape", true),
            ("color=red", true),
            ("color==red", true),
            ("color = red , size = 7", true),
            ("color=red,size=8", false),
            ("color!=red", false),
            ("shape!=round", true),
            ("color in (red)", true),
            ("color in (blue, red)", true),
            ("color in(blue,green)", false),
            ("shape in (round)", false),
            ("color notin (blue,green)", true),
            ("color notin (red)", false),
            ("shape notin (round)", true),
            ("serving.knative.dev/service=a", true),
            ("serving.knative.dev/service in (a,b),color,!shape", true),
            ("empty=", true),
            ("color=", false),
            ("empty in (,a)", true),
            ("size>6", true),
            ("size>7", false),
            ("size<8", true),
            ("color<8", false),
            ("in in (a)", false),
            ("in", false),
        ];
        for (text, selected) in cases {
            let selector = Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(selector.matches(&red), selected, "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in [
            ",",
            "a,",
            ",a",
            "a b",
            "a=b c",
            "=a",
            "a in",
            "a in ()x",
            "a in (b",
            "a in b",
            "a=b=c",
            "!a=b",
            "a>b",
            "a>",
            "-a",
            "a-",
            "a=-b",
            "a/b/c",
            "/a",
            "a/",
            "ä",
            "a=ä",
            "(a)",
            "a notin b",
            "!",
        ] {
            assert!(Selector::parse(text).is_err(), "{text:?} was taken");
        }
        let long = "x".repeat(64);
        assert_eq!(Selector::parse(&long), Err(Error::Key(long)));
    }
}
