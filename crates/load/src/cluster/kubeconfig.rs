//! Kubeconfig files, as kubectl reads them: certificates and tokens, in the file or beside it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::Access;

/// Why a kubeconfig does not say how to reach a cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read: the kubeconfig, or one that it names.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no kubeconfig.
    #[error("{} is no kubeconfig", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where it is wrong.
        source: serde_yaml_ng::Error,
    },
    /// Something that it names is not in it.
    #[error("the kubeconfig has no {kind} {name:?}")]
    Absent {
        /// Cluster, user or context.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Data in it is not base64.
    #[error("{field} of the kubeconfig is not base64")]
    Data {
        /// The field.
        field: &'static str,
        /// Where it is wrong.
        source: base64::DecodeError,
    },
    /// A way to log in that is not known here.
    #[error(
        "the kubeconfig's user logs in by {0}, and only certificates and tokens are known here"
    )]
    Unsupported(&'static str),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    current_context: String,
    clusters: Vec<Named>,
    users: Vec<Named>,
    contexts: Vec<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
    cluster: Option<Cluster>,
    user: Option<User>,
    context: Option<Context>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: bool,
    proxy_url: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    exec: Option<serde_yaml_ng::Value>,
    auth_provider: Option<serde_yaml_ng::Value>,
    username: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
}

/// All files together: of what several name alike, the first counts.
#[derive(Default)]
struct Merged {
    current: String,
    // With the folder that names in it are relative to.
    clusters: BTreeMap<String, (Cluster, PathBuf)>,
    users: BTreeMap<String, (User, PathBuf)>,
    contexts: BTreeMap<String, Context>,
}

impl Access {
    /// What the current context of a kubeconfig says. Like `KUBECONFIG`, `files` may be several with colons between, of which those
    /// count that exist.
    pub fn from_kubeconfig(files: &str) -> Result<Self, Error> {
        let merged = merged(files)?;
        let context = merged.contexts.get(&merged.current);
        let context = context.ok_or_else(|| absent("context", &merged.current))?;
        let (cluster, beside) = merged
            .clusters
            .get(&context.cluster)
            .ok_or_else(|| absent("cluster", &context.cluster))?;
        let ca = material(
            "certificate-authority-data",
            cluster.certificate_authority_data.as_deref(),
            cluster.certificate_authority.as_deref(),
            beside,
        )?;
        let access = Self {
            server: cluster.server.clone(),
            ca,
            insecure: cluster.insecure_skip_tls_verify,
            proxy: cluster.proxy_url.clone(),
            source: format!("context {} of {files}", merged.current),
            ..Self::default()
        };
        if context.user.is_empty() {
            return Ok(access);
        }
        let user = merged.users.get(&context.user);
        let (user, beside) = user.ok_or_else(|| absent("user", &context.user))?;
        let (identity, token) = login(user, beside)?;
        Ok(Self {
            identity,
            token,
            ..access
        })
    }
}

fn absent(kind: &'static str, name: &str) -> Error {
    Error::Absent {
        kind,
        name: name.to_owned(),
    }
}

fn merged(files: &str) -> Result<Merged, Error> {
    let mut merged = Merged::default();
    let paths: Vec<_> = files.split(':').filter(|it| !it.is_empty()).collect();
    for path in &paths {
        let path = Path::new(path);
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && paths.len() > 1 => continue,
            read => read.map_err(|source| Error::Read {
                path: path.to_owned(),
                source,
            })?,
        };
        let file: File = serde_yaml_ng::from_str(&text).map_err(|source| Error::Form {
            path: path.to_owned(),
            source,
        })?;
        let beside = || path.parent().unwrap_or(Path::new(".")).to_owned();
        if merged.current.is_empty() {
            merged.current = file.current_context;
        }
        for Named { name, cluster, .. } in file.clusters {
            let cluster = (cluster.unwrap_or_default(), beside());
            merged.clusters.entry(name).or_insert(cluster);
        }
        for Named { name, user, .. } in file.users {
            let user = (user.unwrap_or_default(), beside());
            merged.users.entry(name).or_insert(user);
        }
        for Named { name, context, .. } in file.contexts {
            let context = context.unwrap_or_default();
            merged.contexts.entry(name).or_insert(context);
        }
    }
    Ok(merged)
}

type Login = (Option<Vec<u8>>, Option<String>);

fn login(user: &User, beside: &Path) -> Result<Login, Error> {
    let certificate = material(
        "client-certificate-data",
        user.client_certificate_data.as_deref(),
        user.client_certificate.as_deref(),
        beside,
    )?;
    let key = material(
        "client-key-data",
        user.client_key_data.as_deref(),
        user.client_key.as_deref(),
        beside,
    )?;
    let identity = certificate.zip(key).map(|(mut certificate, key)| {
        certificate.push(b'\n');
        certificate.extend(key);
        certificate
    });
    // As with client-go, the file goes first.
    let token = match &user.token_file {
        Some(file) => {
            let read = String::from_utf8_lossy(&read(&beside.join(file))?).into_owned();
            Some(read.trim().to_owned())
        }
        None => user.token.clone(),
    };
    if identity.is_none() && token.is_none() {
        let other = [
            (user.exec.is_some(), "a program (exec)"),
            (user.auth_provider.is_some(), "an auth-provider"),
            (user.username.is_some(), "a password"),
        ];
        if let Some((_, other)) = other.into_iter().find(|(is, _)| *is) {
            return Err(Error::Unsupported(other));
        }
    }
    Ok((identity, token))
}

/// What is in the file, or in one that it names. What is in it goes first.
fn material(
    field: &'static str,
    data: Option<&str>,
    file: Option<&Path>,
    beside: &Path,
) -> Result<Option<Vec<u8>>, Error> {
    match (data, file) {
        (Some(data), _) if !data.is_empty() => STANDARD
            .decode(data.trim())
            .map(Some)
            .map_err(|source| Error::Data { field, source }),
        (_, Some(file)) => read(&beside.join(file)).map(Some),
        _ => Ok(None),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(text: &str) -> Result<Access, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key.pem"), "KEY").unwrap();
        std::fs::write(folder.path().join("cert.pem"), "CERT").unwrap();
        std::fs::write(folder.path().join("token"), "from-a-file\n").unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, text).unwrap();
        Access::from_kubeconfig(&file.to_string_lossy()).map_err(|error| error.to_string())
    }

    fn with_user(user: &str) -> String {
        format!(
            "current-context: c\nclusters: [{{name: k, cluster: {{server: 'https://h:6443', certificate-authority-data: Q0E=}}}}]\n\
             users: [{{name: u, user: {user}}}]\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n"
        )
    }

    #[test]
    fn certificates_are_read_from_the_file_and_from_beside_it() {
        let inside = access(&with_user(
            "{client-certificate-data: Q0VSVA==, client-key-data: S0VZ}",
        ));
        let inside = inside.unwrap();
        assert_eq!(inside.server, "https://h:6443");
        assert_eq!(inside.ca.as_deref(), Some(&b"CA"[..]));
        assert_eq!(inside.identity.as_deref(), Some(&b"CERT\nKEY"[..]));
        let beside = access(&with_user(
            "{client-certificate: cert.pem, client-key: key.pem}",
        ));
        assert_eq!(beside.unwrap().identity, inside.identity);
    }

    #[test]
    fn a_token_is_read_and_its_file_goes_first() {
        let token = |user| access(&with_user(user)).unwrap().token;
        assert_eq!(token("{token: t}").as_deref(), Some("t"));
        assert_eq!(
            token("{token: t, tokenFile: token}").as_deref(),
            Some("from-a-file")
        );
    }

    #[test]
    fn what_is_missing_or_unknown_is_told() {
        let error = |text: &str| access(text).err().unwrap();
        assert!(error("clusters: 1").ends_with("is no kubeconfig"));
        assert_eq!(error("{}"), "the kubeconfig has no context \"\"");
        assert_eq!(
            error("current-context: c\ncontexts: [{name: c, context: {cluster: k}}]"),
            "the kubeconfig has no cluster \"k\""
        );
        assert!(error(&with_user("{exec: {command: x}}")).contains("a program (exec)"));
        assert!(error(&with_user("{client-key-data: '*'}")).contains("client-key-data"));
        assert!(error(&with_user("{tokenFile: absent}")).starts_with("cannot read"));
    }

    #[test]
    fn of_several_files_those_count_that_exist_and_the_first_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_string_lossy().into_owned()
        };
        let first = write(
            "a",
            "clusters: [{name: k, cluster: {server: 'https://first'}}]\n",
        );
        let second = write("b", &with_user("{token: t}"));
        let access = Access::from_kubeconfig(&format!("{first}:/absent:{second}")).unwrap();
        assert_eq!(access.server, "https://first");
        assert_eq!(access.token.as_deref(), Some("t"));
    }
}
