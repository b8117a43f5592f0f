//! Why there is no kernel, each with what to do next.

use std::io;
use std::path::{Path, PathBuf};

use super::vmlinux;

/// What can go wrong with guest kernels.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {verb} {path}", path = .path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a kernel that can be booted here.
    #[error("{path} cannot be used as a guest's kernel", path = .path.display())]
    Kernel {
        /// The file.
        path: PathBuf,
        /// Why.
        source: vmlinux::Error,
    },
    /// There is no kernel with its modules.
    #[error("no vmlinuz with its modules under {path}; name the kernel's package (linux-image-…-cloud-amd64, or linux-image and linux-modules on Ubuntu)", path = .path.display())]
    NoKernelIn {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The packages do not hold both.
    #[error("there is no kernel with its modules in {}; name the kernel's package (linux-image-…-cloud-amd64), on Ubuntu linux-image and linux-modules both", names(.packages))]
    NoKernelInPackages {
        /// What was looked into.
        packages: Vec<PathBuf>,
    },
    /// Kernel and modules do not belong together.
    #[error("the kernel is {kernel}, but the modules under {path} are for {modules:?}; name those of the same release", path = .path.display())]
    OtherRelease {
        /// Release of the kernel, as its banner has it.
        kernel: String,
        /// The modules' folder.
        path: PathBuf,
        /// The first word of a module's `vermagic`.
        modules: String,
    },
    /// A module that guests need is not there.
    #[error("the kernel under {path} has no module {module}, which guests need; use the distribution's cloud kernel", path = .path.display())]
    MissingModule {
        /// Its modules' folder.
        path: PathBuf,
        /// The module.
        module: String,
    },
    /// A module is damaged.
    #[error("{path} cannot be read as a kernel module; take the package anew", path = .path.display())]
    Module {
        /// The module.
        path: PathBuf,
        /// Why.
        source: object::build::Error,
    },
    /// A file is not a package.
    #[error("{path} is not a Debian package: {what}", path = .path.display())]
    Deb {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A command of the distribution failed.
    #[error(
        "`{command}` failed: {stderr}; try it by hand, or download a kernel package elsewhere and use `vhive kernel import FILE.deb`"
    )]
    Command {
        /// The command line.
        command: String,
        /// The end of its standard error.
        stderr: String,
    },
    /// There is no kernel of that release.
    #[error("there is no kernel {release}; `vhive kernel ls` shows all")]
    NoSuchKernel {
        /// What was asked for.
        release: String,
    },
}

fn names(packages: &[PathBuf]) -> String {
    let names: Vec<String> = packages
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(", ")
}

impl Error {
    pub(super) fn io<'a>(
        verb: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io {
            verb,
            path: path.to_owned(),
            source,
        }
    }
}
