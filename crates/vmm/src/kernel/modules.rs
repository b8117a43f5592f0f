//! The modules that a guest needs, in the order of loading.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use super::{Error, strip};

/// What a guest needs beyond the kernel proper: its NIC, its disk, its root. virtio itself depends on nothing that
/// announces it, so it is named.
const NEEDED: &[&str] = &[
    "virtio_ring",
    "virtio",
    "virtio_mmio",
    "virtio_net",
    "virtio_blk",
    "squashfs",
    "overlay",
];

/// A module, decompressed.
pub(super) struct Module {
    pub(super) name: String,
    /// The kernel it was built for, as `uname -r` has it.
    pub(super) release: String,
    pub(super) content: Vec<u8>,
}

/// Reads the modules under a folder such as `/lib/modules/RELEASE`; those built into the kernel are left out.
pub(super) fn collect(folder: &Path) -> Result<Vec<Module>, Error> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(Error::io("read", &path))
    };
    // A package that was never installed has no modules.dep; the files themselves say what they need.
    let built_in = read("modules.builtin")?;
    let built_in: Vec<String> = built_in.lines().map(name_of).collect();
    let mut paths = BTreeMap::new();
    find(&folder.join("kernel"), &mut paths)?;
    let mut order = Vec::new();
    for module in NEEDED {
        add(module, folder, &built_in, &paths, &mut order)?;
    }
    Ok(order)
}

fn add(
    name: &str,
    folder: &Path,
    built_in: &[String],
    paths: &BTreeMap<String, std::path::PathBuf>,
    order: &mut Vec<Module>,
) -> Result<(), Error> {
    let file = format!("{name}.ko");
    if built_in.iter().any(|it| it == name) || order.iter().any(|module| module.name == file) {
        return Ok(());
    }
    let path = paths.get(name).ok_or_else(|| Error::MissingModule {
        path: folder.to_owned(),
        module: name.to_owned(),
    })?;
    let content = decompressed(path)?;
    for dependency in dependencies(&content) {
        add(&dependency, folder, built_in, paths, order)?;
    }
    let release = release(&content);
    let content = strip::strip(&content).map_err(|source| Error::Module {
        path: path.clone(),
        source,
    })?;
    order.push(Module {
        name: file,
        release,
        content,
    });
    Ok(())
}

/// `kernel/drivers/net/virtio-net.ko.xz` is `virtio_net`: the kernel does not tell `-` from `_`.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

fn find(folder: &Path, paths: &mut BTreeMap<String, std::path::PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let text = path.to_string_lossy().into_owned();
        if path.is_dir() {
            find(&path, paths)?;
        } else if text.contains(".ko") {
            paths.insert(name_of(&text), path);
        }
    }
    Ok(())
}

/// The `depends=` entry of a module's `.modinfo`.
fn dependencies(module: &[u8]) -> Vec<String> {
    entry(module, b"depends=")
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

/// The first word of the `vermagic=` entry; empty if there is none.
fn release(module: &[u8]) -> String {
    let magic = entry(module, b"vermagic=");
    magic.split(' ').next().unwrap_or_default().to_owned()
}

/// An entry of `.modinfo`, whose entries end in NUL. It may be the first of the section, behind what is no entry.
fn entry(module: &[u8], key: &[u8]) -> String {
    let starts = |at: &usize| {
        let before = at.checked_sub(1).and_then(|before| module.get(before));
        before.is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
    };
    let found = module
        .windows(key.len())
        .enumerate()
        .filter_map(|(at, window)| (window == key).then_some(at))
        .find(starts);
    let rest = found
        .and_then(|at| module.get(at + key.len()..))
        .unwrap_or_default();
    let value = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

fn decompressed(path: &Path) -> Result<Vec<u8>, Error> {
    let raw = fs::read(path).map_err(Error::io("read", path))?;
    let mut out = Vec::new();
    let result = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => liblzma::read::XzDecoder::new(raw.as_slice()).read_to_end(&mut out),
        Some("zst") => {
            zstd::Decoder::new(raw.as_slice()).and_then(|mut decoder| decoder.read_to_end(&mut out))
        }
        Some("gz") => flate2::read::GzDecoder::new(raw.as_slice()).read_to_end(&mut out),
        _ => return Ok(unsigned(raw)),
    };
    result.map_err(Error::io("decompress", path))?;
    Ok(unsigned(out))
}

/// Without its appended signature, whose check costs time under emulation; the guest does not enforce it.
fn unsigned(mut module: Vec<u8>) -> Vec<u8> {
    const MAGIC: &[u8] = b"~Module signature appended~\n";
    /// `struct module_signature`; its last four bytes are the signature's length, big-endian.
    const DESCRIPTOR: usize = 12;
    let Some(end) = module.len().checked_sub(MAGIC.len() + DESCRIPTOR) else {
        return module;
    };
    if !module.ends_with(MAGIC) {
        return module;
    }
    let length = module
        .get(end + 8..end + 12)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_be_bytes);
    if let Some(start) = end.checked_sub(length as usize) {
        module.truncate(start);
    }
    module
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_depend_on_compression_or_dashes() {
        assert_eq!(
            name_of("kernel/drivers/net/virtio-net.ko.zst"),
            "virtio_net"
        );
        assert_eq!(
            name_of("/lib/modules/6.1/kernel/fs/squashfs/squashfs.ko"),
            "squashfs"
        );
    }

    #[test]
    fn dependencies_are_read_from_the_module_itself() {
        assert_eq!(
            dependencies(b"license=GPL\0depends=virtio,net-failover\0name=x\0"),
            ["virtio", "net_failover"]
        );
        assert!(dependencies(b"\0depends=\0").is_empty());
    }

    #[test]
    fn a_module_tells_its_release() {
        let module = b"\0name=x\0vermagic=6.1.0-9-cloud SMP modversions \0";
        assert_eq!(release(module), "6.1.0-9-cloud");
        assert_eq!(release(b"vermagic=6.1\0"), "6.1");
        assert_eq!(release(b"\0name=x\0"), "");
    }

    #[test]
    fn a_signature_is_cut_off() {
        let mut signed = b"module".to_vec();
        signed.extend(b"SIGNATURE");
        signed.extend([0; 8]);
        signed.extend(9u32.to_be_bytes());
        signed.extend(b"~Module signature appended~\n");
        assert_eq!(unsigned(signed), b"module");
        assert_eq!(unsigned(b"plain".to_vec()), b"plain");
    }
}
