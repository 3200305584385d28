//! A world for tests of this folder: tokio's clock, which they pause, and connections that are pipes in memory.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

use crate::environment::tokio::{TokioDisk, TokioFile, TokioRuntime};
use crate::environment::{FileExt as _, Instant, Listener, Runtime, Stream};
use crate::model::Timestamp;

/// Clock, tasks and files of tokio; no network but what a test makes itself.
#[derive(Clone)]
pub(super) struct MemoryRuntime(TokioRuntime);

impl MemoryRuntime {
    pub(super) fn new() -> Self {
        Self(TokioRuntime::new())
    }
}

impl Runtime for MemoryRuntime {
    type File = TokioFile;
    type Disk = TokioDisk;
    type Stream = MemoryStream;
    type Listener = MemoryListener;

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn wall_clock(&self) -> Timestamp {
        self.0.wall_clock()
    }

    fn random(&self) -> u64 {
        self.0.random()
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        self.0.sleep_until(deadline)
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(name, task);
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.0.compute(work).await
    }

    async fn listen(&self, _: SocketAddr) -> io::Result<MemoryListener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect(&self, _: SocketAddr) -> io::Result<MemoryStream> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match host {
            "one.example" => Ok(vec![SocketAddr::from(([10, 0, 0, 1], port))]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn disk(&self) -> &TokioDisk {
        self.0.disk()
    }
}

/// One end of a pipe that says it is a connection.
#[derive(Debug)]
pub(super) struct MemoryStream {
    pipe: DuplexStream,
    peer: SocketAddr,
}

impl MemoryStream {
    /// A connection from `peer` and the client's end of it; each way holds `bytes` that nobody has read yet.
    pub(super) fn from(peer: SocketAddr, bytes: usize) -> (Self, DuplexStream) {
        let (pipe, client) = tokio::io::duplex(bytes);
        (Self { pipe, peer }, client)
    }
}

impl Stream for MemoryStream {
    type File = TokioFile;

    async fn send_file(&mut self, file: &TokioFile, position: u64, length: u64) -> io::Result<()> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, position).await?;
        tokio::io::AsyncWriteExt::write_all(&mut self.pipe, &bytes).await
    }

    fn peer_address(&self) -> SocketAddr {
        self.peer
    }

    fn local_address(&self) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 100], 9092))
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(context, buffer)
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(context)
    }
}

/// Accepts what a test sends it.
pub(super) struct MemoryListener(mpsc::UnboundedReceiver<MemoryStream>);

impl MemoryListener {
    pub(super) fn new() -> (Self, mpsc::UnboundedSender<MemoryStream>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(receiver), sender)
    }
}

impl Listener for MemoryListener {
    type Stream = MemoryStream;

    async fn accept(&mut self) -> io::Result<MemoryStream> {
        match self.0.recv().await {
            Some(stream) => Ok(stream),
            None => std::future::pending().await,
        }
    }

    fn local_address(&self) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 100], 9092))
    }
}
