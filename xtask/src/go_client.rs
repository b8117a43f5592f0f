//! Clients that no distribution packages, `kn` and `crictl`: built from their Go modules, once per version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

/// A client, and the tests that run it.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    /// A name that only they have in theirs.
    pub(crate) tests: &'static str,
    module: &'static str,
    package: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
    /// What its go.mod asks for.
    go: (u32, u32),
}

/// The client of Knative. Its go.mod names the newest version that can be built as a module that another requires: later ones replace
/// modules of their own by folders of their repository, and that holds only there.
pub(crate) const KN: Client = Client {
    name: "kn",
    tests: "kn::",
    module: "knative.dev/client",
    package: "knative.dev/client/cmd/kn",
    go_mod: include_str!("../kn/go.mod"),
    go_sum: include_str!("../kn/go.sum"),
    go: (1, 22),
};

/// The client of container runtimes.
pub(crate) const CRICTL: Client = Client {
    name: "crictl",
    tests: "crictl::",
    module: "sigs.k8s.io/cri-tools",
    package: "sigs.k8s.io/cri-tools/cmd/crictl",
    go_mod: include_str!("../crictl/go.mod"),
    go_sum: include_str!("../crictl/go.sum"),
    go: (1, 26),
};

impl Client {
    /// Builds it into the target folder, where the tests look for it, unless that was done before. An error is why it cannot be had.
    pub(crate) fn install(&self) -> Result<()> {
        let name = self.name;
        let tools = std::path::absolute(target_dir().join("tools"))?;
        // In a folder of its own: go writes what it has resolved into go.mod.
        let folder = tools.join(format!("{name}.module"));
        let stamp = folder.join("made-of");
        // Of all that it is made of: a dependency may change without its version.
        let made_of = [self.go_mod, self.go_sum].concat();
        if tools.join(name).is_file() && fs::read_to_string(&stamp).is_ok_and(|it| it == made_of) {
            return Ok(());
        }
        self.new_enough(&go_version()?)?;
        let version = self.version();
        eprintln!("building {name} {version} (once; a few minutes)");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (file, text) in [("go.mod", self.go_mod), ("go.sum", self.go_sum)] {
            fs::write(folder.join(file), text)?;
        }
        let status = Command::new("go")
            .args(["build", "-o"])
            .arg(tools.join(name))
            .arg(self.package)
            .current_dir(&folder)
            .env("GOFLAGS", "-mod=mod")
            .env("CGO_ENABLED", "0")
            .status()
            .context("cannot start go")?;
        if !status.success() {
            bail!("go could not build {name} {version} ({status})");
        }
        fs::write(&stamp, made_of).with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(())
    }

    /// As go.mod requires it.
    fn version(&self) -> &'static str {
        let required = self.go_mod.split_once(&format!("require {} ", self.module));
        let version = required.and_then(|(_, rest)| rest.split_whitespace().next());
        version.unwrap_or("of unknown version")
    }

    fn new_enough(&self, version: &str) -> Result<()> {
        let mut parts = version.trim_start_matches("go").split('.');
        let mut part = || parts.next()?.parse::<u32>().ok();
        let known = part().zip(part());
        match known {
            Some(known) if known >= self.go => Ok(()),
            _ => Err(anyhow!(
                "Go is {version:?}, and {} {} needs {}.{}",
                self.name,
                self.version(),
                self.go.0,
                self.go.1
            )),
        }
    }
}

fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    )
}

/// `go1.26.8`, as the toolchain names itself.
fn go_version() -> Result<String> {
    let output = Command::new("go")
        .args(["env", "GOVERSION"])
        .output()
        .context("there is no Go toolchain on PATH")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_each_stands_in_its_go_mod() {
        for client in [KN, CRICTL] {
            let version = client.version();
            let parts: Vec<u32> = version
                .trim_start_matches('v')
                .split('.')
                .filter_map(|part| part.parse().ok())
                .collect();
            assert_eq!(parts.len(), 3, "{} {version}", client.name);
        }
    }

    #[test]
    fn a_toolchain_is_new_enough_by_number() {
        for version in ["go1.22", "go1.22.7", "go1.100.1", "go2.0"] {
            assert!(KN.new_enough(version).is_ok(), "{version}");
        }
        for version in ["go1.19.8", "go1.9", "", "devel"] {
            assert!(KN.new_enough(version).is_err(), "{version}");
        }
    }
}
