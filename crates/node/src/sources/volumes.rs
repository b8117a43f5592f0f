//! The volumes of a container as files with modes at places (k8s.io/kubernetes `pkg/volume/{configmap,secret,projected,emptydir}`).

use std::collections::BTreeMap;
use std::path::Path;

use api::core::{KeyToPath, Volume, VolumeMount};
use api::quantity;
use sandbox::{GuestFile, HOST_VOLUME_SIZE, MAX_VOLUME_BYTES, Mount};

use super::{Error, Kind, Namespace, ObjectName, User};

const DEFAULT_MODE: i32 = 0o644;

/// One object whose keys become files.
struct Source<'a> {
    reference: ObjectName,
    items: &'a [KeyToPath],
    optional: Option<bool>,
}

/// Files by path. Of two at one path the later wins.
type Files = BTreeMap<String, GuestFile>;

/// The objects that files come from.
pub(super) fn references(volumes: &[Volume]) -> impl Iterator<Item = ObjectName> + '_ {
    let sources = volumes.iter().filter_map(sources);
    sources.flat_map(|(sources, _)| sources.into_iter().map(|source| source.reference))
}

/// The volumes that are mounted, with their files.
pub(super) fn resolve(
    volumes: &[Volume],
    mounts: &[VolumeMount],
    namespace: Namespace<'_>,
) -> Result<Vec<sandbox::Volume>, Error> {
    let mut resolved = Vec::new();
    for volume in volumes {
        let mounts: Vec<Mount> = mounts
            .iter()
            .filter(|mount| mount.name == volume.name)
            .map(|mount| Mount {
                path: mount.mount_path.clone(),
                sub_path: mount.sub_path.clone(),
                read_only: mount.read_only,
            })
            .collect();
        let (size_limit, files) = match sources(volume) {
            Some((sources, mode)) => {
                let files = files(&sources, mode, &volume.name, namespace)?;
                parts_are_there(&volume.name, &files, &mounts)?;
                (0, Some(files))
            }
            None => (size_limit(volume), None),
        };
        resolved.push(sandbox::Volume {
            name: volume.name.clone(),
            size_limit,
            files,
            mounts,
        });
    }
    let files = resolved.iter().filter_map(|volume| volume.files.as_ref());
    let bytes = files.flatten().map(|file| file.contents.len()).sum();
    if bytes > MAX_VOLUME_BYTES {
        return Err(Error::TooLarge { bytes });
    }
    let large = |volume: &&sandbox::Volume| volume.footprint() > HOST_VOLUME_SIZE / 2;
    if let Some(volume) = resolved.iter().find(large) {
        return Err(Error::TooManyFiles {
            volume: volume.name.clone(),
            files: volume.files.iter().flatten().count(),
            bytes: volume.footprint(),
        });
    }
    Ok(resolved)
}

/// The objects of a volume and the mode of its files; `None` for one that starts empty.
fn sources(volume: &Volume) -> Option<(Vec<Source<'_>>, i32)> {
    let source = |kind, name: &str, items, optional| Source {
        reference: ObjectName::new(kind, name),
        items,
        optional,
    };
    let (sources, mode) = if let Some(map) = &volume.config_map {
        let source = source(Kind::ConfigMap, &map.name, &map.items[..], map.optional);
        (vec![source], map.default_mode)
    } else if let Some(secret) = &volume.secret {
        let name = &secret.secret_name;
        let source = source(Kind::Secret, name, &secret.items[..], secret.optional);
        (vec![source], secret.default_mode)
    } else {
        let projected = volume.projected.as_ref()?;
        let mut sources = Vec::new();
        for projection in &projected.sources {
            for (kind, of) in [
                (Kind::ConfigMap, &projection.config_map),
                (Kind::Secret, &projection.secret),
            ] {
                let it = of.as_ref();
                sources.extend(it.map(|it| source(kind, &it.name, &it.items[..], it.optional)));
            }
        }
        (sources, projected.default_mode)
    };
    Some((sources, mode.unwrap_or(DEFAULT_MODE)))
}

fn size_limit(volume: &Volume) -> u64 {
    let limit = volume
        .empty_dir
        .as_ref()
        .and_then(|it| it.size_limit.as_ref());
    limit.and_then(|limit| quantity::bytes(limit)).unwrap_or(0)
}

fn files(
    sources: &[Source<'_>],
    mode: i32,
    volume: &str,
    namespace: Namespace<'_>,
) -> Result<Vec<GuestFile>, Error> {
    let user = User::Volume(volume.to_owned());
    let mut files = Files::new();
    for source in sources {
        let Some(object) = namespace.object(&source.reference, source.optional, &user)? else {
            continue;
        };
        let keys = object.files();
        if source.items.is_empty() {
            for (key, bytes) in keys {
                put(&mut files, key, mode, bytes);
            }
            continue;
        }
        for item in source.items {
            match keys.get(item.key.as_str()) {
                Some(bytes) => put(&mut files, &item.path, item.mode.unwrap_or(mode), bytes),
                None if source.optional == Some(true) => {}
                None => return Err(namespace.no_key(&source.reference, &item.key, &user)),
            }
        }
    }
    Ok(files.into_values().collect())
}

/// A file or folder that is mounted alone must be there, since there is nothing else that it could be.
fn parts_are_there(volume: &str, files: &[GuestFile], mounts: &[Mount]) -> Result<(), Error> {
    for mount in mounts {
        let part = clean(&mount.sub_path);
        let mut files = files.iter();
        let found = files.any(|file| Path::new(&file.path).starts_with(&part));
        if !part.is_empty() && !found {
            return Err(Error::NoSubPath {
                volume: volume.to_owned(),
                path: part,
                mount_path: mount.path.clone(),
            });
        }
    }
    Ok(())
}

/// As `..` is refused, paths may differ in how they are written, not in where they lead.
fn clean(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    parts.join("/")
}

fn put(files: &mut Files, path: &str, mode: i32, bytes: &[u8]) {
    let path = clean(path);
    let file = GuestFile {
        path: path.clone(),
        mode: mode.unsigned_abs(),
        contents: bytes.to_vec(),
    };
    files.insert(path, file);
}
