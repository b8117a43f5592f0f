//! State on its way out of one QEMU and into another, by QMP.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::qmp::{Error, Qmp};

/// How long QEMU may take to answer a command that does not move state.
pub(super) const COMMAND_DEADLINE: Duration = Duration::from_secs(5);

/// How long QEMU may take to move the state. It is small, but a page server may have to fetch what it lies in.
const MOVE_DEADLINE: Duration = Duration::from_secs(30);

/// Leaves the guest's memory out of the state, and has QEMU say how a migration goes.
pub(super) async fn set_up(qmp: &mut Qmp) -> Result<(), Error> {
    let capability = |name| json!({ "capability": name, "state": true });
    let capabilities =
        json!({ "capabilities": [capability("x-ignore-shared"), capability("events")] });
    qmp.execute(
        "migrate-set-capabilities",
        Some(capabilities),
        COMMAND_DEADLINE,
    )
    .await?;
    Ok(())
}

/// Waits for the end of the migration that `command` began.
pub(super) async fn finished(qmp: &mut Qmp, command: &'static str) -> Result<(), Error> {
    let deadline = Instant::now() + MOVE_DEADLINE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let event = qmp.event("MIGRATION", command, left).await?;
        match event["status"].as_str() {
            Some("completed") => return Ok(()),
            Some("failed" | "cancelled") => break,
            _ => {}
        }
    }
    let info = qmp.execute("query-migrate", None, COMMAND_DEADLINE).await?;
    Err(Error::Refused {
        command,
        class: "failed".to_owned(),
        description: info["error-desc"]
            .as_str()
            .unwrap_or("no reason given")
            .to_owned(),
    })
}
