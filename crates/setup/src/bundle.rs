//! Bundles: all that nodes need in one archive, so that they need no network.
//!
//! ```text
//! manifest.json          the SHA-256 of every other file, and the names of images
//! files/SHA256(ADDRESS)  downloads
//! apt/                   a repository of packages, with all that they depend on
//! images/                OCI archives
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::checksum::{sha256, sha256_of};
use crate::config::Config;
use crate::engine::{self, Host, succeed, verified};
use crate::paths::BUNDLE;
use crate::plan::{Action, Command, Plan};

/// Why there is no bundle, or no use of it.
#[derive(Debug, Error)]
pub enum Error {
    /// A file on the way.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was being done.
        what: &'static str,
        /// To which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not a bundle.
    #[error("{} is not a bundle of `vhive setup bundle`", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It was changed on its way.
    #[error("{file} of the bundle is not what was put in: copy the bundle again")]
    Damaged {
        /// The file in it.
        file: String,
    },
    /// A download or a program.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

fn at(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::File { what, path, source }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    /// Of each file.
    sha256: BTreeMap<String, String>,
    /// Of each address.
    pins: BTreeMap<String, String>,
    /// The name of each image, and its file.
    images: Vec<(String, String)>,
}

/// A bundle, unpacked.
#[derive(Debug)]
pub struct Unpacked {
    /// Where.
    pub folder: PathBuf,
    /// The name of each image, and its file.
    pub images: Vec<(String, String)>,
    pins: BTreeMap<String, String>,
}

impl Unpacked {
    /// These pins, and those of the bundle.
    pub fn pins(&self, others: &Value) -> Value {
        let mut pins = others.as_object().cloned().unwrap_or_default();
        for (url, checksum) in &self.pins {
            pins.entry(url.clone())
                .or_insert_with(|| Value::from(checksum.clone()));
        }
        Value::Object(pins)
    }
}

/// What is in a bundle that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// Downloads.
    pub files: usize,
    /// Packages, with those that they depend on.
    pub packages: usize,
    /// Images.
    pub images: usize,
}

/// Collects all that plans need.
pub fn make(
    host: &Host,
    plans: &[Plan],
    config: &Config,
    vhive: &Path,
    file: &Path,
) -> Result<Made, Error> {
    let folder = tempfile::tempdir().map_err(at("create", "a folder"))?;
    let root = folder.path();
    for part in ["files", "apt", "images", "sources", "lists", "image-store"] {
        fs::create_dir(root.join(part)).map_err(at("create", root.join(part)))?;
    }
    let mut manifest = Manifest::default();
    let mut texts = Vec::new();
    for fetch in plans.iter().flat_map(Plan::fetches) {
        if manifest.pins.contains_key(&fetch.url) {
            continue;
        }
        tell(host, &format!("download {}", fetch.url));
        let download = tempfile::tempdir().map_err(at("create", "a folder"))?;
        let blob = verified(host, fetch, download.path())?;
        let digest = sha256_of(&blob).map_err(at("read", &blob))?;
        let to = root.join("files").join(sha256(fetch.url.as_bytes()));
        fs::copy(&blob, &to).map_err(at("copy", &to))?;
        manifest.pins.insert(fetch.url.clone(), digest);
        let name = Path::new(&fetch.url);
        if name
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            texts.push(fs::read_to_string(&blob).map_err(at("read", &blob))?);
        }
        if fetch.url.ends_with("Release.key") {
            fs::copy(&blob, root.join("sources/kubernetes.asc")).map_err(at("copy", &blob))?;
        }
    }
    let packages = packages(host, plans, config, root)?;
    let mut images = images(&texts);
    for step in plans.iter().flat_map(Plan::steps) {
        if let Action::Write { path, content, .. } = &step.action
            && path
                .extension()
                .is_some_and(|extension| extension == "yaml")
        {
            images.extend(self::images(std::slice::from_ref(content)));
        }
    }
    images.extend(of_kubeadm(host, config, root)?);
    let store = root.join("image-store");
    for name in &images {
        tell(host, &format!("pull {name}"));
        let to = format!("{}.tar", sha256(name.as_bytes()));
        let run = |words: &[&str]| {
            let data = [
                "--data-dir".to_owned(),
                store.to_string_lossy().into_owned(),
            ];
            let words = words.iter().map(|word| (*word).to_owned());
            let program = std::iter::once(vhive.to_string_lossy().into_owned());
            succeed(
                &Command::words(program.chain(data).chain(words)),
                &host.journal,
            )
        };
        run(&["image", "pull", name])?;
        run(&[
            "image",
            "export",
            name,
            "-o",
            &root.join("images").join(&to).to_string_lossy(),
        ])?;
        manifest.images.push((name.clone(), to));
    }
    pack(root, &mut manifest, file)?;
    Ok(Made {
        files: manifest.pins.len(),
        packages,
        images: images.len(),
    })
}

fn tell(host: &Host, text: &str) {
    host.journal.tell(&engine::Event::Note { text });
}

/// Downloads packages and all that they depend on, as for a machine with none, and makes a repository of them.
fn packages(host: &Host, plans: &[Plan], config: &Config, root: &Path) -> Result<usize, Error> {
    let names: BTreeSet<&str> = plans.iter().flat_map(Plan::packages).collect();
    let sources = root.join("sources");
    for folder in ["/etc/apt/sources.list.d", "/etc/apt"] {
        for entry in fs::read_dir(folder).map_err(at("read", folder))?.flatten() {
            let name = entry.file_name();
            let text = name.to_string_lossy();
            let ours =
                text == "kubernetes.list" || (folder == "/etc/apt" && text != "sources.list");
            if !ours && (text.ends_with(".list") || text.ends_with(".sources")) {
                fs::copy(entry.path(), sources.join(&name)).map_err(at("copy", entry.path()))?;
            }
        }
    }
    let key = sources.join("kubernetes.asc");
    if key.exists() {
        let line = format!(
            "deb [signed-by={}] {} /\n",
            key.display(),
            config.system.kube_repo_url
        );
        let list = sources.join("kubernetes.list");
        fs::write(&list, line).map_err(at("write", list))?;
    }
    let nothing = root.join("nothing-installed");
    fs::write(&nothing, "").map_err(at("write", &nothing))?;
    let archives = root.join("apt");
    let apt = |words: &[&str]| {
        let options = [
            "Dir::Etc::SourceList=/dev/null".to_owned(),
            format!("Dir::Etc::SourceParts={}", sources.display()),
            format!("Dir::State::Lists={}", root.join("lists").display()),
            format!("Dir::State::Status={}", nothing.display()),
            format!("Dir::Cache::Archives={}", archives.display()),
            "APT::Sandbox::User=root".to_owned(),
        ];
        let options = options
            .into_iter()
            .flat_map(|option| ["-o".to_owned(), option]);
        let words = words.iter().map(|word| (*word).to_owned());
        Command::words(
            std::iter::once("apt-get".to_owned())
                .chain(options)
                .chain(words),
        )
    };
    tell(host, "download packages");
    succeed(&apt(&["update"]), &host.journal)?;
    let mut install = apt(&[
        "install",
        "-y",
        "--no-install-recommends",
        "--download-only",
    ]);
    install.words.extend(names.into_iter().map(str::to_owned));
    succeed(&install, &host.journal)?;
    index(host, &archives)
}

/// Writes `Packages`, by which apt knows what is there. The number of packages.
fn index(host: &Host, archives: &Path) -> Result<usize, Error> {
    let mut text = String::new();
    let mut count = 0;
    for entry in fs::read_dir(archives)
        .map_err(at("read", archives))?
        .flatten()
    {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "deb") {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let fields = succeed(
            &Command::words(["dpkg-deb", "-f", &path.to_string_lossy()]),
            &host.journal,
        )?;
        let size = fs::metadata(&path).map_err(at("read", &path))?.len();
        let digest = sha256_of(&path).map_err(at("read", &path))?;
        text.push_str(fields.trim_end());
        let _ = write!(
            text,
            "\nFilename: ./{name}\nSize: {size}\nSHA256: {digest}\n\n"
        );
        count += 1;
    }
    let list = archives.join("Packages");
    fs::write(&list, &text).map_err(at("write", list))?;
    // It says that there is nothing else to look for.
    let digest = sha256(text.as_bytes());
    let release = format!(
        "Suite: bundle\nSHA256:\n {digest} {} Packages\n",
        text.len()
    );
    let file = archives.join("Release");
    fs::write(&file, release).map_err(at("write", file))?;
    Ok(count)
}

/// The images that manifests name.
fn images(texts: &[String]) -> BTreeSet<String> {
    let lines = texts.iter().flat_map(|text| text.lines());
    lines
        .filter_map(|line| {
            line.trim_start()
                .trim_start_matches("- ")
                .strip_prefix("image: ")
        })
        .map(|image| image.trim_matches(['"', '\'', ' ']).to_owned())
        // Knative's own refer to a program of its build: `ko://`.
        .filter(|image| {
            !image.is_empty() && !image.contains("://") && !image.contains(['$', '{', ' '])
        })
        .collect()
}

/// The images of the control plane, which kubeadm itself names.
fn of_kubeadm(host: &Host, config: &Config, root: &Path) -> Result<Vec<String>, Error> {
    let archives = root.join("apt");
    let entries = fs::read_dir(&archives).map_err(at("read", &archives))?;
    let package = entries
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("kubeadm_"));
    let Some(package) = package else {
        return Ok(Vec::new());
    };
    let unpacked = root.join("kubeadm");
    let words = [
        "dpkg-deb",
        "-x",
        &package.path().to_string_lossy(),
        &unpacked.to_string_lossy(),
    ]
    .map(str::to_owned);
    succeed(&Command::words(words), &host.journal)?;
    let kubeadm = unpacked.join("usr/bin/kubeadm");
    let mut words = vec![kubeadm.to_string_lossy().into_owned()];
    words.extend(["config", "images", "list", "--kubernetes-version"].map(str::to_owned));
    words.push(config.kube.k8s_version.clone());
    if !config.kube.alternative_image_repo.is_empty() {
        words.extend([
            "--image-repository".to_owned(),
            config.kube.alternative_image_repo.clone(),
        ]);
    }
    let list = succeed(&Command::words(words), &host.journal)?;
    Ok(list.lines().map(str::to_owned).collect())
}

/// Writes the archive: the manifest first, so that what follows can be checked as it comes.
fn pack(root: &Path, manifest: &mut Manifest, file: &Path) -> Result<(), Error> {
    let mut paths = Vec::new();
    for part in ["apt", "files", "images"] {
        let folder = root.join(part);
        for entry in fs::read_dir(&folder)
            .map_err(at("read", &folder))?
            .flatten()
        {
            // apt's own lock and the folder for what is under way.
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "lock" && name != "partial" {
                paths.push(format!("{part}/{name}"));
            }
        }
    }
    paths.sort();
    for path in &paths {
        let digest = sha256_of(&root.join(path)).map_err(at("read", path))?;
        manifest.sha256.insert(path.clone(), digest);
    }
    let text = serde_json::to_vec_pretty(manifest).map_err(|source| Error::Malformed {
        path: file.to_owned(),
        source,
    })?;
    let list = root.join("manifest.json");
    fs::write(&list, text).map_err(at("write", &list))?;
    let written = (|| {
        let mut archive = tar::Builder::new(File::create(file)?);
        archive.append_path_with_name(&list, "manifest.json")?;
        for path in &paths {
            archive.append_path_with_name(root.join(path), path)?;
        }
        archive.into_inner()?.sync_all()
    })();
    written.map_err(at("write", file))
}

/// Unpacks an archive where the engine looks for it, and checks every file.
pub fn unpack(file: &Path) -> Result<Unpacked, Error> {
    let folder = Path::new(BUNDLE);
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(at("remove", folder))?;
    }
    for part in ["apt", "files", "images", "lists/partial"] {
        fs::create_dir_all(folder.join(part)).map_err(at("create", folder.join(part)))?;
    }
    let opened = File::open(file).map_err(at("open", file))?;
    // `unpack_in`, below it, lets no name lead out of the folder.
    tar::Archive::new(opened)
        .unpack(folder)
        .map_err(at("unpack", file))?;
    let list = folder.join("manifest.json");
    let text = fs::read(&list).map_err(at("read", &list))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|source| Error::Malformed {
        path: file.to_owned(),
        source,
    })?;
    for (name, digest) in &manifest.sha256 {
        if sha256_of(&folder.join(name)).ok().as_ref() != Some(digest) {
            return Err(Error::Damaged { file: name.clone() });
        }
    }
    let source = folder.join("bundle.list");
    let line = format!("deb [trusted=yes] file:{BUNDLE}/apt ./\n");
    fs::write(&source, line).map_err(at("write", source))?;
    Ok(Unpacked {
        folder: folder.to_owned(),
        images: manifest.images,
        pins: manifest.pins,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_read_out_of_manifests() {
        let text = "spec:\n  containers:\n  - image: docker.io/calico/node:v3\n    name: x\n  - name: y\n    image: \"registry:2\"\nimage: ko://x\n".to_owned();
        let found: Vec<String> = images(&[text]).into_iter().collect();
        assert_eq!(found, ["docker.io/calico/node:v3", "registry:2"]);
    }
}
