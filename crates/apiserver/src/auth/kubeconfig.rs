//! What `kubectl` and `kn` need to know, in the file they read it from.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::Pki;

/// Cluster, user and context in the file.
const NAME: &str = "vhive";

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'a str,
    kind: &'a str,
    clusters: [NamedCluster<'a>; 1],
    users: [NamedUser<'a>; 1],
    contexts: [NamedContext<'a>; 1],
    current_context: &'a str,
}

#[derive(Serialize)]
struct NamedCluster<'a> {
    name: &'a str,
    cluster: Cluster<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster<'a> {
    server: &'a str,
    certificate_authority_data: String,
}

#[derive(Serialize)]
struct NamedUser<'a> {
    name: &'a str,
    user: User<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case", untagged, rename_all_fields = "kebab-case")]
enum User<'a> {
    Certificate {
        client_certificate_data: String,
        client_key_data: String,
    },
    Token {
        token: &'a str,
    },
}

#[derive(Serialize)]
struct NamedContext<'a> {
    name: &'a str,
    context: Context<'a>,
}

#[derive(Serialize)]
struct Context<'a> {
    cluster: &'a str,
    user: &'a str,
    namespace: &'a str,
}

/// A kubeconfig (YAML) with everything in it: the address (`https://127.0.0.1:6443`), the authority, and the client's
/// certificate and key.
pub fn kubeconfig(pki: &Pki, server_url: &str) -> String {
    let user = User::Certificate {
        client_certificate_data: STANDARD.encode(&pki.client.certificate),
        client_key_data: STANDARD.encode(&pki.client.key),
    };
    write(pki, server_url, NAME, user)
}

/// The same for a user with a token.
pub fn user_kubeconfig(pki: &Pki, server_url: &str, name: &str, token: &str) -> String {
    write(pki, server_url, name, User::Token { token })
}

fn write(pki: &Pki, server_url: &str, user_name: &str, user: User<'_>) -> String {
    let config = Kubeconfig {
        api_version: "v1",
        kind: "Config",
        clusters: [NamedCluster {
            name: NAME,
            cluster: Cluster {
                server: server_url,
                certificate_authority_data: STANDARD.encode(&pki.ca),
            },
        }],
        users: [NamedUser {
            name: user_name,
            user,
        }],
        contexts: [NamedContext {
            name: NAME,
            context: Context {
                cluster: NAME,
                user: user_name,
                namespace: "default",
            },
        }],
        current_context: NAME,
    };
    // Strings in a struct always have a YAML form.
    serde_yaml_ng::to_string(&config).unwrap_or_default()
}
