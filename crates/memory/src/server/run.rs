//! The life of a server's threads.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use sys::fd_passing;

use super::error::ServerError;
use super::faults;
use super::handle::Shared;
use super::progress::{Installed, Outcome, Peer};
use crate::handshake::{self, Wait};
use crate::installer::{InstallError, Installer};
use crate::page_set::PageSet;

/// What the thread does that answers faults.
pub(super) fn run(shared: &Arc<Shared>, listener: UnixListener) {
    let outcome = catch_unwind(AssertUnwindSafe(|| serve(shared, listener)))
        .unwrap_or_else(|_| Outcome::failed(ServerError::Panicked("answering faults")));
    if let Some(installer) = shared.installer.get() {
        installer.end();
    }
    shared
        .progress
        .send_modify(|progress| progress.outcome = Some(outcome));
}

fn serve(shared: &Arc<Shared>, listener: UnixListener) -> Outcome {
    let stream = match accept(shared, &listener) {
        Ok(Some(stream)) => stream,
        Ok(None) => return Outcome::Stopped,
        Err(error) => return Outcome::failed(ServerError::Accept(error)),
    };
    drop(listener);
    let connected = Instant::now();
    let peer = match fd_passing::peer(&stream) {
        Ok(peer) => peer,
        Err(error) => return Outcome::failed(ServerError::Peer(error)),
    };
    let (layout, uffd) = match handshake::receive(
        &stream,
        shared.control.as_fd(),
        shared.memory.bytes(),
        shared.options.handshake_patience,
    ) {
        Ok(Some(received)) => received,
        Ok(None) => return Outcome::Stopped,
        Err(error) => return Outcome::failed(error),
    };
    // The connection has served its purpose. Firecracker closes it too, so that its end says nothing.
    drop(stream);

    let installer = Installer::new(uffd, layout.clone(), Arc::clone(&shared.memory));
    let installer = Arc::clone(shared.installer.get_or_init(|| Arc::new(installer)));
    let started = Instant::now();
    shared
        .counters
        .handshake_ns
        .store((started - connected).as_nanos() as u64, Ordering::Relaxed);
    if let Ok(mut faulted) = shared.faulted.lock() {
        *faulted = PageSet::new(layout.pages());
    }
    shared.progress.send_modify(|progress| {
        progress.peer = Some(Peer {
            pid: peer.pid,
            uid: peer.uid,
            layout,
        });
    });

    let bulk = thread::Builder::new()
        .name(format!("bulk-{}", shared.policy.name()))
        .spawn({
            let (shared, installer) = (Arc::clone(shared), Arc::clone(&installer));
            move || install(&shared, &installer, started)
        });
    let bulk = match bulk {
        Ok(bulk) => bulk,
        Err(error) => return Outcome::failed(ServerError::Thread(error)),
    };
    let outcome = faults::answer(shared, &installer, peer.pidfd.as_fd(), started);
    installer.end();
    // Its panic has been reported already.
    let _ = bulk.join();
    outcome
}

fn accept(shared: &Shared, listener: &UnixListener) -> io::Result<Option<UnixStream>> {
    loop {
        match Wait::until(listener.as_fd(), shared.control.as_fd(), None)? {
            Wait::Stopped => return Ok(None),
            Wait::Ready | Wait::DeadlinePassed => {}
        }
        match listener.accept() {
            Ok((stream, _)) => return Ok(Some(stream)),
            // Who connected is gone again, or never was there.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::Interrupted
                        | io::ErrorKind::ConnectionAborted
                ) => {}
            Err(error) => return Err(error),
        }
    }
}

/// What the thread does that runs the policy.
fn install(shared: &Shared, installer: &Installer, started: Instant) {
    let result = catch_unwind(AssertUnwindSafe(|| shared.policy.install(installer)));
    let failure = match result {
        Ok(Ok(())) => {
            finished(shared, started, None);
            return;
        }
        Ok(Err(error)) if error.is_harmless() => {
            finished(shared, started, Some(error));
            return;
        }
        // The other thread learns by itself that the hypervisor ended.
        Ok(Err(InstallError::Ended)) => return,
        Ok(Err(error)) => ServerError::Install(error),
        Err(_) => ServerError::Panicked("installing in bulk"),
    };
    let _ = shared.bulk_failure.set(Arc::new(failure));
    shared.wake();
}

fn finished(shared: &Shared, started: Instant, error: Option<InstallError>) {
    shared.progress.send_modify(|progress| {
        progress.installed = Some(Installed {
            took: started.elapsed(),
            error: error.map(Arc::new),
        });
    });
}
