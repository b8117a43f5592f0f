//! `vhive functions ls`.

use std::collections::HashMap;

use image::{Reference, Store};
use serde_json::{Value, json};

use super::catalogue::{IMAGE, SAMPLES};
use crate::cli::{Format, Global};
use crate::client::api::{Api, Kind};
use crate::exit::Outcome;
use crate::output::{self, text};

pub(super) async fn run(global: &Global, format: Option<Format>) -> Outcome {
    let images = Store::open(&global.data_dir.join("images"))?.list()?;
    let services = match services(global).await {
        Ok(services) => Some(services),
        Err(failure) => {
            eprintln!("which are deployed is not known, since the node does not answer\n{failure}");
            None
        }
    };
    let mut rows = Vec::new();
    let mut objects = Vec::new();
    for sample in &SAMPLES {
        let reference = sample.image()?;
        let image = images.iter().find(|image| image.reference == reference);
        let deployed = services
            .as_ref()
            .map(|all| all.get(&reference).cloned().unwrap_or_default());
        rows.push([
            sample.name.to_owned(),
            sample.does.to_owned(),
            image.map_or_else(|| "-".to_owned(), |image| output::size(image.size_bytes)),
            match &deployed {
                None => "?".to_owned(),
                Some(names) if names.is_empty() => "-".to_owned(),
                Some(names) => names.join(" "),
            },
            image.map_or_else(|| "-".to_owned(), |image| image.digest.to_string()),
        ]);
        objects.push(json!({
            "name": sample.name,
            "description": sample.does,
            "image": reference.to_string(),
            "built": image.is_some(),
            "digest": image.map(|image| image.digest.to_string()),
            "sizeBytes": image.map(|image| image.size_bytes),
            "services": deployed,
        }));
    }
    let header = ["NAME", "WHAT A CALL DOES", "IMAGE", "SERVICES", "DIGEST"];
    let shown = match format {
        Some(Format::Json) => serde_json::to_string_pretty(&objects)?,
        Some(Format::Yaml) => serde_yaml_ng::to_string(&objects)?.trim_end().to_owned(),
        Some(Format::Wide) => output::table(header, rows),
        None => output::table(
            header.into_iter().take(4),
            rows.into_iter().map(|row| row.into_iter().take(4)),
        ),
    };
    output::say(shown)?;
    Ok(())
}

/// The services by the image that they run; those of other namespaces than the default one are named with it.
async fn services(global: &Global) -> Outcome<HashMap<Reference, Vec<String>>> {
    let api = Api::new(&global.server, &global.data_dir)?;
    let mut by_image: HashMap<Reference, Vec<String>> = HashMap::new();
    for service in api.list(Kind::Service, None, None).await? {
        if let Ok(image) = text(&service, IMAGE).parse() {
            by_image.entry(image).or_default().push(full_name(&service));
        }
    }
    Ok(by_image)
}

fn full_name(service: &Value) -> String {
    let name = text(service, "/metadata/name");
    match text(service, "/metadata/namespace").as_str() {
        "default" | "" => name,
        namespace => format!("{namespace}/{name}"),
    }
}
