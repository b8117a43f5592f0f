//! `vhive get`: lists.

use crate::cli::{self, Format};
use crate::client::api::{Api, Kind};
use crate::exit::Outcome;
use crate::output;

pub(crate) async fn run(api: &Api, args: &cli::Get) -> Outcome {
    let kind = Kind::parse(&args.kind)?;
    let items = if let Some(name) = &args.name {
        vec![api.get(kind, &args.namespace, name).await?]
    } else {
        let namespace = (!args.all_namespaces).then_some(args.namespace.as_str());
        api.list(kind, namespace, None).await?
    };
    match args.output {
        Some(Format::Json) => output::say(output::objects(items, args.name.is_some(), false)?)?,
        Some(Format::Yaml) => output::say(output::objects(items, args.name.is_some(), true)?)?,
        wide => {
            if items.is_empty() {
                eprintln!("no {} found", args.kind);
            } else {
                let (header, rows) =
                    output::rows(kind, &items, args.all_namespaces, wide.is_some());
                output::say(output::table(header, rows))?;
            }
        }
    }
    Ok(())
}
