//! Names of instances.

use std::fs::File;
use std::io::{self, Read};

/// What Kubernetes uses for generated suffixes: no vowels, no digits that look like letters.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Random characters at the end of a name.
const SUFFIX: usize = 5;
/// Longest name: that of a host (RFC 1123).
const MOST: usize = 63;

/// The name of a new instance, as a Pod of Knative would have it: `hello-00001-deployment-x7k2p`. Of a long name the end is left
/// out, as of generated names in Kubernetes.
pub(crate) fn instance(revision: &str) -> io::Result<String> {
    let mut name = format!("{revision}-deployment-");
    name.truncate(MOST - SUFFIX);
    name.push_str(&suffix()?);
    Ok(name)
}

/// Five random characters, such as `x7k2p`.
fn suffix() -> io::Result<String> {
    let mut bytes = [0u8; SUFFIX];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len()))
        .map(|byte| char::from(*byte))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_named_after_its_revision_and_fits_a_host_name() {
        let name = instance("hello-00001").unwrap();
        assert!(name.starts_with("hello-00001-deployment-"), "{name}");
        assert_eq!(name.len(), "hello-00001-deployment-".len() + SUFFIX);
        assert_ne!(instance("hello-00001").unwrap(), name);
        assert_eq!(instance(&"x".repeat(63)).unwrap().len(), MOST);
    }
}
