//! The least hypervisor that can be served: memory, a userfaultfd, a handshake.

use std::future::Future;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use sys::fd_passing;
use sys::mapping::{Mapping, PageSize};
use sys::userfaultfd::{Features, Userfaultfd};

use super::{Boxed, PAGE};

pub(super) struct Guest {
    pub(super) memory: Mapping,
    pub(super) uffd: Userfaultfd,
}

impl Guest {
    pub(super) fn new(pages: u64) -> Result<Self, Boxed> {
        let memory = Mapping::anonymous((pages * PAGE) as usize, PageSize::Base)?;
        let uffd = Userfaultfd::create(Features::EVENT_REMOVE)?;
        uffd.register_missing(&memory)?;
        Ok(Self { memory, uffd })
    }

    pub(super) fn connect(&self, socket: &Path) -> Result<(), Boxed> {
        let message = format!(
            r#"[{{"base_host_virt_addr":{},"size":{},"offset":0,"page_size":{PAGE}}}]"#,
            self.memory.address(),
            self.memory.len()
        );
        let stream = UnixStream::connect(socket)?;
        fd_passing::send(&stream, message.as_bytes(), &[self.uffd.as_fd()])?;
        Ok(())
    }

    /// Touches the first `pages` pages, one after the other, and says how long that took.
    pub(super) fn touch(&self, pages: u64) -> Duration {
        let started = Instant::now();
        for page in 0..pages {
            self.memory.load((page * PAGE) as usize);
        }
        started.elapsed()
    }
}

/// Waits for a future on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
