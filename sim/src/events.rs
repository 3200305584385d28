//! Everything that happens in a simulated world, in one place.
//!
//! Each event is folded into a digest: two runs of one seed must end with the same one, and a difference means that
//! something from outside got in. Events can also be kept, for people and for pictures. Counters tell whether a rare thing
//! has ever happened (did a power loss ever hit an unsynced sector?), without which a green run proves little.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::machine::MachineId;
use crate::timeline::SimTime;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Something happened to a machine or to its process.
    Machine {
        /// The machine.
        machine: MachineId,
        /// What happened to it.
        change: MachineChange,
    },
    /// The end of a packet's way.
    Packet {
        /// The sender.
        from: MachineId,
        /// The receiver.
        to: MachineId,
        /// The connection it belongs to.
        connection: u64,
        /// What it is.
        kind: PacketKind,
        /// Where its bytes stand in their direction.
        sequence: u64,
        /// How many bytes it carries.
        length: usize,
        /// Digest of its bytes.
        content: u64,
        /// When it was sent.
        sent_at: SimTime,
        /// Where it ended.
        fate: Fate,
    },
    /// A link changed for one direction.
    Link {
        /// The sender.
        from: MachineId,
        /// The receiver.
        to: MachineId,
        /// Whether packets get lost on it.
        is_cut: bool,
    },
    /// An operation of a process on its disk has ended.
    Disk {
        /// The machine.
        machine: MachineId,
        /// What it was.
        operation: DiskOperation,
        /// The file (a number that lives as long as the file), or 0 where there is only a name.
        file: u64,
        /// Where in the file.
        position: u64,
        /// How many bytes.
        length: u64,
        /// The error, when it failed.
        error: Option<io::ErrorKind>,
    },
    /// What the power loss did to one file or name.
    Lost {
        /// The machine.
        machine: MachineId,
        /// The file.
        file: u64,
        /// What was done to it.
        damage: Damage,
        /// How many sectors or bytes or names.
        count: u64,
    },
    /// A machine was set up.
    Added {
        /// The machine.
        machine: MachineId,
        /// By which name others find it.
        name: String,
    },
    /// A file with this name was opened. [Observed](Recorder::observe) only.
    Opened {
        /// The machine.
        machine: MachineId,
        /// The number by which other events know the file.
        file: u64,
        /// Its name.
        path: String,
    },
    /// A program has written a whole message onto a connection. [Observed](Recorder::observe) only.
    Sent(Box<Message>),
    /// The receiver's kernel has all bytes of a message. [Observed](Recorder::observe) only.
    Received {
        /// The [message](Message::number).
        number: u64,
    },
    /// A replica of a partition is seen for the first time in the life of a process, or has moved. [Observed](Recorder::observe)
    /// only.
    Replica {
        /// The machine of the broker.
        machine: MachineId,
        /// How the replica is now.
        status: Box<ReplicaStatus>,
    },
    /// A word of the workload or a checker.
    Note {
        /// Who says it, when it is a machine.
        machine: Option<MachineId>,
        /// What it says.
        text: String,
    },
}

/// What can happen to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MachineChange {
    /// A process was started.
    Started,
    /// The process ended by itself.
    Ended,
    /// The process was killed; the machine lives on.
    Crashed,
    /// The machine lost power.
    PowerLost,
    /// The machine has power again.
    PowerBack,
    /// All tasks of the process stand still.
    Paused,
    /// They go on.
    Resumed,
    /// The wall clock was set forward by so many milliseconds.
    WallClockMoved(i64),
    /// The clocks run faster by so many millionths from now on.
    DriftSet(i64),
}

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketKind {
    /// Asks for a connection.
    Syn,
    /// Grants it.
    SynAck,
    /// Says what has been received.
    Ack,
    /// Carries bytes.
    Data,
    /// Says that no more bytes will come.
    Fin,
    /// Says that there is no such connection.
    Reset,
}

/// Where a packet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It arrived.
    Delivered,
    /// The link lost it.
    Lost,
    /// The link was cut.
    Cut,
    /// The receiver had no power.
    Unpowered,
}

/// What a process asks of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the words of the `Disk` and `File` traits")]
pub enum DiskOperation {
    Open,
    CreateDirectory,
    List,
    Rename,
    RemoveFile,
    RemoveDirectory,
    SyncDirectory,
    Lock,
    Space,
    Read,
    Write,
    SyncData,
    SetLength,
    Length,
}

/// What happened to what was not yet durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Damage {
    /// Sectors that fell back to what was on the device.
    SectorsLost,
    /// Sectors that are half old, half new.
    SectorsTorn,
    /// Sectors that reached the device although nobody had asked.
    SectorsKept,
    /// Bytes by which the file is shorter or longer than the process left it.
    LengthLost,
    /// Operations on names that never happened.
    NamesLost,
    /// Operations on names that are kept although nobody had asked.
    NamesKept,
}

/// What one program says to another in one piece.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// Its name: counted from 1 over the whole world.
    pub number: u64,
    /// The sender.
    pub from: MachineId,
    /// The receiver.
    pub to: MachineId,
    /// The connection it travels on.
    pub connection: u64,
    /// What it is.
    pub kind: MessageKind,
    /// How many bytes it has.
    pub length: usize,
    /// Where its bytes begin in their direction.
    pub sequence: u64,
    /// Partitions it speaks of, by topic (a name or an id) and index.
    pub partitions: Vec<(String, i32)>,
    /// What it says, in a few words; empty where that is not looked at.
    pub text: String,
}

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// A request of Kafka's protocol.
    Request {
        /// The API's name.
        api: &'static str,
        /// Its version.
        version: i16,
        /// What the response is found by.
        correlation_id: i32,
    },
    /// A response to it.
    Response {
        /// The API's name.
        api: &'static str,
        /// Its version.
        version: i16,
        /// That of the request.
        correlation_id: i32,
    },
    /// Bytes of another protocol, as they were written.
    Bytes,
}

/// How a replica is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplicaStatus {
    /// The topic's name.
    pub topic: String,
    /// The topic's id, as messages write it.
    pub topic_id: String,
    /// The partition.
    pub partition: i32,
    /// Whether this broker leads, as far as it knows.
    pub is_leader: bool,
    /// The leader epoch it knows of.
    pub epoch: i32,
    /// The offset the next record gets.
    pub log_end: i64,
    /// The first offset that is not committed.
    pub high_watermark: i64,
}

/// Looks at the replicas of a process; `None` when it has ended.
pub type Probe = Box<dyn Fn() -> Option<Vec<ReplicaStatus>> + Send>;

/// An event and when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// World time.
    pub at: SimTime,
    /// What happened.
    pub event: Event,
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.at, self.event)
    }
}

/// Hears every event of a world.
#[derive(Default)]
pub struct Recorder {
    is_kept: bool,
    inner: Mutex<Inner>,
    watched: Mutex<BTreeMap<MachineId, Watched>>,
}

/// A process whose replicas are watched.
struct Watched {
    probe: Probe,
    /// What was seen last, by topic and partition.
    seen: BTreeMap<(String, i32), ReplicaStatus>,
}

#[derive(Debug, Default)]
struct Inner {
    digest: Digest,
    event_count: u64,
    counters: BTreeMap<&'static str, u64>,
    trace: Option<Vec<Recorded>>,
}

impl Recorder {
    /// A recorder that also keeps the events when `keeps_trace`.
    #[must_use]
    pub fn new(keeps_trace: bool) -> Self {
        let inner = Inner { trace: keeps_trace.then(Vec::new), ..Inner::default() };
        Self { is_kept: keeps_trace, inner: Mutex::new(inner), watched: Mutex::default() }
    }

    /// Whether events are kept: only then is it worth the trouble to observe something.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Keeps something that was only looked at: it is no part of the digest, since it is not there when nobody looks.
    pub fn observe(&self, at: SimTime, event: Event) {
        if let Some(trace) = &mut self.inner().trace {
            trace.push(Recorded { at, event });
        }
    }

    /// From now on [`look`](Self::look) asks this process how its replicas are. Asking must change nothing.
    pub fn watch(&self, machine: MachineId, probe: Probe) {
        if self.is_kept {
            self.watched().insert(machine, Watched { probe, seen: BTreeMap::new() });
        }
    }

    /// Asks the process on `machine` how its replicas are, and observes what has moved. Costs nothing when no events are
    /// kept.
    pub fn look(&self, at: SimTime, machine: MachineId) {
        if !self.is_kept {
            return;
        }
        let mut watched = self.watched();
        let Some(process) = watched.get_mut(&machine) else { return };
        let Some(now) = (process.probe)() else {
            watched.remove(&machine);
            return;
        };
        for status in now {
            let key = (status.topic.clone(), status.partition);
            if process.seen.get(&key) != Some(&status) {
                process.seen.insert(key, status.clone());
                self.observe(at, Event::Replica { machine, status: Box::new(status) });
            }
        }
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<MachineId, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event.
    pub fn record(&self, at: SimTime, event: Event) {
        let mut inner = self.inner();
        at.hash(&mut inner.digest);
        event.hash(&mut inner.digest);
        inner.event_count += 1;
        if let Some(trace) = &mut inner.trace {
            trace.push(Recorded { at, event });
        }
    }

    /// Makes the digest depend on bytes that no event carries.
    pub(crate) fn fold(&self, content: u64) {
        self.inner().digest.write_u64(content);
    }

    /// Counts that something rare has happened.
    pub fn count(&self, what: &'static str, times: u64) {
        if times > 0 {
            *self.inner().counters.entry(what).or_default() += times;
        }
    }

    /// The digest of all events until now.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.inner().digest.finish()
    }

    /// How many events there were.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.inner().event_count
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        self.inner().counters.clone()
    }

    /// How often this was counted.
    #[must_use]
    pub fn counter(&self, what: &str) -> u64 {
        self.inner().counters.get(what).copied().unwrap_or(0)
    }

    /// The events kept until now; empty when they are not kept.
    #[must_use]
    pub fn trace(&self) -> Vec<Recorded> {
        self.inner().trace.clone().unwrap_or_default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// A fast 64-bit digest that is the same in every process of one build; no protection against anybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Digest(u64);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> u64 {
        let mut digest = Self::default();
        digest.write(bytes);
        digest.finish()
    }

    fn fold(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.fold(u64::from_le_bytes(last));
        self.fold(bytes.len() as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.fold(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.fold(word as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Event {
        Event::Note { machine: None, text: text.into() }
    }

    #[test]
    fn digest_depends_on_what_when_and_order() {
        let digest = |events: &[(u64, &str)]| {
            let recorder = Recorder::new(false);
            for (at, text) in events {
                recorder.record(SimTime(*at), note(text));
            }
            recorder.digest()
        };
        let base = digest(&[(1, "a"), (2, "b")]);
        assert_eq!(base, digest(&[(1, "a"), (2, "b")]));
        assert_ne!(base, digest(&[(1, "a"), (3, "b")]));
        assert_ne!(base, digest(&[(1, "a"), (2, "c")]));
        assert_ne!(base, digest(&[(2, "b"), (1, "a")]));
        assert_ne!(Digest::of(b"\0"), Digest::of(b"\0\0"));
    }

    #[test]
    fn trace_is_kept_only_when_asked_for() {
        for keeps_trace in [false, true] {
            let recorder = Recorder::new(keeps_trace);
            recorder.record(SimTime(5), note("x"));
            recorder.count("rare", 2);
            recorder.count("never", 0);
            assert_eq!(recorder.trace().len(), usize::from(keeps_trace));
            assert_eq!(recorder.event_count(), 1);
            assert_eq!(recorder.counters(), BTreeMap::from([("rare", 2)]));
        }
    }

    #[test]
    fn what_is_only_looked_at_is_kept_but_no_part_of_the_digest() {
        let status = |log_end| ReplicaStatus {
            topic: "orders".into(),
            topic_id: String::new(),
            partition: 0,
            is_leader: true,
            epoch: 1,
            log_end,
            high_watermark: 0,
        };
        for keeps_trace in [false, true] {
            let recorder = Recorder::new(keeps_trace);
            let before = (recorder.digest(), recorder.event_count());
            let ends = Mutex::new([None, Some(2), Some(1), Some(1)].to_vec());
            let ask = move || {
                ends.lock()
                    .expect("nobody panics with it")
                    .pop()
                    .flatten()
                    .map(|end| vec![status(end)])
            };
            recorder.watch(MachineId(1), Box::new(ask));
            for at in 1..=5 {
                recorder.look(SimTime(at), MachineId(1));
            }
            assert_eq!((recorder.digest(), recorder.event_count()), before);
            let seen: Vec<_> = recorder.trace().iter().map(|recorded| recorded.at.0).collect();
            let expected: &[u64] = if keeps_trace { &[1, 3] } else { &[] };
            assert_eq!(seen, expected, "seen first and when it moved, and never after its end");
        }
    }
}
