//! How an object is found: resource, namespace and name in one ordered string.

use std::{fmt, sync::Arc};

/// `plural.group/namespace/name`; the namespace is empty for cluster-scoped objects.
///
/// One string serves as the key in memory and on disk, so that everything of a resource, and everything of a resource
/// in one namespace, is one contiguous range in either.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of `name` in `namespace` ("" for cluster-scoped objects); `resource` is `plural.group`, or just `plural`
    /// in the core group.
    ///
    /// `None` when a part cannot be one segment of a path.
    pub fn new(resource: &str, namespace: &str, name: &str) -> Option<Self> {
        let segment = |part: &str| !part.contains(['/', '\0']);
        let sound = segment(resource)
            && segment(namespace)
            && segment(name)
            && !resource.is_empty()
            && !name.is_empty();
        sound.then(|| Self(format!("{resource}/{namespace}/{name}").into()))
    }

    /// Reads what [`Key::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (resource, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
        (parts.next().is_none()
            && !resource.is_empty()
            && !name.is_empty()
            && !namespace.contains('\0'))
        .then(|| Self(text.into()))
    }

    /// Whole, as it stands on disk.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `plural.group`.
    pub fn resource(&self) -> &str {
        self.part(0)
    }

    /// Empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        self.part(1)
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.part(2)
    }

    fn part(&self, index: usize) -> &str {
        self.0.split('/').nth(index).unwrap_or_default()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The start of every key of a resource, or of a resource in one namespace.
pub(super) fn prefix(resource: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("{resource}/{namespace}/"),
        None => format!("{resource}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_back_its_parts() {
        let key = Key::new("services.serving.knative.dev", "default", "hello").unwrap();
        assert_eq!(
            (key.resource(), key.namespace(), key.name()),
            ("services.serving.knative.dev", "default", "hello")
        );
        assert_eq!(Key::parse(key.as_str()), Some(key));
    }

    #[test]
    fn a_part_that_is_no_path_segment_makes_no_key() {
        assert_eq!(Key::new("services", "a/b", "c"), None);
        assert_eq!(Key::new("services", "a", ""), None);
        assert_eq!(Key::new("services", "a", "c\0"), None);
        assert_eq!(Key::parse("services/a"), None);
        assert_eq!(Key::parse("services/a/b/c"), None);
    }
}
