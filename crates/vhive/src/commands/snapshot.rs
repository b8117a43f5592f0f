//! `vhive snapshot`: the snapshots that functions are restored from.

use serde_json::{Value, json};

use crate::cli::{Format, Named, Snapshot, SnapshotNamed};
use crate::client::api::{Api, Kind};
use crate::exit::{Failure, Outcome};
use crate::output::{self, rows, text};

pub(crate) async fn run(api: &Api, command: &Snapshot) -> Outcome {
    match command {
        Snapshot::Ls { namespace, output } => list(api, namespace, *output).await,
        Snapshot::Inspect { named, verify } => {
            inspect(api, named).await?;
            if *verify {
                self::verify(api, named).await?;
            }
            Ok(())
        }
        Snapshot::Create(named) => create(api, named).await,
        Snapshot::Rm { ids, namespace } => {
            for id in ids {
                api.delete(Kind::Snapshot, namespace, id).await?;
                output::say(format!("snapshot {id} removed"))?;
            }
            Ok(())
        }
    }
}

async fn list(api: &Api, namespace: &str, format: Option<Format>) -> Outcome {
    let items = api.list(Kind::Snapshot, Some(namespace), None).await?;
    match format {
        Some(Format::Json) => output::say(output::objects(items, false, false)?)?,
        Some(Format::Yaml) => output::say(output::objects(items, false, true)?)?,
        _ if items.is_empty() => {
            eprintln!("no snapshots; a function has one after its second request");
        }
        wide => {
            let (header, rows) = rows(Kind::Snapshot, &items, false, wide.is_some());
            output::say(output::table(header, rows))?;
        }
    }
    Ok(())
}

async fn inspect(api: &Api, named: &SnapshotNamed) -> Outcome {
    let snapshot = api.get(Kind::Snapshot, &named.namespace, &named.id).await?;
    let status = |name: &str| text(&snapshot, &format!("/status/{name}"));
    let bytes = |pointer: &str| {
        let bytes = snapshot.pointer(pointer).and_then(Value::as_u64);
        output::size(bytes.unwrap_or(0))
    };
    let mut lines = vec![
        ("id", named.id.clone()),
        ("revision", text(&snapshot, "/spec/revision")),
        ("taken", text(&snapshot, "/metadata/creationTimestamp")),
        ("root image", status("root")),
        ("kernel", status("kernel")),
        ("hypervisor", status("hypervisor")),
        ("processor", status("processor")),
        ("virtual CPUs", status("vcpus")),
        ("memory", bytes("/status/memoryBytes")),
        (
            "memory digest",
            format!("sha256:{}", status("memorySha256")),
        ),
        ("state", bytes("/status/stateBytes")),
        ("state digest", format!("sha256:{}", status("stateSha256"))),
        ("on disk", bytes("/status/onDiskBytes")),
        ("restores", status("restores")),
        ("last used", status("lastUsed")),
    ];
    let set = |name: &str| text(&snapshot, &format!("/status/workingSet/{name}"));
    if snapshot.pointer("/status/workingSet/pages").is_some() {
        lines.extend([
            ("working set", bytes("/status/workingSet/bytes")),
            ("its pages", set("pages")),
            ("its zero pages", set("zeroPages")),
            ("guests given it", set("uses")),
            ("pages brought", set("pagesBrought")),
            ("misses", set("misses")),
        ]);
    } else {
        lines.push(("working set", "not recorded yet".to_owned()));
    }
    let rows = lines
        .into_iter()
        .map(|(name, value)| [name.to_owned(), value]);
    output::say(output::table(["FIELD", "VALUE"], rows))?;
    Ok(())
}

/// Fails if anything of it is not as it was written.
async fn verify(api: &Api, named: &SnapshotNamed) -> Outcome {
    let SnapshotNamed { id, namespace } = named;
    let found = api
        .get(Kind::Snapshot, namespace, &format!("{id}/verify"))
        .await?;
    let damage = found.pointer("/status/damage").and_then(Value::as_array);
    let Some(damage) = damage else {
        return Err(anyhow::anyhow!("the node did not say whether snapshot {id} is whole").into());
    };
    if damage.is_empty() {
        output::say(format!("snapshot {id} is whole"))?;
        return Ok(());
    }
    let damage: Vec<&str> = damage.iter().filter_map(Value::as_str).collect();
    let error =
        anyhow::anyhow!("{}", damage.join("; ")).context(format!("snapshot {id} is damaged"));
    Err(Failure::from(error).hint(format!(
        "remove it with `vhive snapshot rm {id} -n {namespace}`; the function then boots, and is saved again"
    )))
}

async fn create(api: &Api, named: &Named) -> Outcome {
    let Named { name, namespace } = named;
    let service = api.get(Kind::Service, namespace, name).await?;
    let revision = text(&service, "/status/latestReadyRevisionName");
    if revision.is_empty() {
        return Err(
            Failure::from(anyhow::anyhow!("service {name} has no ready revision"))
                .hint(format!("look at `vhive describe {name} -n {namespace}`")),
        );
    }
    let wish =
        json!({"kind": "Snapshot", "apiVersion": "vhive.dev/v1", "spec": {"revision": revision}});
    let snapshot = api
        .create(Kind::Snapshot, namespace, &wish)
        .await
        .map_err(|failure| {
            failure.hint(format!(
                "it takes a ready instance (`vhive invoke {name} -n {namespace}`), and a node without `--snapshot-after 0`"
            ))
        })?;
    output::say(format!(
        "snapshot {} of {revision} taken",
        text(&snapshot, "/metadata/name")
    ))?;
    Ok(())
}
