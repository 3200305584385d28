//! The program's end of a connection.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ottla::environment::{File, Stream};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::endpoint::{EndpointId, Phase, Verdict};
use super::{Network, State};
use crate::disk::SimFile;

/// A simulated connection.
#[derive(Debug)]
pub struct SimStream {
    network: Arc<Network>,
    id: EndpointId,
    local: SocketAddr,
    peer: SocketAddr,
}

impl SimStream {
    pub(super) fn of(network: &Arc<Network>, state: &State, id: EndpointId) -> Option<Self> {
        let endpoint = state.endpoints.get(&id)?;
        let (local, peer) = (endpoint.local, endpoint.peer);
        Some(Self { network: Arc::clone(network), id, local, peer })
    }

    pub(super) fn id(&self) -> EndpointId {
        self.id
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let network = Arc::clone(&self.network);
        let read = network.with_endpoint(&mut network.state(), self.id, |endpoint, around, out| {
            let mut count = endpoint.readable().min(buffer.remaining());
            if count > 1 && around.random.chance(around.faults.short_read) {
                count = 1 + around.random.index(count - 1);
            }
            let outcome = if count > 0 {
                endpoint.read(count, |bytes| buffer.put_slice(bytes));
                out.extend(endpoint.window_update(around.faults));
                Poll::Ready(Ok(()))
            } else if let Some(error) = endpoint.error.take() {
                Poll::Ready(Err(error.into()))
            } else if endpoint.is_at_end() || buffer.remaining() == 0 {
                Poll::Ready(Ok(()))
            } else {
                endpoint.read_waker = Some(context.waker().clone());
                Poll::Pending
            };
            (Verdict::Keep, outcome)
        });
        // Without an endpoint the machine has lost power, and nobody is left to read.
        read.unwrap_or_else(|| Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let network = Arc::clone(&self.network);
        let written =
            network.with_endpoint(&mut network.state(), self.id, |endpoint, around, out| {
                let outcome = if let Some(error) = endpoint.error.take() {
                    Poll::Ready(Err(error.into()))
                } else if endpoint.phase == Phase::Broken || endpoint.is_finished() {
                    Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
                } else {
                    let count = endpoint.write(bytes, around.faults);
                    endpoint.transmit(usize::MAX, around, out);
                    if count == 0 && !bytes.is_empty() {
                        endpoint.write_waker = Some(context.waker().clone());
                        Poll::Pending
                    } else {
                        Poll::Ready(Ok(count))
                    }
                };
                (Verdict::Keep, outcome)
            });
        if let Some(Poll::Ready(Ok(count))) = &written {
            network.overhear(self.id, &bytes[..*count]);
        }
        written.unwrap_or_else(|| Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let network = Arc::clone(&self.network);
        let ended =
            network.with_endpoint(&mut network.state(), self.id, |endpoint, around, out| {
                if endpoint.phase == Phase::Broken {
                    return (Verdict::Keep, Err(io::ErrorKind::NotConnected.into()));
                }
                endpoint.finish();
                endpoint.transmit(usize::MAX, around, out);
                (Verdict::Keep, Ok(()))
            });
        Poll::Ready(ended.unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into())))
    }
}

impl Stream for SimStream {
    type File = SimFile;

    async fn send_file(&mut self, file: &SimFile, position: u64, length: u64) -> io::Result<()> {
        let mut position = position;
        let end = position.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
        let mut buffer = vec![0; COPY_BYTES];
        while position < end {
            let piece =
                usize::try_from(end - position).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
            let read = file.read_at(&mut buffer[..piece], position).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.write_all(&buffer[..read]).await?;
            position += read as u64;
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

impl Drop for SimStream {
    fn drop(&mut self) {
        let network = Arc::clone(&self.network);
        network.release(&mut network.state(), self.id);
    }
}

/// Bytes that `send_file` copies at once.
const COPY_BYTES: usize = 16 << 10;
