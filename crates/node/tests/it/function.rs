//! The function that all guests run, and how a test leads it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use agent::protocol::{Contents, Stream, ToGuest, ToHost};
use testkit::guest::{Guest, Link};
use testkit::hypervisor::FakeHypervisor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedRwLockWriteGuard, RwLock, mpsc, oneshot};
use tokio::time::timeout;

use crate::rig::LONG;

/// The exit code of a function that is told to crash.
pub(crate) const CODE: i32 = 3;

/// What functions do when they start.
#[derive(Clone, Default)]
pub(crate) struct Habits {
    /// Crash instead of listening.
    crash: Arc<AtomicBool>,
    /// Listen only when the test says so.
    wait: Arc<AtomicBool>,
    /// Answer only when the test does not hold the answers.
    answers: Arc<RwLock<()>>,
    /// A request has come.
    asked: Arc<Notify>,
    /// Crash when they come out of a snapshot.
    perish: Arc<AtomicBool>,
    /// Leave to be saved only when the test says so.
    linger: Arc<AtomicBool>,
    lingers: Arc<Notify>,
    leave: Arc<Notify>,
    /// Think about requests until the test says so.
    think: Arc<AtomicBool>,
    answer: Arc<Notify>,
    /// Say on `/ready` that they are not.
    unready: Arc<AtomicBool>,
    /// That has been asked.
    probed: Arc<Notify>,
    /// The most requests that one had at once.
    busiest: Arc<AtomicUsize>,
}

/// What is answered by a function that came out of a snapshot.
pub(crate) const RESTORED: &str = "restored";

impl Habits {
    pub(crate) fn crash(&self, crash: bool) {
        self.crash.store(crash, Ordering::SeqCst);
    }

    pub(crate) fn wait(&self, wait: bool) {
        self.wait.store(wait, Ordering::SeqCst);
    }

    /// Holds all answers until it is dropped.
    pub(crate) async fn hold_answers(&self) -> OwnedRwLockWriteGuard<()> {
        self.answers.clone().write_owned().await
    }

    /// Waits for a request.
    pub(crate) async fn asked(&self) {
        timeout(LONG, self.asked.notified())
            .await
            .expect("no request came");
    }

    pub(crate) fn perish(&self, perish: bool) {
        self.perish.store(perish, Ordering::SeqCst);
    }

    pub(crate) fn linger(&self) {
        self.linger.store(true, Ordering::SeqCst);
    }

    pub(crate) fn think(&self) {
        self.think.store(true, Ordering::SeqCst);
    }

    /// Lets one request be answered.
    pub(crate) fn answer(&self) {
        self.answer.notify_one();
    }

    pub(crate) fn unready(&self, unready: bool) {
        self.unready.store(unready, Ordering::SeqCst);
    }

    /// Waits until one is asked on `/ready`.
    pub(crate) async fn probed(&self) {
        let probed = timeout(LONG, self.probed.notified()).await;
        probed.expect("no probe came");
    }

    pub(crate) fn busiest(&self) -> usize {
        self.busiest.load(Ordering::SeqCst)
    }

    /// Waits until a function that lingers is asked to leave.
    pub(crate) async fn asked_to_leave(&self) {
        let asked = timeout(LONG, self.lingers.notified()).await;
        asked.expect("none is saved");
    }

    /// Lets it leave.
    pub(crate) fn leave(&self) {
        self.leave.notify_one();
    }
}

/// A function that has started.
pub(crate) struct Started {
    pub(crate) program: String,
    /// Its variables; none if it came out of a snapshot.
    pub(crate) env: Vec<(String, String)>,
    /// What its volumes hold: first when it started, then whenever it is told.
    pub(crate) volumes: mpsc::UnboundedReceiver<Vec<Contents>>,
    listen: oneshot::Sender<()>,
    crash: oneshot::Sender<()>,
}

impl Started {
    /// Lets one listen that waits for it.
    pub(crate) fn listen(self) -> Crash {
        // One that does not wait is not interested.
        let _ = self.listen.send(());
        Crash(self.crash)
    }
}

/// Ends a function.
pub(crate) struct Crash(oneshot::Sender<()>);

impl Crash {
    pub(crate) fn now(self) {
        self.0.send(()).unwrap();
    }
}

/// The functions of a node, as they start.
#[derive(Clone)]
pub(crate) struct Functions(Arc<Mutex<Option<mpsc::UnboundedReceiver<Started>>>>);

impl Functions {
    /// Waits for the next one.
    pub(crate) async fn next(&self) -> Started {
        let mut started = self.0.lock().unwrap().take().expect("one waits at a time");
        let next = timeout(LONG, started.recv()).await;
        *self.0.lock().unwrap() = Some(started);
        next.expect("no function started").unwrap()
    }
}

/// A hypervisor all of whose guests run the function, which answers requests with the name of its program.
pub(crate) fn hypervisor(habits: Habits) -> (FakeHypervisor, Functions) {
    let (sender, started) = mpsc::unbounded_channel();
    let fake = FakeHypervisor::new(move |guest| run(guest, habits.clone(), sender.clone()));
    (fake, Functions(Arc::new(Mutex::new(Some(started)))))
}

async fn run(
    guest: Guest,
    habits: Habits,
    started: mpsc::UnboundedSender<Started>,
) -> anyhow::Result<()> {
    let (tell, volumes) = mpsc::unbounded_channel();
    let mut env = Vec::new();
    let (mut link, program) = if guest.restored {
        if habits.perish.load(Ordering::SeqCst) {
            guest.die().await;
        }
        let (link, resume) = guest.resume().await?;
        tell.send(resume.volumes)?;
        (link, RESTORED.to_owned())
    } else {
        let (mut link, process) = guest.start().await?;
        let hostname = &process.hostname;
        link.print(Stream::Stdout, &format!("{hostname} begins\n"))
            .await?;
        env = process.env;
        let volumes = process.volumes.into_iter();
        let contents = volumes.filter_map(|it| {
            Some(Contents {
                name: it.name,
                files: it.files?,
            })
        });
        tell.send(contents.collect())?;
        (link, process.argv.first().cloned().unwrap_or_default())
    };
    let (listen, listening) = oneshot::channel();
    let (crash, crashing) = oneshot::channel();
    // The test may be over.
    let _ = started.send(Started {
        program: program.clone(),
        env,
        volumes,
        listen,
        crash,
    });
    if habits.crash.load(Ordering::SeqCst) {
        link.exited(CODE).await?;
        return Ok(());
    }
    if habits.wait.load(Ordering::SeqCst) {
        listening.await?;
    }
    let listener = guest.listen(8080)?;
    tokio::select! {
        result = serve(listener, program, habits.clone()) => result,
        result = obey(guest, link, habits, tell, crashing) => result,
    }
}

/// Does what the host says, until the end.
async fn obey(
    guest: Guest,
    mut link: Link,
    habits: Habits,
    tell: mpsc::UnboundedSender<Vec<Contents>>,
    mut crashing: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    loop {
        let told = tokio::select! {
            told = link.receive() => told?,
            Ok(()) = &mut crashing => return link.exited(CODE).await,
        };
        match told {
            Some(ToGuest::Shutdown(_)) => return link.exited(0).await,
            Some(ToGuest::Quiesce) => {
                if habits.linger.load(Ordering::SeqCst) {
                    habits.lingers.notify_one();
                    habits.leave.notified().await;
                }
                link.send(&ToHost::Quiesced).await?;
                link = guest.resume().await?.0;
            }
            // The test may not care.
            Some(ToGuest::Update(update)) => drop(tell.send(update.volumes)),
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

async fn serve(listener: TcpListener, program: String, habits: Habits) -> anyhow::Result<()> {
    let working = Arc::<AtomicUsize>::default();
    loop {
        let (stream, _) = listener.accept().await?;
        let (program, habits, working) = (program.clone(), habits.clone(), working.clone());
        tokio::spawn(async move {
            // A probe sends nothing.
            if stream.peek(&mut [0]).await? > 0 {
                habits.asked.notify_one();
            }
            drop(habits.answers.read().await);
            if habits.think.load(Ordering::SeqCst) {
                // The probe of a readiness comes before, and other requests on this connection after.
                habits.answer.notified().await;
            }
            // Whoever hangs up gets no answer.
            answer(stream, &program, &habits, &working).await
        });
    }
}

/// Answers the requests on one connection, and lets others come to the front meanwhile.
async fn answer(
    mut stream: TcpStream,
    body: &str,
    habits: &Habits,
    working: &AtomicUsize,
) -> std::io::Result<()> {
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
    let unready = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let (mut requests, mut answered) = (Vec::new(), 0);
    loop {
        while let Some(end) = requests.windows(4).position(|four| four == b"\r\n\r\n") {
            let request: Vec<u8> = requests.drain(..end + 4).collect();
            if request.starts_with(b"GET /ready ") {
                let refuse = habits.unready.load(Ordering::SeqCst);
                let answer = if refuse { unready } else { &answer };
                stream.write_all(answer.as_bytes()).await?;
                habits.probed.notify_one();
                continue;
            }
            if answered > 0 {
                habits.asked.notify_one();
            }
            let now = working.fetch_add(1, Ordering::SeqCst) + 1;
            habits.busiest.fetch_max(now, Ordering::SeqCst);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            working.fetch_sub(1, Ordering::SeqCst);
            stream.write_all(answer.as_bytes()).await?;
            answered += 1;
        }
        if stream.read_buf(&mut requests).await? == 0 {
            return Ok(());
        }
    }
}
