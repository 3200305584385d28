//! Accepting connections, within the limits the configuration sets.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, info, warn};

use super::connection::{Connection, End, Limits};
use super::dispatch::Dispatch;
use super::memory::RequestMemory;
use crate::api::{Peer, Services};
use crate::environment::{Listener as _, Runtime, Stop, Stream, select};
use crate::model::ByteCount;
use crate::protocol::ListenerRole;

/// Limits over all connections of a node.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// `socket.request.max.bytes`.
    pub request_bytes_max: ByteCount,
    /// `connections.max.idle.ms`.
    pub idle_ms_max: i64,
    /// `max.connections`.
    pub connections_max: usize,
    /// `max.connections.per.ip`.
    pub connections_per_ip_max: usize,
    /// `max.connections.per.ip.overrides`: address and its own limit.
    pub connections_per_ip_overrides: BTreeMap<IpAddr, usize>,
    /// `queued.max.request.bytes`, or our own bound when that is unset.
    pub request_memory_bytes: usize,
}

/// What all listeners of a node share.
pub struct Server<R: Runtime> {
    runtime: R,
    services: Arc<Services<R>>,
    limits: ConnectionLimits,
    memory: RequestMemory,
    slots: Arc<Semaphore>,
    by_ip: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
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

/// A place among the connections of one address; given back on drop.
struct IpSlot {
    by_ip: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    ip: IpAddr,
}

impl Drop for IpSlot {
    fn drop(&mut self) {
        let mut by_ip = self.by_ip.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                by_ip.remove(&self.ip);
            }
        }
    }
}

impl<R: Runtime> Server<R> {
    /// A server that answers through `services`.
    pub fn new(runtime: R, services: Arc<Services<R>>, limits: ConnectionLimits) -> Self {
        let memory = RequestMemory::new(limits.request_memory_bytes);
        let slots = Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS)));
        Self { runtime, services, limits, memory, slots, by_ip: Arc::default() }
    }

    /// Accepts until `stop`; each connection is a task of its own.
    pub async fn accept(self: Arc<Self>, mut bound: Bound<R::Listener>, stop: Stop) {
        loop {
            let accepted = select! {
                () = stop.stopped() => return,
                accepted = bound.listener.accept() => accepted,
            };
            match accepted {
                Ok(stream) => {
                    // Like Kafka: when all places are taken, who comes next waits until one is free. A listener to which
                    // nobody comes holds no place.
                    let slot = select! {
                        () = stop.stopped() => return,
                        slot = Arc::clone(&self.slots).acquire_owned() => slot,
                    };
                    let Ok(slot) = slot else { return };
                    self.admit(stream, slot, &bound, &stop);
                }
                Err(error) => {
                    warn!(listener = bound.name, %error, "a connection could not be accepted");
                    // Out of descriptors, mostly: give others time to close.
                    self.runtime.sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn admit(
        self: &Arc<Self>,
        stream: R::Stream,
        slot: OwnedSemaphorePermit,
        bound: &Bound<R::Listener>,
        stop: &Stop,
    ) {
        let peer = stream.peer_address();
        let Some(ip_slot) = self.take_ip_slot(peer.ip().to_canonical()) else {
            info!(%peer, listener = bound.name, "refused: max.connections.per.ip is reached");
            return;
        };
        let server = Arc::clone(self);
        let peer = Peer {
            address: peer,
            local: stream.local_address(),
            listener: bound.name.clone(),
            role: bound.role,
        };
        let stop = stop.clone();
        self.runtime.spawn("connection", async move {
            server.serve(stream, peer, stop).await;
            drop((slot, ip_slot));
        });
    }

    async fn serve(&self, stream: R::Stream, peer: Peer, stop: Stop) {
        let limits = Limits {
            request_bytes_max: self.limits.request_bytes_max,
            idle_ms_max: self.limits.idle_ms_max,
        };
        let address = peer.address;
        let listener = peer.listener.clone();
        let service = Dispatch::new(Arc::clone(&self.services), peer);
        let connection = Connection::new(self.runtime.clone(), stream, limits, self.memory.clone());
        match connection.run(&service, &stop).await {
            End::Gone(None) | End::Stopped => {
                debug!(peer = %address, listener, "connection closed");
            }
            End::Gone(Some(error)) if is_ordinary(&error) => {
                debug!(peer = %address, listener, %error, "connection lost");
            }
            End::Gone(Some(error)) => info!(peer = %address, listener, %error, "connection lost"),
            End::Idle => debug!(peer = %address, listener, "connection closed: idle"),
            End::Refused(reason) => {
                info!(peer = %address, listener, reason, "connection closed by us");
            }
        }
    }

    fn take_ip_slot(&self, ip: IpAddr) -> Option<IpSlot> {
        let max = self
            .limits
            .connections_per_ip_overrides
            .get(&ip)
            .copied()
            .unwrap_or(self.limits.connections_per_ip_max);
        let mut by_ip = self.by_ip.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_ip.entry(ip).or_insert(0);
        if *count >= max {
            if *count == 0 {
                by_ip.remove(&ip);
            }
            return None;
        }
        *count += 1;
        Some(IpSlot { by_ip: Arc::clone(&self.by_ip), ip })
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
