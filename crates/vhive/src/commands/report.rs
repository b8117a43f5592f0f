//! `vhive report`: runs beside each other.

use crate::cli::Report;
use crate::exit::{Failure, Outcome};
use crate::output;

pub(crate) fn run(args: &Report) -> Outcome {
    let mut runs = Vec::new();
    for folder in &args.runs {
        let summary = load::report::read(folder).map_err(|error| {
            Failure::from(error).hint("`vhive load --out DIR` writes a folder that has a run in it")
        })?;
        runs.push((folder.display().to_string(), summary));
    }
    load::files::write(&args.html, &load::report::page(&runs))?;
    Ok(output::say(format_args!("wrote {}", args.html.display()))?)
}
