//! A connection that breaks.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use image::Reference;
use image::registry::{Client, Progress};

use super::server::Server;
use super::transfer::pushed;
use crate::samples::{Sample, assert_usable, noise};

const CUT_AFTER: usize = 1 << 20;

/// Forwards connections to the server, and breaks the first that carries more than a megabyte towards
/// the client. Gives its address; it ends with the test process.
fn breaking_proxy(server: SocketAddr) -> SocketAddr {
    static BROKEN: AtomicUsize = AtomicUsize::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(server).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
            thread::spawn(move || {
                let _ = forward(server, client, &BROKEN);
            });
        }
    });
    address
}

fn forward(mut from: TcpStream, mut to: TcpStream, broken: &AtomicUsize) -> std::io::Result<()> {
    let (mut buffer, mut carried) = (vec![0; 16 * 1024], 0);
    loop {
        let count = from.read(&mut buffer)?;
        carried += count;
        let cut = carried > CUT_AFTER && broken.fetch_add(1, Ordering::SeqCst) == 0;
        if count == 0 || cut {
            return to.shutdown(Shutdown::Both);
        }
        to.write_all(&buffer[..count])?;
    }
}

#[tokio::test]
async fn a_blob_that_breaks_off_is_fetched_again() {
    let (server, here, there) = (Server::start(), Sample::new(), Sample::new());
    let image = pushed(&here, &server.name("fn:v1"), &noise(4 << 20, 8)).await;
    let proxy = breaking_proxy(server.address);
    let name: Reference = format!("{proxy}/fn:v1").parse().unwrap();

    let seen = Mutex::new(Vec::new());
    let progress = |progress: Progress| seen.lock().unwrap().push(progress.done);
    let pulled = Client::default()
        .pull(&there.store, &name, &progress)
        .await
        .unwrap();

    assert_eq!(pulled.digest, image.digest);
    assert_usable(&there.store, &pulled);
    let seen = seen.into_inner().unwrap();
    // What the first attempt had counted was taken back.
    assert!(!seen.is_sorted(), "nothing broke");
    let total = here.store.list().unwrap()[0].size_bytes;
    assert!(*seen.iter().max().unwrap() <= total);
}
