//! `vhive image`: the image store of the data directory. It may be used while a node runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, anyhow};
use image::registry::{self, Client, Credentials, Progress};
use image::{BuildSpec, Reference, Source, Store};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Global, Image, ImageBuild};
use crate::exit::{Code, Failure, Outcome};
use crate::output;

pub(crate) async fn run(global: &Global, command: &Image) -> Outcome {
    let store = Store::open(&global.data_dir.join("images"))?;
    match command {
        Image::Pull { reference } => {
            let reference = parse(reference)?;
            let bar = bar();
            let image = client()?
                .pull(&store, &reference, &|progress| advance(&bar, progress))
                .await
                .map_err(|error| {
                    let code = match error {
                        registry::Error::NotFound { .. } => Code::NotFound,
                        _ => Code::Failed,
                    };
                    Failure::new(code, error)
                })?;
            bar.finish_and_clear();
            output::say(format_args!("{reference} {}", image.digest))?;
        }
        Image::Push { reference } => {
            let (reference, _) = present(&store, reference)?;
            let bar = bar();
            let digest = client()?
                .push(&store, &reference, &|progress| advance(&bar, progress))
                .await?;
            bar.finish_and_clear();
            output::say(format_args!("{reference} {digest}"))?;
        }
        Image::Import { file, name } => {
            let name = name.as_deref().map(parse).transpose()?;
            for reference in store.import(file, name.as_ref())? {
                output::say(reference)?;
            }
        }
        Image::Tag { source, target } => {
            let (_, image) = present(&store, source)?;
            let target = parse(target)?;
            store.tag(&image.digest, &target)?;
            output::say(format_args!("{target} {}", image.digest))?;
        }
        Image::Export {
            reference,
            output: file,
        } => {
            store.export(&present(&store, reference)?.0, file)?;
            output::say(file.display())?;
        }
        Image::Build(args) => {
            let image = store.build(spec(args)?)?;
            output::say(format_args!("{} {}", image.reference, image.digest))?;
        }
        Image::Ls => {
            let rows = store.list()?.into_iter().map(|info| {
                let root = info.root_bytes.map_or_else(|| "-".to_owned(), output::size);
                [
                    info.reference.to_string(),
                    info.digest.to_string(),
                    output::size(info.size_bytes),
                    root,
                ]
            });
            output::say(output::table(["REFERENCE", "DIGEST", "SIZE", "ROOT"], rows))?;
        }
        Image::Rm { references } => {
            for reference in references {
                let reference = parse(reference)?;
                match store.remove(&reference) {
                    Err(image::Error::UnknownReference { .. }) => {
                        return Err(no_name(&store, &reference)?);
                    }
                    removed => removed?,
                }
                output::say(format_args!("{reference} removed"))?;
            }
        }
        Image::Gc => output::say(format_args!("{} freed", output::size(store.gc()?)))?,
    }
    Ok(())
}

/// A client of registries with the user's own credentials.
fn client() -> Outcome<Client> {
    Ok(Client::new(Credentials::of_user()?, Vec::new()))
}

/// An image that must be here.
fn present(store: &Store, name: &str) -> Outcome<(Reference, image::Image)> {
    let reference = parse(name)?;
    match store.resolve(&reference)? {
        Some(image) => Ok((reference, image)),
        None => Err(absent(&reference)),
    }
}

fn absent(reference: &Reference) -> Failure {
    Failure::not_found(format!("there is no image {reference}")).hint("`vhive image ls` shows all")
}

/// Why a name cannot be taken away that nothing has, though its digest may be that of an image that is here.
fn no_name(store: &Store, reference: &Reference) -> Outcome<Failure> {
    let Some(digest) = reference.digest() else {
        return Ok(absent(reference));
    };
    let mut names = store.list()?.into_iter().filter(|it| it.digest == *digest);
    if let Some(named) = names.next() {
        let failure = Failure::not_found(format!("{reference} is not the name of an image"));
        let hint = format!(
            "its content has another name: vhive image rm {}",
            named.reference
        );
        return Ok(failure.hint(hint));
    }
    if matches!(store.resolve(reference), Ok(Some(_))) {
        let message = format!("{reference} has no name to remove; a revision keeps it");
        let hint = "delete the service or the revision; `vhive image gc` frees the image then";
        return Ok(Failure::not_found(message).hint(hint));
    }
    Ok(absent(reference))
}

fn parse(text: &str) -> Outcome<Reference> {
    Reference::from_str(text).map_err(|error| Failure::usage(format!("image {text:?}: {error}")))
}

fn spec(args: &ImageBuild) -> Outcome<BuildSpec> {
    let source = match (&args.source.folder, &args.source.binary, &args.source.tar) {
        (Some(folder), _, _) => Source::Folder(folder.clone()),
        (_, Some(binary), _) => Source::Binary(binary.clone()),
        (_, _, Some(tar)) => Source::Tar(tar.clone()),
        _ => {
            return Err(Failure::usage(
                "one of --folder, --binary and --tar is needed",
            ));
        }
    };
    let env = args.env.iter().map(|pair| {
        let (name, value) = pair
            .split_once('=')
            .with_context(|| format!("--env {pair:?} is not NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    });
    Ok(BuildSpec {
        name: parse(&args.reference)?,
        source,
        entrypoint: args.entrypoint.clone(),
        cmd: args.cmd.clone(),
        env: env.collect::<anyhow::Result<_>>()?,
        workdir: args.workdir.clone(),
        user: args.user.clone(),
        ports: args.port.clone(),
        labels: BTreeMap::new(),
    })
}

/// A progress bar; nothing is drawn where standard error is no terminal.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
    let bar = ProgressBar::new(0);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn advance(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}

/// What `configs/knative_workloads/helloworld.yaml` deploys.
const HELLOWORLD: &str = "dev.local/helloworld:latest";

/// Makes the image of the embedded sample function, if the data directory has none of its name.
pub(crate) fn provide_helloworld(data_dir: &Path) -> Outcome {
    let store = Store::open(&data_dir.join("images"))?;
    if store.resolve(&parse(HELLOWORLD)?)?.is_none() {
        make_helloworld(&store)?;
    }
    Ok(())
}

/// Makes the image of the embedded sample function, whatever had its name.
pub(crate) fn make_helloworld(store: &Store) -> Outcome<Reference> {
    const BINARY: &[u8] = include_bytes!(env!("VHIVE_HELLOWORLD"));
    let reference = parse(HELLOWORLD)?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let binary: PathBuf = folder.path().join("helloworld");
    std::fs::write(&binary, BINARY)
        .with_context(|| format!("cannot write {}", binary.display()))?;
    let spec = BuildSpec {
        name: reference.clone(),
        source: Source::Binary(binary),
        entrypoint: Vec::new(),
        cmd: Vec::new(),
        env: Vec::new(),
        workdir: String::new(),
        user: "nobody".to_owned(),
        ports: vec![50051],
        labels: BTreeMap::new(),
    };
    store
        .build(spec)
        .map_err(|error| anyhow!(error).context(format!("building {reference}")))?;
    Ok(reference)
}
