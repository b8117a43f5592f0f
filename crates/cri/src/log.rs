//! What a function prints, from the instance's own log into the file that the kubelet reads, rotates and asks to be opened again.

use std::io;
use std::path::{Path, PathBuf};

use sandbox::logs::{Follow, From, Log};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// Entries are put together up to this size, where there are several at once.
const CHUNK: usize = 64 << 10;

/// Asks for the file to be opened again. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Reopen(mpsc::Sender<oneshot::Sender<io::Result<()>>>);

impl Reopen {
    /// Returns when what comes next goes into the file that is at the path now. `None` if nothing comes any more.
    pub(crate) async fn reopen(&self) -> Option<io::Result<()>> {
        let (done, when) = oneshot::channel();
        self.0.send(done).await.ok()?;
        when.await.ok()
    }
}

/// Copies until the log has ended. The task ends after the last entry is written.
pub(crate) fn copy(log: Log, path: PathBuf) -> (Reopen, impl Future<Output = ()> + Send) {
    let (ask, asked) = mpsc::channel(1);
    let work = async move {
        if let Err(error) = run(&log, &path, asked).await {
            warn!(%error, path = %path.display(), "a container's log is not copied any further");
        }
    };
    (Reopen(ask), work)
}

async fn run(
    log: &Log,
    path: &Path,
    mut asked: mpsc::Receiver<oneshot::Sender<io::Result<()>>>,
) -> io::Result<()> {
    let mut file = open(path).await?;
    let mut entries = match Follow::open(log, From::Start, true).await {
        Ok(entries) => entries,
        // It ended before it printed anything.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut chunk = Vec::new();
    loop {
        let entry = if chunk.is_empty() {
            tokio::select! {
                entry = entries.next() => entry?,
                Some(done) = asked.recv() => {
                    let opened = open(path).await;
                    let _ = done.send(opened.map(|opened| file = opened));
                    continue;
                }
            }
        } else {
            tokio::select! {
                biased;
                entry = entries.next(), if chunk.len() < CHUNK => entry?,
                () = std::future::ready(()) => {
                    file.write_all(&chunk).await?;
                    file.flush().await?;
                    chunk.clear();
                    continue;
                }
            }
        };
        let Some(entry) = entry else {
            file.write_all(&chunk).await?;
            return file.flush().await;
        };
        chunk.extend_from_slice(&entry);
        chunk.push(b'\n');
    }
}

async fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let mut options = OpenOptions::new();
    // As containerd makes it.
    options.create(true).append(true).mode(0o640);
    options.open(path).await
}
