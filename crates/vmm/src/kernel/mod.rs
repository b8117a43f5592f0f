//! Guest kernels: taken out of a distribution's package, kept ready to boot.
//!
//! `<data>/kernels/<release>/` holds `vmlinux` (ELF, booted through PVH), `modules/` (decompressed, in the order of loading),
//! `modules.list`, and `initramfs-<digest>.cpio`, which also holds the agent and so is made anew when the agent changes.

mod command_line;
mod cpio;
mod deb;
mod distribution;
mod elf;
mod error;
mod modules;
mod release;
mod store;
mod strip;
mod vmlinux;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::Accel;

pub use error::Error;

/// The guest's first process, embedded so that the binary is one file.
const AGENT: &[u8] = include_bytes!(env!("VHIVE_AGENT"));

/// A guest kernel, ready to boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kernel {
    /// Release, as `uname -r` has it.
    pub release: String,
    /// The kernel, an ELF file with a PVH entry.
    pub vmlinux: PathBuf,
    /// The initramfs: the agent and the modules.
    pub initramfs: PathBuf,
    /// Digest of all of it.
    pub digest: String,
}

impl Kernel {
    /// The command line for a machine run by `accel`; `extra` is appended.
    pub fn command_line(&self, accel: Accel, extra: &str) -> String {
        command_line::of(accel, extra)
    }
}

/// Where a kernel comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Packages of Debian or Ubuntu, already downloaded.
    Deb(Vec<PathBuf>),
    /// A kernel and its modules.
    Files {
        /// The `vmlinuz`.
        vmlinuz: PathBuf,
        /// As `/lib/modules/RELEASE`.
        modules: PathBuf,
    },
    /// What is installed on this host.
    Host,
    /// The distribution's kernel package, downloaded and unpacked, never installed.
    Distribution,
}

/// The kernels of a data directory.
#[derive(Debug, Clone)]
pub struct KernelStore {
    folder: PathBuf,
}

impl KernelStore {
    /// Opens the store in `folder`, which is made if there is none. What a killed import left is removed.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
        store::sweep(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// All kernels, the oldest release first.
    pub fn list(&self) -> Result<Vec<Kernel>, Error> {
        let mut kernels = Vec::new();
        let entries = fs::read_dir(&self.folder).map_err(Error::io("read", &self.folder))?;
        for entry in entries {
            let entry = entry.map_err(Error::io("read", &self.folder))?;
            if entry.path().join("vmlinux").is_file() && entry.path().join("modules.list").is_file()
            {
                kernels.push(load(&entry.path())?);
            }
        }
        kernels.sort_by(|left, right| release::compare(&left.release, &right.release));
        Ok(kernels)
    }

    /// The kernel that was imported last.
    pub fn latest(&self) -> Result<Option<Kernel>, Error> {
        let imported = |kernel: &Kernel| {
            fs::metadata(&kernel.vmlinux)
                .and_then(|it| it.modified())
                .ok()
        };
        Ok(self.list()?.into_iter().max_by_key(imported))
    }

    /// Takes a kernel in; `progress` hears what is being done. A kernel of the same release is replaced.
    pub fn import(&self, source: Source, progress: &dyn Fn(&str)) -> Result<Kernel, Error> {
        let work = store::Work::new(&self.folder)?;
        let files = match source {
            Source::Files { vmlinuz, modules } => Files { vmlinuz, modules },
            Source::Host => Files::on_host(Path::new("/"))?,
            Source::Deb(packages) => unpacked(&packages, work.path(), progress)?,
            Source::Distribution => {
                let packages = distribution::download(work.path(), progress)?;
                unpacked(&packages, work.path(), progress)?
            }
        };
        progress(&format!(
            "extracting {}",
            files
                .vmlinuz
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
        ));
        let image = fs::read(&files.vmlinuz).map_err(Error::io("read", &files.vmlinuz))?;
        let kernel = vmlinux::extract(&image).map_err(|source| Error::Kernel {
            path: files.vmlinuz.clone(),
            source,
        })?;
        let modules = modules::collect(&files.modules)?;
        if let Some(module) = modules.iter().find(|it| it.release != kernel.release) {
            return Err(Error::OtherRelease {
                kernel: kernel.release,
                path: files.modules,
                modules: module.release.clone(),
            });
        }
        let ready = work.path().join("ready");
        let folder = ready.join("modules");
        fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
        store::write(&ready.join("vmlinux"), &kernel.file)?;
        for module in &modules {
            store::write(&folder.join(&module.name), &module.content)?;
        }
        let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        store::write(&ready.join("modules.list"), names.join("\n").as_bytes())?;
        // With its initramfs, so that one who has found the kernel that is replaced finds the same names.
        load(&ready)?;
        load(&store::publish(&self.folder, &ready, &kernel.release)?)
    }

    /// Removes the kernel of that release.
    pub fn remove(&self, release: &str) -> Result<(), Error> {
        let known = self
            .list()?
            .into_iter()
            .any(|kernel| kernel.release == release);
        if !known {
            return Err(Error::NoSuchKernel {
                release: release.to_owned(),
            });
        }
        store::remove(&self.folder, release)
    }
}

/// A kernel of the store, with an initramfs of this binary's agent.
fn load(folder: &Path) -> Result<Kernel, Error> {
    let list_path = folder.join("modules.list");
    let list = fs::read_to_string(&list_path).map_err(Error::io("read", &list_path))?;
    let mut archive = cpio::Archive::default();
    let mut digest = Sha256::new();
    archive.folder("dev");
    archive.console("dev/console");
    archive.folder("modules");
    archive.file("init", 0o755, AGENT);
    digest.update(AGENT);
    let mut loaded = String::new();
    for name in list.lines() {
        let path = folder.join("modules").join(name);
        let content = fs::read(&path).map_err(Error::io("read", &path))?;
        digest.update(&content);
        archive.file(&format!("modules/{name}"), 0o644, &content);
        loaded.push_str("/modules/");
        loaded.push_str(name);
        loaded.push('\n');
    }
    archive.file("modules.list", 0o644, loaded.as_bytes());
    let digest = hex(&digest.finalize());
    let initramfs = folder.join(format!(
        "initramfs-{}.cpio",
        digest.get(..16).unwrap_or(&digest)
    ));
    if !initramfs.exists() {
        store::write(&initramfs, &archive.finish())?;
    }
    Ok(Kernel {
        release: folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        vmlinux: folder.join("vmlinux"),
        initramfs,
        digest: format!("sha256:{digest}"),
    })
}

/// A kernel and its modules, somewhere.
struct Files {
    vmlinuz: PathBuf,
    modules: PathBuf,
}

impl Files {
    /// The newest kernel under `root` that has its modules.
    fn on_host(root: &Path) -> Result<Self, Error> {
        let boot = root.join("boot");
        let mut found = Vec::new();
        let entries = match fs::read_dir(&boot) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoKernelIn { path: boot });
            }
            entries => entries.map_err(Error::io("read", &boot))?,
        };
        for entry in entries {
            let path = entry.map_err(Error::io("read", &boot))?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let Some(release) = name.strip_prefix("vmlinuz-") else {
                continue;
            };
            let folders =
                ["lib/modules", "usr/lib/modules"].map(|folder| root.join(folder).join(release));
            if let Some(modules) = folders
                .into_iter()
                .find(|folder| folder.join("kernel").is_dir())
            {
                let release = release.to_owned();
                found.push((
                    release,
                    Self {
                        vmlinuz: path,
                        modules,
                    },
                ));
            }
        }
        found
            .into_iter()
            .max_by(|(left, _), (right, _)| release::compare(left, right))
            .map(|(_, files)| files)
            .ok_or(Error::NoKernelIn { path: boot })
    }
}

fn unpacked(packages: &[PathBuf], work: &Path, progress: &dyn Fn(&str)) -> Result<Files, Error> {
    let root = work.join("root");
    for package in packages {
        progress(&format!(
            "unpacking {}",
            package.file_name().unwrap_or_default().to_string_lossy()
        ));
        deb::unpack(package, &root)?;
    }
    Files::on_host(&root).map_err(|error| match error {
        Error::NoKernelIn { .. } => Error::NoKernelInPackages {
            packages: packages.to_vec(),
        },
        error => error,
    })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
