//! What the path of an entry says: a place in the tree, or that something below is hidden.
//!
//! Whiteouts: <https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts>

use super::Refusal;

const NAME_MAX: usize = 255;
const WHITEOUT: &[u8] = b".wh.";
/// Names that AUFS, which whiteouts come from, kept for itself.
const RESERVED: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The meaning of a path. Components are never empty, `.` or `..`, and hold neither NUL nor `/`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// `/`.
    Root,
    /// A name in a folder.
    At {
        folder: Vec<&'a [u8]>,
        name: &'a [u8],
    },
    /// This name in lower layers is gone.
    Whiteout {
        folder: Vec<&'a [u8]>,
        name: &'a [u8],
    },
    /// All that lower layers have in this folder is gone.
    Opaque { folder: Vec<&'a [u8]> },
    /// Bookkeeping of AUFS, which means nothing to anyone else.
    Ignored,
}

/// Reads the path of an entry. A path that begins with `/` is taken from the root like any other,
/// as all container tools do.
pub(super) fn place(path: &[u8], max_depth: usize) -> Result<Place<'_>, Refusal> {
    let mut folder = components(path, max_depth)?;
    let Some(name) = folder.pop() else {
        return Ok(Place::Root);
    };
    if name == OPAQUE && !folder.iter().any(|part| part.starts_with(WHITEOUT)) {
        return Ok(Place::Opaque { folder });
    }
    if name.starts_with(RESERVED) || folder.iter().any(|part| part.starts_with(RESERVED)) {
        return Ok(Place::Ignored);
    }
    if folder.iter().any(|part| part.starts_with(WHITEOUT)) {
        return Err(Refusal::BadWhiteout);
    }
    match name.strip_prefix(WHITEOUT) {
        None => Ok(Place::At { folder, name }),
        Some(b"" | b"." | b"..") => Err(Refusal::BadWhiteout),
        Some(name) => Ok(Place::Whiteout { folder, name }),
    }
}

/// The components of a path, seen from the root.
pub(super) fn components(path: &[u8], max_depth: usize) -> Result<Vec<&[u8]>, Refusal> {
    if path.contains(&0) {
        return Err(Refusal::Nul);
    }
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(Refusal::Climbs),
            _ if part.len() > NAME_MAX => return Err(Refusal::NameTooLong),
            _ => parts.push(part),
        }
        if parts.len() > max_depth {
            return Err(Refusal::TooDeep { limit: max_depth });
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(folder: &[&'a str], name: &'a str) -> Place<'a> {
        Place::At {
            folder: folder.iter().map(|part| part.as_bytes()).collect(),
            name: name.as_bytes(),
        }
    }

    #[test]
    fn absolute_dotted_and_doubled_paths_name_the_same_place() {
        for path in ["a/b", "/a/b", "./a/b", "a//b/", "/./a/./b"] {
            assert_eq!(place(path.as_bytes(), 9), Ok(at(&["a"], "b")), "{path}");
        }
        for path in ["", "/", ".", "./", "//."] {
            assert_eq!(place(path.as_bytes(), 9), Ok(Place::Root), "{path}");
        }
    }

    #[test]
    fn climbing_is_refused_even_where_it_would_stay_inside() {
        for path in ["../a", "a/../b", "a/..", "/.."] {
            assert_eq!(place(path.as_bytes(), 9), Err(Refusal::Climbs), "{path}");
        }
    }

    #[test]
    fn whiteouts_are_told_from_files() {
        assert_eq!(
            place(b"a/.wh.b", 9),
            Ok(Place::Whiteout {
                folder: vec![b"a"],
                name: b"b"
            })
        );
        assert_eq!(
            place(b"a/.wh..wh..opq", 9),
            Ok(Place::Opaque { folder: vec![b"a"] })
        );
        assert_eq!(place(b".wh..wh.plnk/1.2", 9), Ok(Place::Ignored));
        assert_eq!(place(b"a/.wh", 9), Ok(at(&["a"], ".wh")));
    }

    #[test]
    fn whiteouts_of_nothing_and_of_the_parent_are_refused() {
        for path in [".wh.", "a/.wh..", "a/.wh...", ".wh.a/b"] {
            assert_eq!(
                place(path.as_bytes(), 9),
                Err(Refusal::BadWhiteout),
                "{path}"
            );
        }
    }

    #[test]
    fn paths_beyond_the_bounds_are_refused() {
        assert_eq!(place(b"a/b/c", 3), Ok(at(&["a", "b"], "c")));
        assert_eq!(place(b"a/b/c/d", 3), Err(Refusal::TooDeep { limit: 3 }));
        assert_eq!(place(&[b'x'; 256], 3), Err(Refusal::NameTooLong));
        assert_eq!(place(b"a\0b", 3), Err(Refusal::Nul));
    }
}
