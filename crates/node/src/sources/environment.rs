//! The variables of a container, as the kubelet makes them (k8s.io/kubernetes `pkg/kubelet/kubelet_pods.go`,
//! `makeEnvironmentVariables`): those of `envFrom` first, then those of `env`, each of which may refer to the ones before.

use api::core::{EnvFromSource, EnvVar, KeySelector};

use super::{Error, Kind, Namespace, ObjectName, User, expand};

type Variables = Vec<(String, String)>;

/// The objects that variables come from.
pub(super) fn references<'a>(
    env: &'a [EnvVar],
    env_from: &'a [EnvFromSource],
) -> impl Iterator<Item = ObjectName> + 'a {
    let single = env
        .iter()
        .filter_map(selector)
        .map(|(kind, selector)| ObjectName::new(kind, &selector.name));
    let whole = env_from
        .iter()
        .filter_map(whole)
        .map(|(reference, _)| reference);
    single.chain(whole)
}

/// The variables; of several of one name, the last.
pub(super) fn resolve(
    env: &[EnvVar],
    env_from: &[EnvFromSource],
    namespace: Namespace<'_>,
) -> Result<Variables, Error> {
    let mut variables = Variables::new();
    for (index, source) in env_from.iter().enumerate() {
        let user = User::EnvFrom(index);
        let Some((reference, optional)) = whole(source) else {
            continue;
        };
        let Some(object) = namespace.object(&reference, optional, &user)? else {
            continue;
        };
        for (key, value) in object.values() {
            let name = format!("{}{key}", source.prefix);
            let value = text(value, &reference, key, &user)?;
            set(&mut variables, &name, value);
        }
    }
    for variable in env {
        let value = if let Some((kind, selector)) = selector(variable) {
            match selected(kind, selector, &variable.name, namespace)? {
                Some(value) => value,
                // What may be missing, and is, leaves what envFrom has set.
                None => continue,
            }
        } else {
            expand(&variable.value, |name| {
                let known = variables.iter().find(|(known, _)| known == name);
                known.map(|(_, value)| value.as_str())
            })
        };
        set(&mut variables, &variable.name, value);
    }
    Ok(variables)
}

/// Sets a variable; one that is there keeps its place.
pub(super) fn set(variables: &mut Variables, name: &str, value: String) {
    match variables.iter_mut().find(|(known, _)| known == name) {
        Some((_, current)) => *current = value,
        None => variables.push((name.to_owned(), value)),
    }
}

fn selector(variable: &EnvVar) -> Option<(Kind, &KeySelector)> {
    let source = variable.value_from.as_ref()?;
    let map = source.config_map_key_ref.as_ref();
    let secret = source.secret_key_ref.as_ref();
    map.map(|it| (Kind::ConfigMap, it))
        .or(secret.map(|it| (Kind::Secret, it)))
}

fn whole(source: &EnvFromSource) -> Option<(ObjectName, Option<bool>)> {
    let map = source.config_map_ref.as_ref();
    let secret = source.secret_ref.as_ref();
    let (kind, reference) = map
        .map(|it| (Kind::ConfigMap, it))
        .or(secret.map(|it| (Kind::Secret, it)))?;
    Some((ObjectName::new(kind, &reference.name), reference.optional))
}

/// The value of a key; `None` if it may be missing and is.
fn selected(
    kind: Kind,
    selector: &KeySelector,
    variable: &str,
    namespace: Namespace<'_>,
) -> Result<Option<String>, Error> {
    let (reference, key) = (ObjectName::new(kind, &selector.name), selector.key.as_str());
    let user = User::Env(variable.to_owned());
    let Some(object) = namespace.object(&reference, selector.optional, &user)? else {
        return Ok(None);
    };
    match object.values().get(key) {
        Some(value) => text(value, &reference, key, &user).map(Some),
        None if selector.optional == Some(true) => Ok(None),
        None => Err(namespace.no_key(&reference, key, &user)),
    }
}

/// A value as a text. A variable ends at its first NUL, so it cannot have one.
fn text(value: &[u8], object: &ObjectName, key: &str, user: &User) -> Result<String, Error> {
    match std::str::from_utf8(value) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ => Err(Error::NoText {
            object: object.clone(),
            key: key.to_owned(),
            user: user.clone(),
        }),
    }
}
