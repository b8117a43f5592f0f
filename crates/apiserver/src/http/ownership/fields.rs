//! Sets of fields, in the form that `managedFields` has them (`fieldsV1`).
//!
//! A name of a tree is one step of a path: `f:` a field, `k:` the item of a list that has these keys, `v:` a value of a set.
//! A leaf is in the set; a branch is when it has `.`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Some fields of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// Whether this place itself is in the set, beside what is below.
    own: bool,
    below: BTreeMap<String, Fields>,
}

impl Fields {
    /// Just this place, with nothing below.
    pub(super) fn leaf() -> Self {
        Self {
            own: true,
            below: BTreeMap::new(),
        }
    }

    /// This place is in the set, too.
    pub(super) fn with_self(mut self) -> Self {
        self.own = true;
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.own && self.below.is_empty()
    }

    pub(super) fn owns_itself(&self) -> bool {
        self.own
    }

    pub(super) fn insert(&mut self, step: String, fields: Self) {
        if !fields.is_empty() {
            self.below.insert(step, fields);
        }
    }

    pub(super) fn get(&self, step: &str) -> Option<&Self> {
        self.below.get(step)
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = (&String, &Self)> {
        self.below.iter()
    }

    /// What either has.
    pub(super) fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.own |= other.own;
        for (step, theirs) in &other.below {
            let ours = all.below.entry(step.clone()).or_default();
            *ours = ours.union(theirs);
        }
        all
    }

    /// What this has and the other has not.
    pub(super) fn without(&self, other: &Self) -> Self {
        let mut left = Self {
            own: self.own && !other.own,
            below: BTreeMap::new(),
        };
        for (step, ours) in &self.below {
            let ours = other
                .below
                .get(step)
                .map_or_else(|| ours.clone(), |theirs| ours.without(theirs));
            left.insert(step.clone(), ours);
        }
        left
    }

    /// What both have.
    pub(super) fn common(&self, other: &Self) -> Self {
        let mut both = Self {
            own: self.own && other.own,
            below: BTreeMap::new(),
        };
        for (step, ours) in &self.below {
            if let Some(theirs) = other.below.get(step) {
                both.insert(step.clone(), ours.common(theirs));
            }
        }
        both
    }

    /// Every place in the set, as conflicts name it: `.spec.containers[name="a"].image`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect(&mut String::new(), &mut paths);
        paths
    }

    fn collect(&self, at: &mut String, paths: &mut Vec<String>) {
        if self.own {
            paths.push(at.clone());
        }
        for (step, fields) in &self.below {
            let length = at.len();
            at.push_str(&readable(step));
            fields.collect(at, paths);
            at.truncate(length);
        }
    }

    /// As it stands in an object.
    pub(super) fn to_value(&self) -> Value {
        let mut node = Map::new();
        if self.own && !self.below.is_empty() {
            node.insert(".".into(), Value::Object(Map::new()));
        }
        for (step, fields) in &self.below {
            node.insert(step.clone(), fields.to_value());
        }
        Value::Object(node)
    }

    /// Reads what [`Fields::to_value`] wrote; `None` where it is nothing of the kind.
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        let node = value.as_object()?;
        let mut fields = Self::default();
        for (step, below) in node {
            if step == "." {
                fields.own = true;
                continue;
            }
            let mut below = Self::from_value(below)?;
            below.own |= below.below.is_empty();
            fields.below.insert(step.clone(), below);
        }
        Some(fields)
    }
}

fn readable(step: &str) -> String {
    match step.split_at_checked(2) {
        Some(("f:", name)) => format!(".{name}"),
        Some(("k:", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!("[{}]", keys.join(","))
        }
        Some(("v:", value)) => format!("[={value}]"),
        _ => step.to_owned(),
    }
}
