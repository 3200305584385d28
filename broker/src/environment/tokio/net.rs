use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::fs::sendfile;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::TokioFile;
use crate::environment::{Listener, Stream};

/// A listening socket of the kernel.
#[derive(Debug)]
pub struct TokioListener {
    socket: TcpListener,
    local: SocketAddr,
}

impl TokioListener {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted broker must get its port back while old connections linger.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // As Java does: `::` is every address, of either family.
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from_std(socket.into())?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }
}

impl Listener for TokioListener {
    type Stream = TokioStream;

    async fn accept(&mut self) -> io::Result<TokioStream> {
        let (socket, peer) = self.socket.accept().await?;
        TokioStream::new(socket, peer)
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

/// A TCP connection of the kernel, without Nagle's delay.
#[derive(Debug)]
pub struct TokioStream {
    socket: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
}

impl TokioStream {
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::new(TcpStream::connect(address).await?, address)
    }

    fn new(socket: TcpStream, peer: SocketAddr) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let local = canonical(socket.local_addr()?);
        Ok(Self { socket, peer: canonical(peer), local })
    }
}

impl Stream for TokioStream {
    type File = TokioFile;

    async fn send_file(&mut self, file: &TokioFile, position: u64, length: u64) -> io::Result<()> {
        let mut position = position;
        let end = position.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
        while position < end {
            self.socket.writable().await?;
            let piece = usize::try_from(end - position).unwrap_or(PIECE_MAX).min(PIECE_MAX);
            let sent = self.socket.try_io(Interest::WRITABLE, || {
                Ok(sendfile(&self.socket, &*file.0, Some(&mut position), piece)?)
            });
            match sent {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
            // A peer that reads as fast as we send must not keep this thread for itself.
            tokio::task::coop::consume_budget().await;
        }
        Ok(())
    }

    fn peer_address(&self) -> SocketAddr {
        self.peer
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

impl AsyncRead for TokioStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for TokioStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// On a socket of both families an IPv4 peer looks like `::ffff:1.2.3.4`; people and ACLs know it as `1.2.3.4`.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Connections the kernel completes before we accept them; it caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// Bytes for one `sendfile` call.
const PIECE_MAX: usize = 1 << 20;
