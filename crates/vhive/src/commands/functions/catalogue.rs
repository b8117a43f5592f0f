//! Which functions there are: the samples by name, and folders that hold one of the user's own.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, anyhow};
use image::Reference;
use serde_json::Value;

use super::embedded;
use crate::commands::apply;
use crate::exit::{Failure, Outcome};
use crate::output::text;

/// A sample function.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// As its folder, its image and its manifest are named.
    pub(super) name: &'static str,
    /// What a call does.
    pub(super) does: &'static str,
}

/// The one that is a program in this binary; all others are made of packages.
pub(super) const HELLOWORLD: &str = "helloworld";

/// Those that the REAP paper measured.
pub(super) const SAMPLES: [Sample; 10] = [
    Sample {
        name: HELLOWORLD,
        does: "greets",
    },
    Sample {
        name: "chameleon",
        does: "renders a table from a Chameleon template",
    },
    Sample {
        name: "pyaes",
        does: "encrypts the text with AES, in Python alone",
    },
    Sample {
        name: "image_rotate",
        does: "rotates a JPEG with Pillow",
    },
    Sample {
        name: "json_serdes",
        does: "reads, changes and writes a JSON document",
    },
    Sample {
        name: "lr_serving",
        does: "judges a review by logistic regression (scikit-learn)",
    },
    Sample {
        name: "cnn_serving",
        does: "recognises a shape by a convolutional network (NumPy)",
    },
    Sample {
        name: "rnn_serving",
        does: "invents names by a recurrent network (NumPy)",
    },
    Sample {
        name: "lr_training",
        does: "trains a logistic regression, and judges a review by it",
    },
    Sample {
        name: "video_processing",
        does: "finds the edges in a video with OpenCV",
    },
];

impl Sample {
    /// `rnn_serving` and `rnn-serving` are the same.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        let name = name.replace('-', "_");
        SAMPLES.iter().find(|sample| sample.name == name)
    }

    /// What its manifest deploys.
    pub(super) fn image(&self) -> Outcome<Reference> {
        parse(&format!("dev.local/{}:latest", self.name))
    }
}

/// A function that can be built and deployed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Function {
    Sample(&'static Sample),
    /// A folder with a script `build`, which makes the image that its `service.yaml` names.
    Folder(PathBuf),
}

impl Function {
    /// What a word of the command line names. A sample's name means the sample; with a slash in it a word is a folder.
    pub(super) fn named(word: &str) -> Outcome<Self> {
        if !word.contains('/')
            && let Some(sample) = Sample::find(word)
        {
            return Ok(Self::Sample(sample));
        }
        let folder = Path::new(word);
        if !folder.is_dir() {
            let names: Vec<&str> = SAMPLES.iter().map(|sample| sample.name).collect();
            return Err(
                Failure::not_found(format!("there is no function and no folder {word:?}")).hint(
                    format!(
                        "the samples are {}; `vhive functions new` begins one of your own",
                        names.join(", ")
                    ),
                ),
            );
        }
        for (file, what) in [
            ("build", "a script that makes its image"),
            (MANIFEST, "its manifest"),
        ] {
            if !folder.join(file).is_file() {
                return Err(
                    Failure::not_found(format!("{word} has no {file}, {what}")).hint(
                        "`vhive functions new NAME --language LANGUAGE` writes a folder that has it",
                    ),
                );
            }
        }
        let folder = folder
            .canonicalize()
            .with_context(|| format!("cannot find {word}"))?;
        Ok(Self::Folder(folder))
    }

    /// What it is called where its progress is told.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Sample(sample) => sample.name.to_owned(),
            Self::Folder(folder) => match folder.file_name() {
                Some(name) => name.to_string_lossy().into_owned(),
                None => folder.display().to_string(),
            },
        }
    }

    /// The objects of its manifest.
    pub(super) fn manifest(&self) -> Outcome<Vec<Value>> {
        match self {
            Self::Sample(sample) => {
                let file = format!("{}.yaml", sample.name);
                apply::parse(embedded::workload(&file)?, Path::new(&file))
            }
            Self::Folder(folder) => apply::read(&folder.join(MANIFEST)),
        }
    }

    /// The image that its service runs.
    pub(super) fn image(&self) -> Outcome<Reference> {
        if let Self::Sample(sample) = self {
            return sample.image();
        }
        let images: Vec<String> = self
            .manifest()?
            .iter()
            .filter(|object| text(object, "/kind") == "Service")
            .map(|service| text(service, IMAGE))
            .collect();
        match &images[..] {
            [image] if !image.is_empty() => parse(image),
            _ => Err(anyhow!(
                "{MANIFEST} of {} does not have one Service with one image",
                self.title()
            )
            .into()),
        }
    }
}

/// The manifest in a folder.
const MANIFEST: &str = "service.yaml";
/// Where a Service names its image.
pub(super) const IMAGE: &str = "/spec/template/spec/containers/0/image";

fn parse(text: &str) -> Outcome<Reference> {
    Reference::from_str(text).map_err(|error| anyhow!("image {text:?}: {error}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_has_its_sources_and_a_manifest_that_deploys_its_image() {
        for sample in &SAMPLES {
            let has = |file: &str| embedded::source(&format!("{}/{file}", sample.name)).is_some();
            assert_eq!(has("recipe"), sample.name != HELLOWORLD, "{}", sample.name);
            let manifest = Function::Sample(sample).manifest().unwrap();
            let [service] = &manifest[..] else {
                panic!("{}: {manifest:?}", sample.name);
            };
            assert_eq!(
                parse(&text(service, IMAGE)).unwrap(),
                sample.image().unwrap()
            );
        }
        let recipes = embedded::SOURCES
            .iter()
            .filter(|(path, ..)| path.ends_with("/recipe") && !path.starts_with("templates/"));
        assert_eq!(recipes.count(), SAMPLES.len() - 1);
    }

    #[test]
    fn a_sample_goes_by_the_name_of_its_service_too() {
        assert_eq!(
            Function::named("rnn-serving").unwrap(),
            Function::named("rnn_serving").unwrap()
        );
    }

    #[test]
    fn what_is_neither_a_sample_nor_a_folder_with_a_function_is_said() {
        let empty = tempfile::tempdir().unwrap();
        let missing = Function::named("absent").unwrap_err();
        assert!(missing.is_not_found() && missing.to_string().contains("pyaes"));
        let bare = Function::named(&empty.path().display().to_string()).unwrap_err();
        assert!(bare.to_string().contains("has no build"), "{bare}");
    }
}
