//! A running machine is written down.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::Error;
use super::migration::{self, COMMAND_DEADLINE};
use crate::config::{SaveTarget, Saved};
use crate::machine::Machine;
use crate::memory_file;
use crate::qmp::{self, Qmp};

/// Stops the guest, and writes its state, then its memory.
pub(crate) async fn save(machine: &mut Machine, target: SaveTarget) -> Result<Saved, Error> {
    let name = machine.name.clone();
    let refused = |source| Error::Save {
        name: name.clone(),
        source,
    };
    let unwritten = |what| {
        let name = name.clone();
        move |source| Error::Write { name, what, source }
    };
    let mut phases = Vec::new();
    let mut started = Instant::now();
    let mut end = |phase| {
        let now = Instant::now();
        phases.push((phase, now - started));
        started = now;
    };

    let qmp = &mut machine.qmp;
    qmp.execute("stop", None, COMMAND_DEADLINE)
        .await
        .map_err(refused)?;
    migration::set_up(qmp).await.map_err(refused)?;
    end("pause");

    let state_bytes = state(qmp, target.state)
        .await
        .map_err(refused)?
        .map_err(unwritten("state"))?;
    end("state");

    // After the state: QEMU may write to the guest's memory while it takes leave of a device.
    let memory = Arc::clone(&machine.memory);
    let written = blocking(move || memory_file::write(&memory, &target.memory)).await;
    let memory_bytes = written.map_err(unwritten("memory"))?;
    end("memory");
    Ok(Saved {
        state_bytes,
        memory_bytes,
        phases,
    })
}

/// Has QEMU write its state, through a pipe: that a migration may go to a plain file is deprecated.
async fn state(qmp: &mut Qmp, mut to: File) -> Result<io::Result<u64>, qmp::Error> {
    const COMMAND: &str = "migrate";
    let cannot_pipe = |source| qmp::Error::Io {
        command: COMMAND,
        source,
    };
    let (mut reader, writer) = io::pipe().map_err(cannot_pipe)?;
    let name = json!({ "fdname": "state" });
    qmp.execute_with("getfd", Some(name), &[writer.as_fd()], COMMAND_DEADLINE)
        .await?;
    // QEMU must be the only one to have this end: the state ends when it closes.
    drop(writer);
    let written = tokio::task::spawn_blocking(move || io::copy(&mut reader, &mut to));
    let uri = json!({ "uri": "fd:state" });
    qmp.execute(COMMAND, Some(uri), COMMAND_DEADLINE).await?;
    migration::finished(qmp, COMMAND).await?;
    Ok(written.await.unwrap_or_else(|error| Err(error.into())))
}

async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(f)
        .await
        .unwrap_or_else(|error| Err(error.into()))
}
