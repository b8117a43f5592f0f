//! The Unix socket on which the kubelet finds us.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::Cri;

const WINDOW: u32 = 4 << 20;
/// When no connection can be accepted, for want of descriptors say.
const PAUSE: Duration = Duration::from_millis(50);

/// Why nobody can listen there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another server does.
    #[error("{} is in use: another `vhive cri` may be running", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// There is a file, and not a socket.
    #[error("{} is there and is no socket: remove it, or name another with --socket", path.display())]
    NoSocket {
        /// The file.
        path: PathBuf,
    },
    /// The system does not let us.
    #[error("cannot listen on {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Listens for root alone. A socket that somebody left who is gone is replaced.
pub(crate) async fn listen(path: &Path) -> Result<UnixListener, Error> {
    let failed = |source| Error::Listen {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => {
            if UnixStream::connect(path).await.is_ok() {
                return Err(Error::InUse {
                    path: path.to_owned(),
                });
            }
            fs::remove_file(path).map_err(failed)?;
        }
        Ok(_) => {
            return Err(Error::NoSocket {
                path: path.to_owned(),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Serves until told to stop; then connections finish what they have begun.
pub(crate) async fn serve(
    listener: UnixListener,
    cri: Cri,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(connection(stream, cri.clone(), stop.clone()));
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, cri: Cri, stop: CancellationToken) {
    let service = service_fn(move |request| {
        let cri = cri.clone();
        async move { Ok::<_, std::convert::Infallible>(cri.answer(request).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        // A kubelet asks for all pods of a node at once.
        .max_concurrent_streams(None)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a client's connection ended");
    }
}
