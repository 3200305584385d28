//! One side of a TCP connection: what the kernel of one machine knows of it. No clock, no link, no lock in here.
//!
//! Simplified against the real one where a program cannot see it: the receiver keeps nothing that arrives out of order (the
//! sender goes back), there is no congestion window, and no `TIME_WAIT`.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::Waker;
use std::time::Duration;

use super::NetworkFaults;
use crate::machine::MachineId;
use crate::random::Random;
use crate::timeline::{SimTime, TimerKey};

/// Which side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// The one that connected.
    Client,
    /// The one that accepted.
    Server,
}

impl Side {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Names one side of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EndpointId {
    pub(super) connection: u64,
    pub(super) side: Side,
}

impl EndpointId {
    pub(super) const fn peer(self) -> Self {
        Self { connection: self.connection, side: self.side.other() }
    }
}

/// How far the connection has come, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A SYN is under way; the answer is awaited.
    Connecting,
    /// A SYN has been answered; nothing has come back yet. Nobody can accept this one.
    Answered,
    /// Bytes may flow.
    Open,
    /// An error has ended it.
    Broken,
}

/// What travels, without its addresses.
#[derive(Clone, Debug)]
pub(super) enum Segment {
    Syn {
        from: SocketAddr,
        to: SocketAddr,
    },
    SynAck,
    /// Everything before `received` has come; up to `window_end` more is welcome.
    Ack {
        received: u64,
        window_end: u64,
    },
    /// Without bytes it asks whether the window is still closed.
    Data {
        sequence: u64,
        bytes: Vec<u8>,
    },
    Fin {
        sequence: u64,
    },
    Reset,
}

/// What the owner of an endpoint must do after it has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Keep it.
    Keep,
    /// It has just become open: somebody may accept it.
    Opened,
    /// Nobody needs it any more.
    Remove,
    /// Nobody needs it any more, and the peer is told so with a RST.
    Refuse,
}

/// What an endpoint needs to know of the world to move.
pub(super) struct Surroundings<'a> {
    pub(super) now: SimTime,
    pub(super) faults: &'a NetworkFaults,
    pub(super) random: &'a mut Random,
}

/// One side of a connection.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) machine: MachineId,
    pub(super) peer_machine: MachineId,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) phase: Phase,
    /// A program has the socket, or it waits to be accepted.
    pub(super) is_held: bool,
    /// Nothing sent later arrives earlier.
    pub(super) last_arrival: SimTime,
    /// When [`on_timer`](Self::on_timer) wants to be called.
    pub(super) deadline: SimTime,
    /// The call that has been arranged for it.
    pub(super) watch: Option<(SimTime, TimerKey)>,
    pub(super) error: Option<io::ErrorKind>,
    pub(super) read_waker: Option<Waker>,
    pub(super) write_waker: Option<Waker>,

    /// Bytes from `acknowledged` to `written`.
    outgoing: VecDeque<u8>,
    acknowledged: u64,
    sent: u64,
    written: u64,
    is_finished: bool,
    /// The peer takes bytes up to here.
    window_end: u64,
    /// Since when the peer owes us an answer.
    unanswered_since: Option<SimTime>,
    timeout: Duration,

    incoming: VecDeque<u8>,
    received: u64,
    peer_finished: bool,
    /// The window end that the peer has been told.
    advertised: u64,
}

impl Endpoint {
    pub(super) fn new(
        phase: Phase,
        (machine, local): (MachineId, SocketAddr),
        (peer_machine, peer): (MachineId, SocketAddr),
        (now, window): (SimTime, usize),
    ) -> Self {
        Self {
            machine,
            peer_machine,
            local,
            peer,
            phase,
            is_held: true,
            last_arrival: SimTime::default(),
            deadline: now + SYN_TIMEOUT,
            watch: None,
            error: None,
            read_waker: None,
            write_waker: None,
            outgoing: VecDeque::new(),
            acknowledged: 0,
            sent: 0,
            written: 0,
            is_finished: false,
            window_end: window as u64,
            unanswered_since: Some(now),
            timeout: SYN_TIMEOUT,
            incoming: VecDeque::new(),
            received: 0,
            peer_finished: false,
            advertised: window as u64,
        }
    }

    /// Takes a segment from the peer; answers go to `out`.
    pub(super) fn on_segment(
        &mut self,
        segment: Segment,
        around: &mut Surroundings<'_>,
        out: &mut Vec<Segment>,
    ) -> Verdict {
        let opened = match (self.phase, &segment) {
            (Phase::Broken, Segment::Reset) => return Verdict::Keep,
            (Phase::Broken, _) => {
                out.push(Segment::Reset);
                return Verdict::Keep;
            }
            (_, Segment::Reset) => return self.on_reset(),
            (Phase::Answered, Segment::Syn { .. }) => {
                out.push(Segment::SynAck);
                return Verdict::Keep;
            }
            // Only a SYN-ACK opens our side; anything else is from before it and comes again.
            (Phase::Connecting, Segment::SynAck) | (Phase::Answered, _) => {
                self.open();
                true
            }
            (Phase::Connecting, _) => return Verdict::Keep,
            (Phase::Open, _) => false,
        };
        match segment {
            Segment::Syn { .. } | Segment::SynAck => out.push(self.acknowledgement(around.faults)),
            Segment::Ack { received, window_end } => {
                if self.on_acknowledgement(received, window_end, around.now) {
                    return Verdict::Remove;
                }
                self.transmit(usize::MAX, around, out);
            }
            Segment::Data { sequence, bytes } => {
                let has_new_bytes = sequence + bytes.len() as u64 > self.received;
                if has_new_bytes && !self.is_held {
                    return Verdict::Refuse;
                }
                self.take_bytes(sequence, &bytes, around.faults);
                out.push(self.acknowledgement(around.faults));
            }
            Segment::Fin { sequence } => {
                if sequence == self.received && !self.peer_finished {
                    self.peer_finished = true;
                    wake(&mut self.read_waker);
                }
                out.push(self.acknowledgement(around.faults));
                if self.is_over() {
                    return Verdict::Remove;
                }
            }
            Segment::Reset => {}
        }
        if opened { Verdict::Opened } else { Verdict::Keep }
    }

    /// Called when the deadline has come.
    pub(super) fn on_timer(
        &mut self,
        around: &mut Surroundings<'_>,
        out: &mut Vec<Segment>,
    ) -> Verdict {
        let (now, faults) = (around.now, around.faults);
        self.deadline = SimTime::FAR;
        let waited = self.unanswered_since.map_or(Duration::ZERO, |since| now.since(since));
        match self.phase {
            Phase::Broken => Verdict::Keep,
            Phase::Connecting if waited >= faults.connect_give_up => {
                self.fail(io::ErrorKind::TimedOut);
                Verdict::Keep
            }
            Phase::Answered if waited >= faults.connect_give_up => Verdict::Remove,
            Phase::Connecting | Phase::Answered => {
                out.push(match self.phase {
                    Phase::Connecting => Segment::Syn { from: self.local, to: self.peer },
                    Phase::Answered | Phase::Open | Phase::Broken => Segment::SynAck,
                });
                self.back_off(now);
                Verdict::Keep
            }
            Phase::Open if self.unanswered_since.is_none() => {
                // Closed on both sides or forgotten by the peer: kernels keep such a rest for a while only.
                if self.is_held { Verdict::Keep } else { Verdict::Remove }
            }
            Phase::Open if waited >= faults.give_up => {
                self.fail(io::ErrorKind::TimedOut);
                if self.is_held { Verdict::Keep } else { Verdict::Remove }
            }
            Phase::Open => {
                self.sent = self.acknowledged;
                let before = out.len();
                self.transmit(1, around, out);
                if out.len() == before {
                    out.push(Segment::Data { sequence: self.sent, bytes: Vec::new() });
                }
                self.back_off(now);
                Verdict::Keep
            }
        }
    }

    /// Takes bytes from the program; at most as many as there is room for.
    pub(super) fn write(&mut self, bytes: &[u8], faults: &NetworkFaults) -> usize {
        let count = bytes.len().min(faults.send_buffer.saturating_sub(self.outgoing.len()));
        self.outgoing.extend(&bytes[..count]);
        self.written += count as u64;
        count
    }

    /// Sends what the window allows, in at most `segments_max` segments, some cut at random places.
    pub(super) fn transmit(
        &mut self,
        segments_max: usize,
        around: &mut Surroundings<'_>,
        out: &mut Vec<Segment>,
    ) {
        let (now, faults) = (around.now, around.faults);
        if self.phase != Phase::Open {
            return;
        }
        let limit = self.written.min(self.window_end);
        let mut segments = 0;
        while self.sent < limit && segments < segments_max {
            let mut length = index(limit - self.sent).min(faults.segment_max.max(1));
            if around.random.chance(faults.short_segment) {
                length = 1 + around.random.index(length);
            }
            let start = index(self.sent - self.acknowledged);
            let bytes = self.outgoing.range(start..start + length).copied().collect();
            out.push(Segment::Data { sequence: self.sent, bytes });
            self.sent += length as u64;
            segments += 1;
        }
        if self.is_finished && self.sent == self.written && segments < segments_max {
            out.push(Segment::Fin { sequence: self.sent });
            self.sent += 1;
        }
        let owes = self.acknowledged < self.written + u64::from(self.is_finished);
        if owes && self.unanswered_since.is_none() {
            self.unanswered_since = Some(now);
            self.timeout = RETRANSMIT_AFTER;
            self.deadline = now + self.timeout;
        }
    }

    /// No more bytes will be written.
    pub(super) fn finish(&mut self) {
        self.is_finished = true;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// The program lets go of the socket: what it has written is still delivered.
    pub(super) fn release(&mut self, now: SimTime) -> Verdict {
        self.is_held = false;
        self.read_waker = None;
        self.write_waker = None;
        match self.phase {
            Phase::Connecting | Phase::Answered | Phase::Broken => Verdict::Remove,
            // The peer must not believe that we have read it.
            Phase::Open if !self.incoming.is_empty() => Verdict::Refuse,
            Phase::Open => {
                self.finish();
                if self.is_over() {
                    return Verdict::Remove;
                }
                self.linger(now);
                Verdict::Keep
            }
        }
    }

    /// Gives received bytes to the program.
    pub(super) fn read(&mut self, count: usize, mut sink: impl FnMut(&[u8])) {
        let (front, back) = self.incoming.as_slices();
        let from_front = count.min(front.len());
        sink(&front[..from_front]);
        sink(&back[..count - from_front]);
        self.incoming.drain(..count);
    }

    /// How many bytes can be read.
    pub(super) fn readable(&self) -> usize {
        self.incoming.len()
    }

    /// How many bytes have come.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Nothing more will come.
    pub(super) fn is_at_end(&self) -> bool {
        self.peer_finished || self.phase == Phase::Broken
    }

    /// After reading: tells the peer about room, when so much has come free that it may be waiting for it.
    pub(super) fn window_update(&mut self, faults: &NetworkFaults) -> Option<Segment> {
        let window_end = self.window_end_now(faults);
        let was_closed = self.advertised <= self.received;
        let has_grown = window_end - self.advertised.min(window_end) >= faults.window as u64 / 2;
        (self.phase == Phase::Open && !self.peer_finished && (was_closed || has_grown))
            .then(|| self.acknowledgement(faults))
    }

    fn open(&mut self) {
        self.phase = Phase::Open;
        self.unanswered_since = None;
        self.deadline = SimTime::FAR;
        wake(&mut self.read_waker);
    }

    /// True when this was the last thing the endpoint was kept for.
    fn on_acknowledgement(&mut self, received: u64, window_end: u64, now: SimTime) -> bool {
        self.window_end = self.window_end.max(window_end);
        let was_probing = self.sent == self.acknowledged;
        if received > self.acknowledged {
            let gone = index(received - self.acknowledged).min(self.outgoing.len());
            self.outgoing.drain(..gone);
            self.acknowledged = received;
            self.sent = self.sent.max(received);
            self.timeout = RETRANSMIT_AFTER;
            wake(&mut self.write_waker);
        } else if !was_probing {
            return false;
        }
        let owes = self.acknowledged < self.written + u64::from(self.is_finished);
        self.unanswered_since = owes.then_some(now);
        self.deadline = if owes { now + self.timeout } else { SimTime::FAR };
        self.linger(now);
        self.is_over()
    }

    fn on_reset(&mut self) -> Verdict {
        let error = match self.phase {
            Phase::Connecting => io::ErrorKind::ConnectionRefused,
            Phase::Answered => return Verdict::Remove,
            Phase::Open if self.peer_finished => io::ErrorKind::BrokenPipe,
            Phase::Open | Phase::Broken => io::ErrorKind::ConnectionReset,
        };
        self.fail(error);
        if self.is_held { Verdict::Keep } else { Verdict::Remove }
    }

    /// Ends it with an error, which the program sees once, after the bytes that had come.
    pub(super) fn fail(&mut self, error: io::ErrorKind) {
        self.phase = Phase::Broken;
        self.error = Some(error);
        self.outgoing.clear();
        self.deadline = SimTime::FAR;
        wake(&mut self.read_waker);
        wake(&mut self.write_waker);
    }

    fn take_bytes(&mut self, sequence: u64, bytes: &[u8], faults: &NetworkFaults) {
        if sequence > self.received || self.peer_finished {
            return;
        }
        let known = index(self.received - sequence).min(bytes.len());
        let room = faults.window.saturating_sub(self.incoming.len());
        let new = &bytes[known..];
        let taken = &new[..new.len().min(room)];
        if !taken.is_empty() {
            self.incoming.extend(taken);
            self.received += taken.len() as u64;
            wake(&mut self.read_waker);
        }
    }

    fn acknowledgement(&mut self, faults: &NetworkFaults) -> Segment {
        self.advertised = self.window_end_now(faults);
        let received = self.received + u64::from(self.peer_finished);
        Segment::Ack { received, window_end: self.advertised }
    }

    fn window_end_now(&self, faults: &NetworkFaults) -> u64 {
        self.received + faults.window.saturating_sub(self.incoming.len()) as u64
    }

    /// Released, everything delivered, and the peer has finished too.
    fn is_over(&self) -> bool {
        !self.is_held && self.peer_finished && self.acknowledged > self.written
    }

    /// A released endpoint that owes nothing waits for the peer's end, but not for ever.
    fn linger(&mut self, now: SimTime) {
        if !self.is_held && self.unanswered_since.is_none() && self.phase == Phase::Open {
            self.deadline = now + LINGER;
        }
    }

    fn back_off(&mut self, now: SimTime) {
        self.timeout = (self.timeout * 2).min(TIMEOUT_MAX);
        self.deadline = now + self.timeout;
    }
}

/// Room in a buffer fits into memory.
fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("buffers are in memory")
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// First wait for the answer to a SYN, as on Linux.
const SYN_TIMEOUT: Duration = Duration::from_secs(1);
/// First wait for an acknowledgement, as on Linux on a short way (`TCP_RTO_MIN`).
const RETRANSMIT_AFTER: Duration = Duration::from_millis(200);
/// Longest wait between two attempts, as on Linux (`TCP_RTO_MAX`).
const TIMEOUT_MAX: Duration = Duration::from_secs(120);
/// How long a kernel keeps a socket that nobody holds, as on Linux (`tcp_fin_timeout`).
const LINGER: Duration = Duration::from_secs(60);
