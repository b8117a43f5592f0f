//! A waiting QEMU becomes a clone of a machine that was saved.
//!
//! ```text
//!  Dormant ──▶ bind ──▶ load ──▶ resume ──▶ Machine
//!               │  memory, root    │ cont
//!               └────────┴─────────┴──▶ killed, if any of them fails
//! ```

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Error;
use super::arguments::ROOT_NODE;
use super::migration::{self, COMMAND_DEADLINE};
use super::shim;
use super::spawn::open;
use crate::config::RestoreConfig;
use crate::machine::{Dormant, Machine};
use crate::memory_file::Source;
use crate::qmp::{self, Qmp};

/// The set of descriptors that the root image is in.
const ROOT_SET: u32 = 1;

type Phases = Vec<(&'static str, Duration)>;

/// Which step failed, and why.
enum Failure {
    Open(Error),
    Bind(shim::Error),
    Root(qmp::Error),
    Load(qmp::Error),
    Gate(String),
    Resume(qmp::Error),
}

pub(super) async fn restore(mut dormant: Dormant, config: RestoreConfig) -> Result<Machine, Error> {
    let root = config.root.clone();
    let failure = match steps(&mut dormant, config).await {
        Ok(phases) => {
            let mut machine = dormant.machine;
            machine.phases = phases;
            return Ok(machine);
        }
        Err(failure) => failure,
    };
    let name = dormant.machine.name.clone();
    // Why is on its standard error, which is whole only when it has ended.
    let stderr = match dormant.kill().await {
        Ok(exit) => exit.stderr_tail,
        Err(error) => error.to_string(),
    };
    Err(match failure {
        Failure::Open(error) => error,
        Failure::Bind(source) => Error::Bind {
            name,
            stderr,
            source,
        },
        Failure::Root(source) => Error::Root {
            name,
            root,
            stderr,
            source,
        },
        Failure::Load(source) => Error::Load {
            name,
            stderr,
            source,
        },
        Failure::Gate(why) => Error::Gate { name, why },
        Failure::Resume(source) => Error::Resume {
            name,
            stderr,
            source,
        },
    })
}

async fn steps(dormant: &mut Dormant, config: RestoreConfig) -> Result<Phases, Failure> {
    let mut phases = Phases::new();
    let mut started = Instant::now();
    let mut end = |phase| {
        let now = Instant::now();
        phases.push((phase, now - started));
        started = now;
    };
    let Dormant {
        machine, control, ..
    } = dormant;

    let (bound, attached) = tokio::join!(
        shim::bind(control, config.memory),
        attach_root(&mut machine.qmp, &config.root)
    );
    let region = bound.map_err(Failure::Bind)?;
    attached?;
    machine.memory = Arc::new(Source::Process {
        pid: machine.process.pid,
        start: region.start,
        length: region.length,
    });
    end("bind");

    if let Some(gate) = config.before_load {
        gate.0.await.map_err(Failure::Gate)?;
        end("gate");
    }

    load(&mut machine.qmp, config.state)
        .await
        .map_err(Failure::Load)?;
    end("load");

    if let Some(gate) = config.before_resume {
        gate.0.await.map_err(Failure::Gate)?;
        end("gate");
    }

    let resumed = machine.qmp.execute("cont", None, COMMAND_DEADLINE).await;
    resumed.map_err(Failure::Resume)?;
    end("resume");
    Ok(phases)
}

/// Puts the image behind the disk that the guest has, in place of what stood for it.
async fn attach_root(qmp: &mut Qmp, root: &Path) -> Result<(), Failure> {
    let image = open("root image", root).map_err(Failure::Open)?;
    let steps = [
        ("add-fd", json!({ "fdset-id": ROOT_SET })),
        (
            "blockdev-add",
            json!({
                "node-name": "image",
                "driver": "file",
                "filename": format!("/dev/fdset/{ROOT_SET}"),
                "read-only": true,
                // Any number of machines share the file.
                "locking": "off",
            }),
        ),
        (
            "blockdev-reopen",
            json!({ "options": [
                { "node-name": ROOT_NODE, "driver": "raw", "read-only": true, "file": "image" }
            ] }),
        ),
    ];
    let mut fds = [image.as_fd()].into_iter();
    for (command, arguments) in steps {
        let fds: Vec<_> = fds.by_ref().collect();
        qmp.execute_with(command, Some(arguments), &fds, COMMAND_DEADLINE)
            .await
            .map_err(Failure::Root)?;
    }
    Ok(())
}

/// Feeds the state to QEMU. Through a pipe: that a migration may come from a plain file is deprecated.
async fn load(qmp: &mut Qmp, mut state: File) -> Result<(), qmp::Error> {
    const COMMAND: &str = "migrate-incoming";
    let cannot_pipe = |source| qmp::Error::Io {
        command: COMMAND,
        source,
    };
    let (reader, mut writer) = io::pipe().map_err(cannot_pipe)?;
    let name = json!({ "fdname": "state" });
    qmp.execute_with("getfd", Some(name), &[reader.as_fd()], COMMAND_DEADLINE)
        .await?;
    drop(reader);
    // Ends when QEMU has read it all or is gone. If the file cannot be read QEMU finds it too short, and says so.
    tokio::task::spawn_blocking(move || io::copy(&mut state, &mut writer));
    let uri = json!({ "uri": "fd:state" });
    qmp.execute(COMMAND, Some(uri), COMMAND_DEADLINE).await?;
    migration::finished(qmp, COMMAND).await
}
