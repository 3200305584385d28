//! The simulated network: TCP as programs see it, over links that can be slow, lossy or cut.
//!
//! madsim's own TCP is too kind for a broker whose point is what happens under faults: there, the end of a dead process
//! crosses a cut link, a peer that never reads takes any number of bytes, and a partition lasting for hours harms no
//! connection. Here each side of a connection is an [`Endpoint`](endpoint::Endpoint), the state that a kernel would
//! hold. What they say to each other are packets that travel over [`Links`](link::Links) and may get lost, and
//! the kernels repeat themselves until they give up. From that follows by itself, as on Linux:
//!
//! | situation | what the other side sees |
//! | --- | --- |
//! | process dies | the end (or a reset, when it had not read everything), after the latency, if the link is open |
//! | machine loses power | silence, until it is back and answers with a reset |
//! | link is cut | silence; what was written is delivered after the healing, if nobody has given up |
//! | only the way back is cut | bytes arrive, but the writer fails with `TimedOut` in the end |
//! | nobody listens | refused |
//! | a peer does not read | writes wait once two buffers are full |
//!
//! Kernels belong to machines, not to processes: a paused process still acknowledges, and what a process that has
//! crashed had written is still sent.

mod blows;
mod connect;
mod endpoint;
mod link;
mod spoken;
mod stream;
mod wiretap;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

pub use connect::SimListener;
pub use link::{LinkFaults, NetworkFaults};
pub use stream::SimStream;

use self::endpoint::{Endpoint, EndpointId, Phase, Segment, Side, Surroundings, Verdict};
use self::link::Links;
use self::wiretap::Wiretap;
use crate::events::{Digest, Event, Fate, PacketKind, Recorder};
use crate::machine::MachineId;
use crate::random::Random;
use crate::timeline::{SimTime, Timeline};

/// The network of one world.
#[derive(Debug)]
pub struct Network {
    timeline: Arc<Timeline>,
    events: Arc<Recorder>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    hosts: BTreeMap<MachineId, Host>,
    endpoints: BTreeMap<EndpointId, Endpoint>,
    links: Links,
    faults: NetworkFaults,
    random: Random,
    next_connection: u64,
    /// Listens to what programs say, when somebody wants to see it.
    wiretap: Option<Wiretap>,
}

/// A machine as the network knows it.
#[derive(Debug)]
struct Host {
    name: String,
    address: IpAddr,
    is_powered: bool,
    next_port: u16,
    listeners: BTreeMap<u16, Listening>,
}

/// A port on which somebody listens.
#[derive(Debug)]
struct Listening {
    /// Tells this listener from a later one on the same port.
    number: u64,
    address: IpAddr,
    /// Connections to be accepted, in the order in which they were made.
    waiting: VecDeque<EndpointId>,
    waker: Option<Waker>,
}

impl Network {
    pub(crate) fn new(timeline: Arc<Timeline>, events: Arc<Recorder>, random: Random) -> Arc<Self> {
        let state = State {
            hosts: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            links: Links::default(),
            faults: NetworkFaults::default(),
            random,
            next_connection: 1,
            wiretap: events.is_kept().then(Wiretap::default),
        };
        Arc::new(Self { timeline, events, state: Mutex::new(state) })
    }

    pub(crate) fn add_host(&self, machine: MachineId, name: &str, address: IpAddr) {
        let host = Host {
            name: name.to_owned(),
            address,
            is_powered: true,
            next_port: FIRST_PORT,
            listeners: BTreeMap::new(),
        };
        self.state().hosts.insert(machine, host);
    }

    /// Changes how healthy the network is, from now on.
    pub fn set_faults(&self, change: impl FnOnce(&mut NetworkFaults)) {
        change(&mut self.state().faults);
    }

    /// Makes the link from one machine to another worse than the others, or like them again.
    pub fn set_link_faults(&self, from: MachineId, to: MachineId, faults: Option<LinkFaults>) {
        self.state().links.set_faults(from, to, faults);
    }

    /// Loses every packet from one machine to another, also those on their way. The other direction stays as it is.
    pub fn cut(&self, from: MachineId, to: MachineId) {
        self.set_cut(from, to, true);
    }

    /// Lets packets from one machine to another pass again.
    pub fn heal(&self, from: MachineId, to: MachineId) {
        self.set_cut(from, to, false);
    }

    /// Cuts every link between machines of different groups, in both directions.
    pub fn partition(&self, groups: &[&[MachineId]]) {
        for (index, group) in groups.iter().enumerate() {
            for other in groups[..index].iter().chain(&groups[index + 1..]) {
                for from in *group {
                    for to in *other {
                        self.cut(*from, *to);
                    }
                }
            }
        }
    }

    /// Cuts all links to and from a machine.
    pub fn isolate(&self, machine: MachineId) {
        let others: Vec<_> =
            self.state().hosts.keys().copied().filter(|other| *other != machine).collect();
        for other in others {
            self.cut(machine, other);
            self.cut(other, machine);
        }
    }

    /// Lets all packets pass again and makes all links like the others.
    pub fn heal_all(&self) {
        let cuts = self.state().links.cuts();
        for (from, to) in cuts {
            self.heal(from, to);
        }
        self.state().links.clear_faults();
    }

    /// How many sides of connections there are. A cluster at rest must not gather them.
    #[must_use]
    pub fn endpoint_count(&self) -> usize {
        self.state().endpoints.len()
    }

    /// The process is dead: its kernel closes what it held.
    pub(crate) fn process_died(self: &Arc<Self>, machine: MachineId) {
        let mut state = self.state();
        let Some(host) = state.hosts.get_mut(&machine) else { return };
        let listeners: Vec<_> =
            host.listeners.iter().map(|(port, listening)| (*port, listening.number)).collect();
        for (port, number) in listeners {
            self.stop_listening(&mut state, machine, port, number);
        }
        for id in state.endpoints_of(machine) {
            self.release(&mut state, id);
        }
    }

    /// The machine has no power: whatever its kernel knew is gone, and nobody is told.
    pub(crate) fn power_lost(&self, machine: MachineId) {
        let mut state = self.state();
        for id in state.endpoints_of(machine) {
            state.endpoints.remove(&id);
        }
        if let Some(host) = state.hosts.get_mut(&machine) {
            host.is_powered = false;
            host.listeners.clear();
        }
    }

    pub(crate) fn power_back(&self, machine: MachineId) {
        if let Some(host) = self.state().hosts.get_mut(&machine) {
            host.is_powered = true;
        }
    }

    fn set_cut(&self, from: MachineId, to: MachineId, is_cut: bool) {
        let changed = self.state().links.set_cut(from, to, is_cut);
        if changed {
            self.events.record(self.timeline.now(), Event::Link { from, to, is_cut });
        }
    }

    /// Lets an endpoint move, sends what it has to say, and sees to its next deadline.
    fn with_endpoint<T>(
        self: &Arc<Self>,
        state: &mut State,
        id: EndpointId,
        act: impl FnOnce(&mut Endpoint, &mut Surroundings<'_>, &mut Vec<Segment>) -> (Verdict, T),
    ) -> Option<T> {
        let now = self.timeline.now();
        let State { endpoints, faults, random, .. } = state;
        let endpoint = endpoints.get_mut(&id)?;
        let mut out = Vec::new();
        let (verdict, output) = act(endpoint, &mut Surroundings { now, faults, random }, &mut out);
        self.watch(id, endpoint);
        let (machine, peer_machine) = (endpoint.machine, endpoint.peer_machine);
        if verdict == Verdict::Refuse {
            out.push(Segment::Reset);
        }
        for segment in out {
            self.send(state, (machine, peer_machine), id.peer(), segment);
        }
        match verdict {
            Verdict::Remove | Verdict::Refuse => drop(state.endpoints.remove(&id)),
            Verdict::Opened if id.side == Side::Server => self.offer(state, id),
            Verdict::Opened | Verdict::Keep => {}
        }
        Some(output)
    }

    /// Arranges that the endpoint is called when its deadline has come. A deadline that is put off, as each
    /// acknowledgement does, costs nothing: the call comes early, and is arranged anew.
    fn watch(self: &Arc<Self>, id: EndpointId, endpoint: &mut Endpoint) {
        let deadline = endpoint.deadline;
        if deadline == SimTime::FAR || endpoint.watch.is_some_and(|(at, _)| at <= deadline) {
            return;
        }
        if let Some((_, later)) = endpoint.watch.take() {
            self.timeline.cancel(later);
        }
        let network = Arc::clone(self);
        let key = self.timeline.at(deadline, move || network.deadline_has_come(id));
        endpoint.watch = Some((deadline, key));
    }

    fn deadline_has_come(self: &Arc<Self>, id: EndpointId) {
        let mut state = self.state();
        let gives_up = self.with_endpoint(&mut state, id, |endpoint, around, out| {
            endpoint.watch = None;
            let (before, is_due) = (endpoint.phase, endpoint.deadline <= around.now);
            let verdict = if is_due { endpoint.on_timer(around, out) } else { Verdict::Keep };
            (verdict, before == Phase::Open && endpoint.phase == Phase::Broken)
        });
        self.events.count("connection given up", u64::from(gives_up == Some(true)));
    }

    /// Puts a segment on the link.
    fn send(
        self: &Arc<Self>,
        state: &mut State,
        (from, to): (MachineId, MachineId),
        id: EndpointId,
        segment: Segment,
    ) {
        let now = self.timeline.now();
        let State { links, faults, random, endpoints, .. } = state;
        let resets =
            matches!(segment, Segment::Data { .. }) && from != to && random.chance(faults.reset);
        match links.send((from, to), segment.bytes().len(), now, faults, random) {
            Err(fate) => self.record((from, to), id, &segment, now, fate),
            Ok(mut arrival) => {
                if let Some(sender) = endpoints.get_mut(&id.peer()) {
                    arrival = arrival.max(sender.last_arrival);
                    sender.last_arrival = arrival;
                }
                let network = Arc::clone(self);
                self.timeline.at(arrival, move || network.arrive((from, to), id, segment, now));
            }
        }
        if resets {
            // Something on the way has forgotten the connection and says so to both.
            self.events.count("connection reset by the network", 1);
            self.forge_reset(state, id);
            self.forge_reset(state, id.peer());
        }
    }

    /// The end of a packet's way.
    fn arrive(
        self: &Arc<Self>,
        (from, to): (MachineId, MachineId),
        id: EndpointId,
        segment: Segment,
        sent_at: SimTime,
    ) {
        let now = self.timeline.now();
        self.events.look(now, to);
        let mut state = self.state();
        let fate = if state.links.is_cut(from, to) {
            Fate::Cut
        } else if state.hosts.get(&to).is_none_or(|host| !host.is_powered) {
            Fate::Unpowered
        } else {
            Fate::Delivered
        };
        self.record((from, to), id, &segment, sent_at, fate);
        if fate != Fate::Delivered {
            return;
        }
        if let (Segment::Syn { from: source, to: target }, false) =
            (&segment, state.endpoints.contains_key(&id))
        {
            let (source, target) = (*source, *target);
            return self.answer_syn(&mut state, (from, source), (to, target), id);
        }
        let is_reset = matches!(segment, Segment::Reset);
        let known = self.with_endpoint(&mut state, id, |endpoint, around, out| {
            (endpoint.on_segment(segment, around, out), ())
        });
        if known.is_none() && !is_reset {
            self.send(&mut state, (to, from), id.peer(), Segment::Reset);
        }
        let State { wiretap, endpoints, .. } = &mut *state;
        if let (Some(wiretap), Some(endpoint)) = (wiretap, endpoints.get(&id)) {
            for number in wiretap.received(id.peer(), endpoint.received()) {
                self.events.observe(now, Event::Received { number });
            }
        }
    }

    /// A program has written these bytes.
    fn overhear(&self, id: EndpointId, bytes: &[u8]) {
        if !self.events.is_kept() {
            return;
        }
        let now = self.timeline.now();
        let mut state = self.state();
        let State { wiretap, endpoints, .. } = &mut *state;
        let (Some(wiretap), Some(endpoint)) = (wiretap, endpoints.get(&id)) else { return };
        let way = (endpoint.machine, endpoint.peer_machine);
        let messages = wiretap.written(id, way, bytes);
        drop(state);
        self.events.look(now, way.0);
        for message in messages {
            self.events.observe(now, Event::Sent(Box::new(message)));
        }
    }

    /// Lets go of an endpoint that a program (or the accept queue) held.
    fn release(self: &Arc<Self>, state: &mut State, id: EndpointId) {
        let is_held = state.endpoints.get(&id).is_some_and(|endpoint| endpoint.is_held);
        if is_held {
            self.with_endpoint(state, id, |endpoint, around, out| {
                let verdict = endpoint.release(around.now);
                if verdict == Verdict::Keep {
                    endpoint.transmit(usize::MAX, around, out);
                }
                (verdict, ())
            });
        }
    }

    fn record(
        &self,
        (from, to): (MachineId, MachineId),
        id: EndpointId,
        segment: &Segment,
        sent_at: SimTime,
        fate: Fate,
    ) {
        let event = Event::Packet {
            from,
            to,
            connection: id.connection,
            kind: segment.kind(),
            sequence: segment.sequence(),
            length: segment.bytes().len(),
            content: Digest::of(segment.bytes()),
            sent_at,
            fate,
        };
        self.events.record(self.timeline.now(), event);
        match fate {
            Fate::Delivered => {}
            Fate::Lost => self.events.count("packet lost", 1),
            Fate::Cut => self.events.count("packet cut", 1),
            Fate::Unpowered => self.events.count("packet to a machine without power", 1),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn endpoints_of(&self, machine: MachineId) -> Vec<EndpointId> {
        let of_machine = self.endpoints.iter().filter(|(_, endpoint)| endpoint.machine == machine);
        of_machine.map(|(id, _)| *id).collect()
    }
}

impl Segment {
    fn kind(&self) -> PacketKind {
        match self {
            Self::Syn { .. } => PacketKind::Syn,
            Self::SynAck => PacketKind::SynAck,
            Self::Ack { .. } => PacketKind::Ack,
            Self::Data { .. } => PacketKind::Data,
            Self::Fin { .. } => PacketKind::Fin,
            Self::Reset => PacketKind::Reset,
        }
    }

    fn sequence(&self) -> u64 {
        match self {
            Self::Ack { received: sequence, .. }
            | Self::Data { sequence, .. }
            | Self::Fin { sequence } => *sequence,
            Self::Syn { .. } | Self::SynAck | Self::Reset => 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Data { bytes, .. } => bytes,
            Self::Syn { .. } | Self::SynAck | Self::Ack { .. } | Self::Fin { .. } | Self::Reset => {
                &[]
            }
        }
    }
}

/// Where Linux begins to choose ports by itself.
const FIRST_PORT: u16 = 32_768;
