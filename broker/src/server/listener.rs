//! Accepting connections, within the limits the configuration sets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::{debug, info, warn};

use super::admission::{Admission, Place};
use super::connection::{Connection, End, Limits};
use super::dispatch::Dispatch;
use super::memory::RequestMemory;
use crate::api::{Acquaintance, Peer, Services};
use crate::environment::{Listener as _, Runtime, Stop, Stream, select};
use crate::model::ByteCount;
use crate::protocol::ListenerRole;

/// Limits of each connection, and of all together.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// `socket.request.max.bytes`.
    pub request_bytes_max: ByteCount,
    /// `connections.max.idle.ms`.
    pub idle_ms_max: i64,
    /// `queued.max.request.bytes`, or our own bound when that is unset.
    pub request_memory_bytes: usize,
}

/// What all listeners of a node share.
pub struct Server<R: Runtime> {
    runtime: R,
    services: Arc<Services<R>>,
    limits: ConnectionLimits,
    memory: RequestMemory,
    /// How many connections there have been: the number of the next.
    connection_count: AtomicU64,
}

/// One listening socket and its name.
pub struct Bound<L> {
    /// The listener's name in the configuration.
    pub name: String,
    /// Which APIs are served on it.
    pub role: ListenerRole,
    /// The socket.
    pub listener: L,
}

impl<R: Runtime> Server<R> {
    /// A server that answers through `services`.
    pub fn new(runtime: R, services: Arc<Services<R>>, limits: ConnectionLimits) -> Self {
        let memory = RequestMemory::new(limits.request_memory_bytes);
        Self { runtime, services, limits, memory, connection_count: AtomicU64::default() }
    }

    /// Accepts until `stop`; each connection is a task of its own, and holds a place of `admission`.
    pub async fn accept(
        self: Arc<Self>,
        bound: Bound<R::Listener>,
        admission: Admission,
        stop: Stop,
    ) {
        let (name, role) = (bound.name.clone(), bound.role);
        let runtime = self.runtime.clone();
        accept(&runtime, bound, &admission, &stop, |stream, place| {
            let peer = Peer {
                address: stream.peer_address(),
                local: stream.local_address(),
                listener: name.clone(),
                role,
                acquaintance: Arc::new(Acquaintance::new(
                    self.connection_count.fetch_add(1, Ordering::Relaxed),
                )),
            };
            let (server, stop) = (Arc::clone(&self), stop.clone());
            self.runtime.spawn("connection", async move {
                server.serve(stream, peer, stop).await;
                drop(place);
            });
        })
        .await;
    }

    async fn serve(&self, stream: R::Stream, peer: Peer, stop: Stop) {
        let limits = Limits {
            request_bytes_max: self.limits.request_bytes_max,
            idle_ms_max: self.limits.idle_ms_max,
        };
        let address = peer.address;
        let listener = peer.listener.clone();
        let service = Dispatch::new(Arc::clone(&self.services), peer.clone());
        let connection = Connection::new(self.runtime.clone(), stream, limits, self.memory.clone());
        let end = connection.run(&service, &stop).await;
        if !matches!(end, End::Stopped) {
            self.services.connection_ended(&peer);
        }
        report(&end, address, &listener);
    }
}

/// Accepts until `stop` and gives who finds a place to `begin`.
async fn accept<R: Runtime>(
    runtime: &R,
    mut bound: Bound<R::Listener>,
    admission: &Admission,
    stop: &Stop,
    begin: impl Fn(R::Stream, Place),
) {
    loop {
        let accepted = select! {
            () = stop.stopped() => return,
            accepted = bound.listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                warn!(listener = bound.name, %error, "a connection could not be accepted");
                // Out of descriptors, mostly: give others time to close.
                runtime.sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let peer = stream.peer_address();
        // A listener to which nobody comes holds no place: it is taken only now.
        let place = select! {
            () = stop.stopped() => return,
            place = admission.place(peer.ip().to_canonical()) => place,
        };
        match place {
            Some(place) => begin(stream, place),
            None => {
                info!(%peer, listener = bound.name, "refused: max.connections.per.ip is reached");
            }
        }
    }
}

/// One line about how a connection ended; at a level that people see only where they could do something about it.
fn report(end: &End, peer: SocketAddr, listener: &str) {
    match end {
        End::Gone(None) | End::Stopped => debug!(%peer, listener, "connection closed"),
        End::Gone(Some(error)) if is_ordinary(error) => {
            debug!(%peer, listener, %error, "connection lost");
        }
        End::Gone(Some(error)) => info!(%peer, listener, %error, "connection lost"),
        End::Idle => debug!(%peer, listener, "connection closed: idle"),
        End::Refused(reason) => info!(%peer, listener, reason, "connection closed by us"),
    }
}

/// The ways a client leaves without a word.
fn is_ordinary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionAborted
    )
}

#[cfg(test)]
mod tests;
