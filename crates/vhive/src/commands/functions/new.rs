//! `vhive functions new`: a folder to begin with.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::ValueEnum;

use super::catalogue::Sample;
use super::embedded::{self, SOURCES};
use crate::cli::FunctionsNew;
use crate::exit::{Failure, Outcome};
use crate::output;

/// What stands for the name in templates.
const PLACEHOLDER: &str = "function-name";
/// Longest label of a host name (RFC 1123, section 2.1).
const LONGEST: usize = 63;

pub(super) fn run(args: &FunctionsNew) -> Outcome {
    let name = &args.name;
    check(name)?;
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from(name));
    let taken = match std::fs::read_dir(&folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => {
            return Err(anyhow!(error)
                .context(format!("cannot use {}", folder.display()))
                .into());
        }
    };
    if taken {
        return Err(Failure::from(anyhow!(
            "{} is there already, and not empty",
            folder.display()
        ))
        .hint("choose another name, or name another folder with --folder"));
    }
    let language = args.language.to_possible_value();
    let language = language.as_ref().map_or("", |it| it.get_name());
    let template = format!("templates/{language}/");
    for (path, program, content) in SOURCES {
        if let Some(file) = path.strip_prefix(&template) {
            let text =
                std::str::from_utf8(content).with_context(|| format!("{path} is no text"))?;
            let file = folder.join(file);
            embedded::write(&file, text.replace(PLACEHOLDER, name).as_bytes(), *program)?;
            output::say(file.display())?;
        }
    }
    // As a path, so that it is not taken for the name of a sample.
    let shown = if folder.is_absolute() {
        folder.display().to_string()
    } else {
        format!("./{}", folder.display())
    };
    eprintln!("next: vhive functions deploy {shown}");
    Ok(())
}

/// The name is the service's, the image's and, in Rust, the package's.
fn check(name: &str) -> Outcome {
    let letters = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
    let well_formed = name.len() <= LONGEST
        && name.chars().all(letters)
        && name.starts_with(|it: char| it.is_ascii_lowercase())
        && !name.ends_with('-');
    if !well_formed {
        return Err(
            Failure::usage(format!("{name:?} cannot be a function's name")).hint(format!(
                "lower-case letters, digits and dashes, at most {LONGEST}, beginning with a letter"
            )),
        );
    }
    if Sample::find(name).is_some() {
        return Err(
            Failure::usage(format!("{name} is a sample function")).hint("choose another name")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::functions::Language;

    #[test]
    fn a_name_is_one_that_services_images_and_packages_can_have() {
        for good in ["a", "greet", "a-2"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "A",
            "-a",
            "2a",
            "a-",
            "a_b",
            "a.b",
            "é",
            &"a".repeat(64),
            "pyaes",
            "rnn-serving",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_language_has_a_program_a_script_and_a_manifest_under_the_given_name() {
        for (language, program) in [
            (Language::Python, "handler.py"),
            (Language::Rust, "src/main.rs"),
            (Language::Node, "server.js"),
            (Language::Binary, "server.c"),
        ] {
            let outer = tempfile::tempdir().unwrap();
            let folder = outer.path().join("x");
            let args = FunctionsNew {
                name: "greet".to_owned(),
                language,
                folder: Some(folder.clone()),
            };
            run(&args).unwrap();
            for file in [program, "build", "service.yaml", "README.md"] {
                let text = std::fs::read_to_string(folder.join(file)).unwrap();
                assert!(!text.contains(PLACEHOLDER), "{file}");
            }
            assert!(
                super::super::catalogue::Function::named(&folder.display().to_string()).is_ok()
            );
            assert!(run(&args).unwrap_err().to_string().contains("not empty"));
        }
    }
}
