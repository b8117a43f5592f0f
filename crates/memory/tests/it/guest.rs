//! A fake hypervisor: it maps guest memory, sends the handshake, and its threads touch pages as a guest would.

use std::future::Future;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use memory::{MemoryFile, Options, Outcome, Policy, Server, Stats};
use sys::fd_passing;
use sys::mapping::{Mapping, PageSize};
use sys::userfaultfd::{Features, Userfaultfd};

/// When a guest is taken to hang.
const DEADLINE: Duration = Duration::from_secs(60);

/// Memory of a guest: one mapping per region.
pub(crate) struct Guest {
    regions: Vec<Mapping>,
    pub(crate) uffd: Userfaultfd,
    page_size: PageSize,
}

impl Guest {
    /// Maps regions of so many pages each, and registers them.
    pub(crate) fn new(regions: &[u64]) -> Arc<Self> {
        Self::with(regions, PageSize::Base)
    }

    pub(crate) fn with(regions: &[u64], page_size: PageSize) -> Arc<Self> {
        let features = match page_size {
            PageSize::Base => Features::EVENT_REMOVE,
            PageSize::Huge => Features::EVENT_REMOVE.and(Features::MISSING_HUGETLBFS),
        };
        let uffd = Userfaultfd::create(features).expect("run the tests as root");
        let regions = regions
            .iter()
            .map(|pages| {
                let bytes = (*pages * size_of(page_size)) as usize;
                let mapping = Mapping::anonymous(bytes, page_size).unwrap();
                uffd.register_missing(&mapping).unwrap();
                mapping
            })
            .collect();
        Arc::new(Self {
            regions,
            uffd,
            page_size,
        })
    }

    pub(crate) fn into_parts(self) -> (Vec<Mapping>, Userfaultfd) {
        (self.regions, self.uffd)
    }

    /// The handshake's text. The regions follow each other in the file.
    pub(crate) fn message(&self) -> String {
        let mut offset = 0;
        let regions: Vec<_> = self
            .regions
            .iter()
            .map(|region| {
                let text = format!(
                    r#"{{"base_host_virt_addr":{},"size":{},"offset":{offset},"page_size":{}}}"#,
                    region.address(),
                    region.len(),
                    size_of(self.page_size)
                );
                offset += region.len();
                text
            })
            .collect();
        format!("[{}]", regions.join(","))
    }

    /// Connects and sends the handshake. As Firecracker does, it closes the connection then.
    pub(crate) fn connect(&self, socket: &Path) {
        let stream = UnixStream::connect(socket).unwrap();
        let text = self.message();
        let sent = fd_passing::send(&stream, text.as_bytes(), &[self.uffd.as_fd()]).unwrap();
        assert_eq!(sent, text.len());
    }

    /// The mapping and the offset in it of a page of the file.
    fn place(&self, page: u64) -> (&Mapping, usize) {
        let mut offset = (page * size_of(self.page_size)) as usize;
        for region in &self.regions {
            if offset < region.len() {
                return (region, offset);
            }
            offset -= region.len();
        }
        panic!("the guest has no page {page}");
    }

    /// Reads the first 4 KiB of a page; waits for it if it is missing.
    pub(crate) fn read(&self, page: u64) -> Vec<u8> {
        let (region, offset) = self.place(page);
        let mut bytes = vec![0xee; 4096];
        region.read(offset, &mut bytes);
        bytes
    }

    /// Reads one byte of a page.
    pub(crate) fn touch(&self, page: u64) -> u8 {
        let (region, offset) = self.place(page);
        region.load(offset)
    }

    /// Writes the first byte of a page.
    pub(crate) fn write(&self, page: u64, byte: u8) {
        let (region, offset) = self.place(page);
        region.store(offset, byte);
    }

    /// Gives a page back, as a balloon does.
    pub(crate) fn remove(&self, page: u64) {
        let (region, offset) = self.place(page);
        region
            .discard(offset..offset + size_of(self.page_size) as usize)
            .unwrap();
    }
}

fn size_of(page_size: PageSize) -> u64 {
    match page_size {
        PageSize::Base => 4096,
        PageSize::Huge => 2 << 20,
    }
}

/// A server that waits for its guest.
pub(crate) struct Served {
    pub(crate) server: Server,
    pub(crate) socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Served {
    /// Stops the server, so that nothing is counted any more.
    pub(crate) fn stopped(&self) -> Stats {
        self.server.stop();
        assert!(matches!(wait(self.server.wait()), Outcome::Stopped));
        self.server.stats()
    }
}

/// Starts a server.
pub(crate) fn serve(memory: &Arc<MemoryFile>, policy: impl Policy + 'static) -> Served {
    serve_with(memory, policy, Options::default())
}

pub(crate) fn serve_with(
    memory: &Arc<MemoryFile>,
    policy: impl Policy + 'static,
    options: Options,
) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("pages.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = Server::start(listener, Arc::clone(memory), Box::new(policy), options).unwrap();
    Served {
        server,
        socket,
        _folder: folder,
    }
}

/// Runs what may wait for a page on a thread of its own: a guest that hangs fails the test.
pub(crate) fn within<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(run()));
    receiver
        .recv_timeout(DEADLINE)
        .expect("the guest hangs or panicked")
}

/// Waits for what a server does.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(DEADLINE, future).await })
        .expect("the server hangs")
}
