//! A connection to an address.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::Failed;

pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, Failed> {
    let failed = |error: std::io::Error| Failed::io(&error, true);
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}
