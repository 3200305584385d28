//! Listening, connecting and looking names up.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ottla::environment::Listener;

use super::endpoint::{Endpoint, EndpointId, Phase, Segment, Side, Verdict};
use super::{FIRST_PORT, Host, Listening, Network, SimStream, State};
use crate::machine::MachineId;

/// A listening socket of a simulated machine.
#[derive(Debug)]
pub struct SimListener {
    network: Arc<Network>,
    machine: MachineId,
    address: SocketAddr,
    number: u64,
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<SimStream> {
        poll_fn(|context| {
            let mut state = self.network.state();
            let Some(listening) = state.listening(self.machine, self.address.port(), self.number)
            else {
                return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
            };
            if let Some(id) = listening.waiting.pop_front() {
                let stream = SimStream::of(&self.network, &state, id);
                return Poll::Ready(stream.ok_or_else(|| io::ErrorKind::ConnectionAborted.into()));
            }
            listening.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn local_address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let network = Arc::clone(&self.network);
        network.stop_listening(
            &mut network.state(),
            self.machine,
            self.address.port(),
            self.number,
        );
    }
}

impl Network {
    pub(crate) fn listen(
        self: &Arc<Self>,
        machine: MachineId,
        address: SocketAddr,
    ) -> io::Result<SimListener> {
        let mut state = self.state();
        let number = state.next_connection;
        let host = state.hosts.get_mut(&machine).ok_or(io::ErrorKind::AddrNotAvailable)?;
        if !host.owns(address.ip()) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = if address.port() == 0 { host.free_port() } else { address.port() };
        if host.listeners.contains_key(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let listening =
            Listening { number, address: address.ip(), waiting: VecDeque::new(), waker: None };
        host.listeners.insert(port, listening);
        state.next_connection += 1;
        let address = SocketAddr::new(address.ip(), port);
        Ok(SimListener { network: Arc::clone(self), machine, address, number })
    }

    pub(crate) async fn connect(
        self: &Arc<Self>,
        machine: MachineId,
        address: SocketAddr,
    ) -> io::Result<SimStream> {
        let Some(stream) = self.begin_connecting(machine, address) else {
            // Nobody answers for this address: the routers say so after a while.
            self.timeline.sleep(UNREACHABLE_AFTER).await;
            return Err(io::ErrorKind::HostUnreachable.into());
        };
        // From here on the stream's drop takes the attempt back.
        poll_fn(|context| {
            let mut state = self.state();
            let Some(endpoint) = state.endpoints.get_mut(&stream.id()) else {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionAborted)));
            };
            if let Some(error) = endpoint.error.take() {
                return Poll::Ready(Err(error.into()));
            }
            if endpoint.phase != Phase::Connecting {
                return Poll::Ready(Ok(()));
            }
            endpoint.read_waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await?;
        Ok(stream)
    }

    /// The address of a machine by its name.
    pub(crate) fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let address = match host.parse() {
            Ok(literal) => literal,
            Err(_) if host == "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Err(_) => {
                let state = self.state();
                let found = state.hosts.values().find(|known| known.name == host);
                found.map(|known| known.address).ok_or(io::ErrorKind::NotFound)?
            }
        };
        Ok(vec![SocketAddr::new(address, port)])
    }

    fn begin_connecting(
        self: &Arc<Self>,
        machine: MachineId,
        peer: SocketAddr,
    ) -> Option<SimStream> {
        let now = self.timeline.now();
        let mut state = self.state();
        let is_local = state.hosts.get(&machine)?.owns(peer.ip());
        let peer_machine = if is_local {
            machine
        } else {
            *state.hosts.iter().find(|(_, host)| host.address == peer.ip())?.0
        };
        let host = state.hosts.get_mut(&machine)?;
        let own = if peer.ip().is_loopback() { peer.ip() } else { host.address };
        let local = SocketAddr::new(own, host.free_port());
        let window = state.faults.window;
        let mut endpoint =
            Endpoint::new(Phase::Connecting, (machine, local), (peer_machine, peer), (now, window));
        let id = EndpointId { connection: state.next_connection, side: Side::Client };
        state.next_connection += 1;
        self.watch(id, &mut endpoint);
        state.endpoints.insert(id, endpoint);
        let syn = Segment::Syn { from: local, to: peer };
        self.send(&mut state, (machine, peer_machine), id.peer(), syn);
        SimStream::of(self, &state, id)
    }

    /// A SYN has come for a connection that is not known yet.
    pub(super) fn answer_syn(
        self: &Arc<Self>,
        state: &mut State,
        (from, source): (MachineId, SocketAddr),
        (to, target): (MachineId, SocketAddr),
        id: EndpointId,
    ) {
        let listening = state.hosts.get(&to).and_then(|host| host.listeners.get(&target.port()));
        let listening = listening.filter(|listening| {
            listening.address.is_unspecified() || listening.address == target.ip()
        });
        let Some(listening) = listening else {
            return self.send(state, (to, from), id.peer(), Segment::Reset);
        };
        if listening.waiting.len() >= state.faults.backlog {
            // As on Linux: dropped without a word, the client will ask again.
            return self.events.count("backlog full", 1);
        }
        let now = self.timeline.now();
        let window = state.faults.window;
        let mut endpoint =
            Endpoint::new(Phase::Answered, (to, target), (from, source), (now, window));
        self.watch(id, &mut endpoint);
        state.endpoints.insert(id, endpoint);
        self.send(state, (to, from), id.peer(), Segment::SynAck);
    }

    /// A connection is complete and can be accepted.
    pub(super) fn offer(self: &Arc<Self>, state: &mut State, id: EndpointId) {
        let Some(endpoint) = state.endpoints.get(&id) else { return };
        let (machine, port) = (endpoint.machine, endpoint.local.port());
        let listening =
            state.hosts.get_mut(&machine).and_then(|host| host.listeners.get_mut(&port));
        match listening {
            Some(listening) => {
                listening.waiting.push_back(id);
                if let Some(waker) = listening.waker.take() {
                    waker.wake();
                }
            }
            // The listener has gone in the meantime.
            None => drop(self.with_endpoint(state, id, |_, _, _| (Verdict::Refuse, ()))),
        }
    }

    /// Ends a listener and resets what nobody will accept any more.
    pub(super) fn stop_listening(
        self: &Arc<Self>,
        state: &mut State,
        machine: MachineId,
        port: u16,
        number: u64,
    ) {
        if state.listening(machine, port, number).is_none() {
            return;
        }
        let host = state.hosts.get_mut(&machine);
        let Some(listening) = host.and_then(|host| host.listeners.remove(&port)) else { return };
        for id in listening.waiting {
            self.with_endpoint(state, id, |_, _, _| (Verdict::Refuse, ()));
        }
    }
}

impl State {
    fn listening(&mut self, machine: MachineId, port: u16, number: u64) -> Option<&mut Listening> {
        let listening = self.hosts.get_mut(&machine)?.listeners.get_mut(&port)?;
        (listening.number == number).then_some(listening)
    }
}

impl Host {
    fn owns(&self, address: IpAddr) -> bool {
        address.is_unspecified() || address.is_loopback() || address == self.address
    }

    /// A port that the system chooses.
    fn free_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = if port >= LAST_PORT { FIRST_PORT } else { port + 1 };
            if !self.listeners.contains_key(&port) {
                return port;
            }
        }
    }
}

/// Where Linux ends to choose ports by itself.
const LAST_PORT: u16 = 60_999;
/// How long Linux asks for the hardware address of a neighbour that is not there.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(3);
