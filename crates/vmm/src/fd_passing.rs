//! Descriptors that are sent to another process over a Unix socket (unix(7), `SCM_RIGHTS`).

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;

/// Sends bytes, and descriptors along with the first of them.
pub(crate) async fn send(
    stream: &mut UnixStream,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    if fds.is_empty() {
        return stream.write_all(bytes).await;
    }
    let fds: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let sent = stream
        .async_io(Interest::WRITABLE, || {
            let rights = [ControlMessage::ScmRights(&fds)];
            let flags = MsgFlags::MSG_NOSIGNAL;
            let socket = stream.as_raw_fd();
            Ok(sendmsg::<()>(
                socket,
                &[IoSlice::new(bytes)],
                &rights,
                flags,
                None,
            )?)
        })
        .await?;
    stream.write_all(&bytes[sent..]).await
}
