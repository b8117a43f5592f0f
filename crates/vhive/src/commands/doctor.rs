//! `vhive doctor`: what this host can do, and how to fix what it cannot.

use anyhow::anyhow;

use crate::cli::Global;
use crate::exit::{Code, Failure, Outcome};
use crate::host::checks::{self, Finding};
use crate::output;

pub(crate) async fn run(global: &Global) -> Outcome {
    let data_dir = global.data_dir.clone();
    let findings = tokio::task::spawn_blocking(move || checks::all(&data_dir)).await?;
    let rows = findings.iter().map(|(name, finding)| match finding {
        Finding::Good(what) => [
            (*name).to_owned(),
            "ok".to_owned(),
            what.clone(),
            String::new(),
        ],
        Finding::Limited { what, advice } => [
            (*name).to_owned(),
            "limited".to_owned(),
            what.clone(),
            advice.clone(),
        ],
        Finding::Missing { what, remedy } => [
            (*name).to_owned(),
            "missing".to_owned(),
            what.clone(),
            remedy.clone(),
        ],
    });
    output::say(output::table(["CHECK", "RESULT", "FOUND", "TO DO"], rows))?;
    let missing = findings
        .iter()
        .filter(|(_, finding)| matches!(finding, Finding::Missing { .. }))
        .count();
    if missing > 0 {
        return Err(Failure::new(
            Code::Failed,
            anyhow!("a node cannot run here yet: {missing} missing"),
        )
        .hint("do what the last column says, or let `vhive quickstart` do it"));
    }
    Ok(())
}
