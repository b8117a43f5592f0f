//! A guest without a machine: a task that speaks the agent's protocol from inside an instance's namespace.

use std::io;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use agent::protocol::{
    self, Decoder, Exited, Failed, Frame, GUEST, HOST, HOST_PORT, Hello, Process, Resume, Shutdown,
    Started, Stream, ToGuest, ToHost, VERSION,
};
use anyhow::{Context, bail};
use sys::netns::NetNs;
use sys::process::ProcessId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream};

/// What a guest does from its boot to its end.
pub type Script = Arc<dyn Fn(Guest) -> Life + Send + Sync>;

/// One guest's way through its script.
pub type Life = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// The guest, as its script sees it.
#[derive(Clone, Debug)]
pub struct Guest {
    pub(crate) namespace: Arc<NetNs>,
    pub(crate) folder: PathBuf,
    pub(crate) process: ProcessId,
    /// Whether it comes out of a snapshot: its function runs already.
    pub restored: bool,
}

/// Between two dials of a guest that was told to leave.
const REDIAL_PAUSE: Duration = Duration::from_millis(1);

impl Guest {
    /// Opens the connection to the host.
    pub async fn dial(&self) -> anyhow::Result<Link> {
        let address = SocketAddrV4::new(HOST, HOST_PORT);
        let stream = TcpStream::from_std(self.namespace.tcp_connect_nonblocking(address)?)?;
        stream.writable().await?;
        if let Some(error) = stream.take_error()? {
            return Err(error).context("the host does not listen for the agent");
        }
        Ok(Link {
            stream,
            decoder: Decoder::new(),
        })
    }

    /// Listens in the guest, as its function would.
    pub fn listen(&self, port: u16) -> anyhow::Result<TcpListener> {
        let address = SocketAddrV4::new(GUEST, port);
        Ok(TcpListener::from_std(self.namespace.tcp_listen(address)?)?)
    }

    /// Goes through the start of a guest whose function starts well.
    pub async fn start(&self) -> anyhow::Result<(Link, Process)> {
        let mut link = self.dial().await?;
        link.hello().await?;
        let process = link.process().await?;
        link.started().await?;
        Ok((link, process))
    }

    /// Dials until somebody answers, as a guest does that was told to leave, and becomes what it is told to.
    pub async fn resume(&self) -> anyhow::Result<(Link, Resume)> {
        let (mut link, resume) = self.come_back().await?;
        link.send(&ToHost::Resumed).await?;
        Ok((link, resume))
    }

    /// The same, up to what it is told to become.
    pub async fn come_back(&self) -> anyhow::Result<(Link, Resume)> {
        loop {
            // Somebody who does not stay was not meant: it may be a listener of old that is on its way out.
            match self.introduce().await {
                Ok((link, Some(ToGuest::Resume(resume)))) => return Ok((link, resume)),
                Ok((_, Some(other))) => bail!("expected to be told to resume, not {other:?}"),
                Ok((_, None)) | Err(_) => tokio::time::sleep(REDIAL_PAUSE).await,
            }
        }
    }

    /// Presents itself as one that comes back, and returns the answer.
    async fn introduce(&self) -> anyhow::Result<(Link, Option<ToGuest>)> {
        let mut link = self.dial().await?;
        link.present(true).await?;
        let answer = link.receive().await?;
        Ok((link, answer))
    }

    /// Writes to the console, as far as it takes it at once.
    pub async fn print_to_console(&self, text: &str) -> io::Result<()> {
        let mut console = pipe::OpenOptions::new().open_sender(self.folder.join("console.in"))?;
        console.write_all(text.as_bytes()).await
    }

    /// Kills the hypervisor: the guest stops where it is, and says nothing more.
    pub async fn die(&self) {
        self.power_off().await;
        std::future::pending::<()>().await;
    }

    /// Ends the hypervisor's process.
    pub(crate) async fn power_off(&self) {
        let process = self.process;
        let killed =
            tokio::task::spawn_blocking(move || process.kill_and_wait(Duration::from_secs(5)));
        // A process that is gone already is as dead as it should be.
        let _ = killed.await;
    }
}

/// The guest's end of the connection to the host.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    decoder: Decoder,
}

impl Link {
    /// Sends a control message.
    pub async fn send(&mut self, message: &ToHost) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        protocol::encode(message, &mut bytes)?;
        self.send_raw(&bytes).await
    }

    /// Sends what may be no frame at all.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Sends what the function printed.
    pub async fn print(&mut self, stream: Stream, text: &str) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        protocol::output(stream, text.as_bytes(), &mut bytes);
        self.send_raw(&bytes).await
    }

    /// Presents the guest.
    pub async fn hello(&mut self) -> anyhow::Result<()> {
        self.present(false).await
    }

    /// Presents the guest, as one that comes back or not.
    pub async fn present(&mut self, resumed: bool) -> anyhow::Result<()> {
        self.send(&ToHost::Hello(Hello {
            version: VERSION,
            agent: "fake".into(),
            kernel: "none".into(),
            uptime_us: 1,
            resumed,
        }))
        .await
    }

    /// Waits to be told what to run.
    pub async fn process(&mut self) -> anyhow::Result<Process> {
        match self.receive().await? {
            Some(ToGuest::Start(process)) => Ok(process),
            other => bail!("expected to be told to start a process, not {other:?}"),
        }
    }

    /// Reports that the function runs.
    pub async fn started(&mut self) -> anyhow::Result<()> {
        self.send(&ToHost::Started(Started {
            pid: 2,
            steps: Vec::new(),
        }))
        .await
    }

    /// Reports that the function cannot run.
    pub async fn failed(&mut self, stage: &str, message: &str) -> anyhow::Result<()> {
        self.send(&ToHost::Failed(Failed {
            stage: stage.into(),
            message: message.into(),
        }))
        .await
    }

    /// Reports that the function ended.
    pub async fn exited(&mut self, code: i32) -> anyhow::Result<()> {
        self.send(&ToHost::Exited(Exited {
            code: Some(code),
            signal: None,
            oom: false,
        }))
        .await
    }

    /// The next message from the host, or `None` when it has gone.
    pub async fn receive(&mut self) -> anyhow::Result<Option<ToGuest>> {
        loop {
            match self.decoder.next_frame()? {
                Some(Frame::Control(message)) => return Ok(Some(protocol::decode(&message)?)),
                Some(other) => bail!("the host sent {other:?}"),
                None => {}
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await? {
                0 => return Ok(None),
                length => self.decoder.push(&buffer[..length]),
            }
        }
    }

    /// Waits to be told to shut down, and returns the grace.
    pub async fn shutdown(&mut self) -> anyhow::Result<Option<Shutdown>> {
        loop {
            match self.receive().await? {
                Some(ToGuest::Shutdown(shutdown)) => return Ok(Some(shutdown)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

/// The port a function listens on if nobody says otherwise.
const PORT: u16 = 8080;

/// A guest whose function starts, answers every HTTP request on `$PORT` with its greeting, and ends when it is told to. It
/// can be saved, and restored if the port is 8080.
pub async fn well_behaved(guest: Guest) -> anyhow::Result<()> {
    let (mut link, port) = if guest.restored {
        (guest.resume().await?.0, PORT)
    } else {
        let (mut link, process) = guest.start().await?;
        let port = process.env.iter().find(|(name, _)| name == "PORT");
        link.print(Stream::Stdout, "listening\n").await?;
        (link, port.map_or(Ok(PORT), |(_, port)| port.parse())?)
    };
    let listener = guest.listen(port)?;
    let obey = async {
        loop {
            match link.receive().await? {
                Some(ToGuest::Shutdown(_)) => return link.exited(0).await,
                Some(ToGuest::Quiesce) => {
                    link.send(&ToHost::Quiesced).await?;
                    link = guest.resume().await?.0;
                }
                Some(_) => {}
                None => return Ok(()),
            }
        }
    };
    tokio::select! {
        result = greet(listener) => result,
        result = obey => result,
    }
}

/// Answers every HTTP request with `200 OK` and `hello`.
pub async fn greet(listener: TcpListener) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // Whoever hangs up gets no answer.
            let _ = answer(stream, "200 OK", "hello").await;
        });
    }
}

/// Answers the HTTP/1.1 requests on one connection, which must have no bodies.
pub async fn answer(mut stream: TcpStream, status: &str, body: &str) -> io::Result<()> {
    let mut request = Vec::new();
    loop {
        while let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            request.drain(..end + 4);
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await?;
        }
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
}
