//! `docs/knative-conformance.md` names the tests that prove what it says: each must be there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

const PAGE: &str = "docs/knative-conformance.md";

/// A test that the page names.
#[derive(Debug, PartialEq, Eq)]
struct Named<'a> {
    line: usize,
    /// The last crate that was named before it.
    package: &'a str,
    test: &'a str,
}

/// Fails if the page names a test that there is not. `root` is the workspace's folder.
pub(crate) fn check(root: &Path) -> Result<()> {
    let page =
        fs::read_to_string(root.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let crates = root.join("crates");
    let mut sources = BTreeMap::new();
    let mut missing = Vec::new();
    for Named {
        line,
        package,
        test,
    } in named(&page, |it| crates.join(it).is_dir())
    {
        if package.is_empty() {
            bail!("{PAGE}:{line} names {test} of no crate: write \"crate: `{test}`\"");
        }
        if !sources.contains_key(package) {
            let mut text = String::new();
            read_rust(&crates.join(package), &mut text)?;
            sources.insert(package, text);
        }
        if !sources[package].contains(&format!("fn {test}(")) {
            missing.push(format!("{PAGE}:{line}: {package} has no test {test}"));
        }
    }
    if !missing.is_empty() {
        bail!(
            "{}\nName the tests that prove these lines now, or say that none does",
            missing.join("\n")
        );
    }
    Ok(())
}

/// The tests that are named: between backticks, as `crate: test`. The names of tests are sentences, and nothing else there is.
fn named(page: &str, is_crate: impl Fn(&str) -> bool) -> Vec<Named<'_>> {
    let mut package = "";
    let mut all = Vec::new();
    for (line, text) in (1..).zip(page.lines()) {
        for (number, part) in text.split('`').enumerate() {
            if number % 2 == 1 {
                let letters =
                    |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_';
                if part.chars().all(letters) && part.matches('_').count() > 1 {
                    all.push(Named {
                        line,
                        package,
                        test: part,
                    });
                }
            } else if let Some(before) = part.trim_end().strip_suffix(':') {
                let word = before.rsplit([' ', '|', '(']).next().unwrap_or(before);
                if !word.is_empty() && is_crate(word) {
                    package = word;
                }
            }
        }
    }
    all
}

/// Adds the text of all Rust files in a folder.
fn read_rust(folder: &Path, text: &mut String) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            read_rust(&path, text)?;
        } else if path.extension().is_some_and(|it| it == "rs") {
            *text += &fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_from_fields_and_files_and_belong_to_the_crate_before_them() {
        let page = "# Page\n| `timeoutSeconds` | yes | gateway: `it_ends_in_time`, `it_says_so`; in a guest: \
                    vmm: `it_is_a_guest` (`stdin empty`) |\n| the same | yes | everywhere: `it_has_a_name` in `sources/of_a_kind.rs` |";
        let named: Vec<_> = named(page, |it| ["gateway", "vmm"].contains(&it))
            .into_iter()
            .map(|it| (it.line, it.package, it.test))
            .collect();
        assert_eq!(
            named,
            [
                (2, "gateway", "it_ends_in_time"),
                (2, "gateway", "it_says_so"),
                (2, "vmm", "it_is_a_guest"),
                (3, "vmm", "it_has_a_name"),
            ]
        );
    }

    #[test]
    fn a_test_that_is_not_there_is_named_with_its_line() {
        let root = tempfile::tempdir().unwrap();
        let (docs, code) = (root.path().join("docs"), root.path().join("crates/a/src"));
        fs::create_dir_all(&docs).unwrap();
        fs::create_dir_all(&code).unwrap();
        fs::write(code.join("lib.rs"), "fn it_is_there() {}").unwrap();
        let checked = |page: &str| {
            fs::write(root.path().join(PAGE), page).unwrap();
            check(root.path()).map_err(|error| error.to_string())
        };
        assert_eq!(checked("| a: `it_is_there` |"), Ok(()));
        let error = checked("\n| a: `it_is_there`, `it_is_not_there` |").unwrap_err();
        assert!(
            error.starts_with("docs/knative-conformance.md:2: a has no test it_is_not_there\n"),
            "{error}"
        );
        let error = checked("| b: `it_is_there` |").unwrap_err();
        assert!(error.contains("of no crate"), "{error}");
    }
}
