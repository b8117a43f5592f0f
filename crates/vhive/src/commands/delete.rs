//! `vhive delete`: services and all that belongs to them.

use crate::cli;
use crate::client::api::{Api, Kind};
use crate::exit::Outcome;
use crate::output::{self, text};

pub(crate) async fn run(api: &Api, args: &cli::Delete) -> Outcome {
    let names = if args.all {
        let services = api.list(Kind::Service, Some(&args.namespace), None).await?;
        services
            .iter()
            .map(|service| text(service, "/metadata/name"))
            .collect()
    } else {
        args.names.clone()
    };
    for name in names {
        api.delete(Kind::Service, &args.namespace, &name).await?;
        output::say(format_args!("service {name} deleted"))?;
    }
    Ok(())
}
