//! `vhive invoke`: one call through the gateway.

use std::time::Duration;

use crate::cli;
use crate::client::api::{Api, Kind};
use crate::client::ingress::{Connection, Protocol, Reply, Target};
use crate::exit::{Code, Failure, Outcome};
use crate::output::{self, text};

pub(crate) async fn run(api: &Api, args: &cli::Invoke) -> Outcome {
    let cli::Named { name, namespace } = &args.service;
    let service = api.get(Kind::Service, namespace, name).await?;
    let url = text(&service, "/status/url");
    if url.is_empty() {
        return Err(Failure::new(
            Code::Failed,
            anyhow::anyhow!("service {name} has no URL yet"),
        )
        .hint(format!("look at `vhive describe {name} -n {namespace}`")));
    }
    let port_name = text(&service, "/spec/template/spec/containers/0/ports/0/name");
    let protocol = if port_name == "h2c" && !args.http {
        Protocol::Grpc
    } else {
        Protocol::Http
    };
    let data = match (protocol, &args.data) {
        (_, Some(data)) => data.as_str(),
        (Protocol::Grpc, None) => "world",
        (Protocol::Http, None) => "",
    };
    let target = Target::of(&url, args.gateway.as_deref()).await?;
    let mut connection = Connection::open(&target, protocol).await?;
    let reply = connection
        .call(&args.path, data, args.explain, args.timeout)
        .await
        .map_err(|error| {
            let code = if error.is::<tokio::time::error::Elapsed>() { Code::TimedOut } else { Code::Failed };
            Failure::new(code, error.context(format!("calling {name}")))
                .hint(format!("look at `vhive describe {name} -n {namespace}` and `vhive logs {name} -n {namespace}`"))
        })?;
    output::say(reply.text.trim_end())?;
    if args.explain {
        eprintln!("{}", breakdown(&reply));
    }
    Ok(())
}

/// The phases as the gateway reported them, and the whole.
pub(crate) fn breakdown(reply: &Reply) -> String {
    let mut rows: Vec<[String; 2]> = reply
        .phases
        .iter()
        .map(|(name, milliseconds)| {
            [
                name.clone(),
                output::duration(Duration::from_secs_f64(milliseconds.max(0.0) / 1e3)),
            ]
        })
        .collect();
    rows.push(["total".to_owned(), output::duration(reply.elapsed)]);
    output::table(["PHASE", "TIME"], rows)
}
