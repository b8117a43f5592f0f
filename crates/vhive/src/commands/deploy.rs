//! `vhive deploy`, also called `deployer`.

use anyhow::anyhow;
use load::deploy::{self, Deployment, Options};
use load::endpoints;

use crate::cli::{Deploy, Global};
use crate::client::cluster::cluster;
use crate::exit::{Code, Failure, Outcome};
use crate::output;

pub(crate) async fn run(global: &Global, args: &Deploy) -> Outcome {
    let functions = deploy::read(&args.json_file).map_err(|error| {
        Failure::from(error)
            .hint("-jsonFile FILE names the list; tools/deployer/functions.json is one")
    })?;
    let deployments = deploy::deployments(&functions, &args.func_path);
    let cluster = cluster(global, args.kubeconfig.as_deref())?;
    eprintln!(
        "deploying {} functions to {}",
        deployments.len(),
        cluster.described()
    );
    let options = Options {
        namespace: args.namespace.clone(),
        at_once: args.conc,
        limit: args.wait_timeout,
        gateway: args.gateway.clone(),
    };
    let done = deploy::deploy(&cluster, &deployments, &options, told).await;
    let count = done.len();
    let ready: Vec<_> = done.into_iter().filter_map(Result::ok).collect();
    if ready.is_empty() {
        return Err(Failure::new(
            Code::Failed,
            anyhow!("none of {count} functions could be deployed"),
        ));
    }
    endpoints::write(&args.endpoints_file, &ready)?;
    output::say(format_args!(
        "wrote {} with {} endpoints",
        args.endpoints_file.display(),
        ready.len()
    ))?;
    if ready.len() < count {
        let failed = count - ready.len();
        return Err(Failure::new(
            Code::Failed,
            anyhow!("{failed} of {count} functions could not be deployed"),
        ));
    }
    Ok(output::say("Deployment finished")?)
}

fn told(deployment: &Deployment, done: &Result<endpoints::Endpoint, deploy::Error>) {
    let name = &deployment.name;
    match done {
        // Nobody may be there to read it.
        Ok(_) => drop(output::say(format_args!("Deployed function {name}"))),
        Err(error) => {
            let mut causes = String::new();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                causes = format!("{causes}\n  because: {cause}");
                source = cause.source();
            }
            eprintln!("Failed to deploy function {name}: {error}{causes}");
        }
    }
}
