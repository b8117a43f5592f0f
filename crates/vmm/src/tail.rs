//! The last bytes of an endless stream: what a hypervisor and a guest console had to say before the end.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tracing::warn;

/// Kept in memory, in bytes.
const KEPT: usize = 16 * 1024;

/// Written to the file, in bytes. A guest that floods its console must not fill the host's disk.
const WRITTEN: usize = 256 * 1024;

/// Reads a stream to its end and keeps the last of it, and the first of it in a file if one is named.
#[derive(Debug)]
pub(crate) struct Tail {
    kept: Arc<Mutex<VecDeque<u8>>>,
    reader: JoinHandle<()>,
}

impl Tail {
    pub(crate) fn of(
        mut stream: impl AsyncRead + Unpin + Send + 'static,
        file: Option<PathBuf>,
    ) -> Tail {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let keep = Arc::clone(&kept);
        let reader = tokio::spawn(async move {
            let mut file = Copy {
                path: file,
                open: None,
                written: 0,
            };
            let mut chunk = vec![0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut chunk).await {
                {
                    let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.extend(&chunk[..count]);
                    let excess = kept.len().saturating_sub(KEPT);
                    kept.drain(..excess);
                }
                file.write(&chunk[..count]).await;
            }
        });
        Tail { kept, reader }
    }

    /// What is kept now, as text.
    pub(crate) fn text(&self) -> String {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(kept.make_contiguous())
            .trim()
            .to_owned()
    }

    /// Waits until the stream has ended: until every process that holds its other end has.
    pub(crate) async fn ended(&mut self) {
        if !self.reader.is_finished() {
            // The task neither panics nor is cancelled while this is held.
            let _ = (&mut self.reader).await;
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The file, made at the first byte: most guests say nothing.
struct Copy {
    path: Option<PathBuf>,
    open: Option<File>,
    written: usize,
}

impl Copy {
    async fn write(&mut self, bytes: &[u8]) {
        let Some(path) = &self.path else { return };
        let bytes = &bytes[..bytes.len().min(WRITTEN - self.written)];
        if bytes.is_empty() {
            return;
        }
        self.written += bytes.len();
        let result = async {
            if self.open.is_none() {
                self.open = Some(File::create(path).await?);
            }
            match &mut self.open {
                Some(file) => {
                    file.write_all(bytes).await?;
                    file.flush().await
                }
                None => Ok(()),
            }
        };
        if let Err(error) = result.await {
            warn!(%error, path = %path.display(), "console not written");
            self.path = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_is_kept_and_the_beginning_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut said = vec![b'a'; WRITTEN];
        said.extend(vec![b'b'; KEPT]);
        let mut tail = Tail::of(std::io::Cursor::new(said), Some(path.clone()));
        tail.ended().await;
        assert_eq!(tail.text(), "b".repeat(KEPT));
        assert_eq!(std::fs::read(path).unwrap(), vec![b'a'; WRITTEN]);
    }

    #[tokio::test]
    async fn silence_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut tail = Tail::of(std::io::Cursor::new(Vec::new()), Some(path.clone()));
        tail.ended().await;
        assert_eq!(tail.text(), "");
        assert!(!path.exists());
    }
}
