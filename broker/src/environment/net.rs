use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

use super::File;

/// A listening socket.
pub trait Listener: Send + 'static {
    /// What it accepts.
    type Stream: Stream;

    /// The next connection. An error concerns that connection (or a lack of descriptors), not the listener.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Where it listens; tells the port that the system chose.
    fn local_address(&self) -> SocketAddr;
}

/// A connection: bytes in order both ways.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// What [`send_file`](Self::send_file) takes.
    type File: File;

    /// Sends `length` bytes of `file` from `position` on, without copying them through this process where possible.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the file ends early; else the connection's error. Part of it may have been sent.
    fn send_file(
        &mut self,
        file: &Self::File,
        position: u64,
        length: u64,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// The other end.
    fn peer_address(&self) -> SocketAddr;

    /// This end: the address the client used to reach us.
    fn local_address(&self) -> SocketAddr;
}
