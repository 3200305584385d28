//! From a list of events to things that can be drawn.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::Run;
use crate::events::{
    Damage, DiskOperation, Event, Fate, MachineChange, Message, MessageKind, PacketKind, Recorded,
    ReplicaStatus,
};
use crate::machine::MachineId;
use crate::timeline::SimTime;

/// Everything there is to draw of a run.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// Brokers and other machines with a disk first.
    pub lanes: Vec<Lane>,
    /// All partitions that brokers had.
    pub partitions: Vec<String>,
    /// What happened, in the order of time.
    pub marks: Vec<Mark>,
}

/// The life of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// Whether it uses a disk; the others are clients.
    pub is_node: bool,
}

/// One thing to draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When it happened, or was sent.
    pub at: SimTime,
    /// When it arrived; `None` for what never did. The same as `at` for all that does not travel.
    pub until: Option<SimTime>,
    /// What it is.
    pub kind: Kind,
    /// Where; `None` when it is not at one machine.
    pub lane: Option<usize>,
    /// Where to.
    pub to: Option<usize>,
    /// A word or two.
    pub label: Cow<'static, str>,
    /// More words.
    pub detail: String,
    /// Numbers whose meaning the kind gives.
    pub numbers: [i64; 4],
    /// The partitions it is about.
    pub partitions: Vec<usize>,
}

/// Kinds of marks, and what their numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A request: connection, correlation id, bytes, version.
    Request,
    /// A response: the same.
    Response,
    /// Bytes of another protocol: connection, 0, bytes.
    Bytes,
    /// A connection begins or ends: connection, sequence, bytes.
    Connection,
    /// A packet that arrived: connection, sequence, bytes.
    Packet,
    /// A packet that did not: connection, sequence, bytes.
    Lost,
    /// An operation on the disk: file, position, bytes.
    Disk,
    /// What a power loss did: file, how many.
    Damage,
    /// A replica has moved: log end, high watermark, epoch, whether it leads.
    Replica,
    /// A machine was started, paused and so on: see [`change_code`].
    Machine,
    /// A link was cut (1) or healed (0).
    Link,
    /// A word.
    Note,
    /// What must never happen: 1 when it was found after the end, 2 when the finding only speaks of it.
    Violation,
}

impl Kind {
    /// All kinds; the page knows them by their place in here.
    pub const ALL: [Self; 13] = [
        Self::Request,
        Self::Response,
        Self::Bytes,
        Self::Connection,
        Self::Packet,
        Self::Lost,
        Self::Disk,
        Self::Damage,
        Self::Replica,
        Self::Machine,
        Self::Link,
        Self::Note,
        Self::Violation,
    ];

    /// Whether it is an arrow.
    #[must_use]
    pub const fn is_arrow(self) -> bool {
        matches!(
            self,
            Self::Request
                | Self::Response
                | Self::Bytes
                | Self::Connection
                | Self::Packet
                | Self::Lost
        )
    }

    /// Whether it must be seen however much else there is.
    #[must_use]
    pub const fn is_loud(self) -> bool {
        matches!(self, Self::Machine | Self::Link | Self::Violation)
    }
}

impl Story {
    /// What there is to draw of `run`.
    #[must_use]
    pub fn of(run: &Run<'_>) -> Self {
        let mut teller = Teller::new(run);
        for recorded in run.trace {
            teller.tell(recorded);
        }
        teller.end(run)
    }
}

/// Goes through the events.
struct Teller {
    story: Story,
    lanes: BTreeMap<MachineId, usize>,
    /// By name, and by topic id.
    partitions: BTreeMap<(String, i32), usize>,
    topics: BTreeMap<String, String>,
    files: BTreeMap<(MachineId, u64), String>,
    /// Messages under way, and their marks.
    under_way: BTreeMap<u64, usize>,
    /// By connection and lane of the sender.
    streams: BTreeMap<(i64, usize), Messages>,
    problem: Problem,
}

/// By where they begin: where messages of one stream end, and their labels.
type Messages = BTreeMap<i64, (i64, &'static str)>;

/// What the run's problem speaks of.
#[derive(Default)]
struct Problem {
    /// What it says of each anomaly, without its name.
    words: Vec<String>,
    /// As notes begin that tell what became of a record.
    records: BTreeSet<String>,
}

impl Problem {
    fn of(run: &Run<'_>) -> Self {
        let text = run.problem.clone().unwrap_or_default();
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
        let mut records = BTreeSet::new();
        while let Some(word) = words.next() {
            if word == "record"
                && let Some(number) = words.next()
            {
                records.insert(format!("record {number} is "));
            }
        }
        let words = parts_of(&text).into_iter().map(|part| match part.split_once(": ") {
            Some((_, words)) => words.to_owned(),
            None => part,
        });
        Self { words: words.filter(|words| words.len() >= TELLING).collect(), records }
    }

    /// Whether a note is what the problem is about (0), or at least speaks of the same record (2).
    fn kind_of(&self, note: &str) -> Option<i64> {
        if self.words.iter().any(|words| note.contains(words.as_str())) {
            Some(0)
        } else {
            self.records.iter().any(|start| note.starts_with(start.as_str())).then_some(2)
        }
    }
}

impl Teller {
    fn new(run: &Run<'_>) -> Self {
        let mut names = BTreeMap::new();
        let mut nodes = BTreeSet::new();
        let mut partitions = BTreeSet::new();
        let mut topics = BTreeMap::new();
        for recorded in run.trace {
            match &recorded.event {
                Event::Added { machine, name } => drop(names.insert(*machine, name.clone())),
                Event::Disk { machine, .. } => drop(nodes.insert(*machine)),
                Event::Replica { status, .. } => {
                    partitions.insert((status.topic.clone(), status.partition));
                    topics.insert(status.topic_id.clone(), status.topic.clone());
                }
                Event::Machine { .. }
                | Event::Packet { .. }
                | Event::Link { .. }
                | Event::Lost { .. }
                | Event::Opened { .. }
                | Event::Sent(_)
                | Event::Received { .. }
                | Event::Note { .. } => {}
            }
        }
        let (first, second): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|(machine, _)| nodes.contains(machine));
        let mut story = Story::default();
        let mut lanes = BTreeMap::new();
        for (machine, name) in first.into_iter().chain(second) {
            lanes.insert(machine, story.lanes.len());
            story.lanes.push(Lane { name, is_node: nodes.contains(&machine) });
        }
        story.partitions =
            partitions.iter().map(|(topic, index)| format!("{topic}-{index}")).collect();
        let partitions = partitions.into_iter().enumerate().map(|(index, key)| (key, index));
        Self {
            story,
            lanes,
            partitions: partitions.collect(),
            topics,
            files: BTreeMap::new(),
            under_way: BTreeMap::new(),
            streams: BTreeMap::new(),
            problem: Problem::of(run),
        }
    }

    fn tell(&mut self, recorded: &Recorded) {
        let at = recorded.at;
        match &recorded.event {
            Event::Added { machine, name } => {
                self.at_machine(at, *machine, Kind::Machine, "set up".into(), name.clone());
            }
            Event::Machine { machine, change } => {
                let (code, value, label) = change_code(*change);
                let mark =
                    self.at_machine(at, *machine, Kind::Machine, label.into(), String::new());
                mark.numbers = [code, value, 0, 0];
            }
            Event::Packet { .. } => self.packet(at, &recorded.event),
            Event::Link { from, to, is_cut } => {
                let label = if *is_cut { "cut" } else { "healed" };
                let to = self.lane(*to);
                let mark = self.at_machine(at, *from, Kind::Link, label.into(), String::new());
                mark.to = to;
                mark.numbers[0] = i64::from(*is_cut);
            }
            Event::Disk { machine, operation, file, position, length, error } => {
                let detail = self.files.get(&(*machine, *file)).cloned().unwrap_or_default();
                let partitions = self.partition_of_path(&detail);
                let label = match error {
                    Some(error) => format!("{operation:?} failed: {error}").into(),
                    None => disk_word(*operation).into(),
                };
                let mark = self.at_machine(at, *machine, Kind::Disk, label, detail);
                mark.partitions = partitions;
                mark.numbers = [number(*file), number(*position), number(*length), 0];
            }
            Event::Lost { machine, file, damage, count } => {
                let detail = self.files.get(&(*machine, *file)).cloned().unwrap_or_default();
                let label = damage_word(*damage).into();
                let mark = self.at_machine(at, *machine, Kind::Damage, label, detail);
                mark.numbers = [number(*file), number(*count), 0, 0];
            }
            Event::Opened { machine, file, path } => {
                self.files.insert((*machine, *file), path.clone());
            }
            Event::Sent(message) => self.message(at, message),
            Event::Received { number } => {
                if let Some(index) = self.under_way.remove(number) {
                    self.story.marks[index].until = Some(at);
                }
            }
            Event::Replica { machine, status } => self.replica(at, *machine, status),
            Event::Note { machine, text } => self.note(at, *machine, text),
        }
    }

    fn packet(&mut self, at: SimTime, event: &Event) {
        let Event::Packet { from, to, connection, kind, sequence, length, sent_at, fate, .. } =
            event
        else {
            return;
        };
        let (is_data, word) = match kind {
            PacketKind::Syn => (false, "SYN"),
            PacketKind::SynAck => (false, "SYN-ACK"),
            PacketKind::Fin => (false, "FIN"),
            PacketKind::Reset => (false, "RST"),
            PacketKind::Ack => (true, "ACK"),
            PacketKind::Data => (true, "data"),
        };
        let (kind, detail) = match fate {
            Fate::Delivered if is_data => (Kind::Packet, ""),
            Fate::Delivered => (Kind::Connection, ""),
            Fate::Lost => (Kind::Lost, "the link lost it"),
            Fate::Cut => (Kind::Lost, "the link was cut"),
            Fate::Unpowered => (Kind::Lost, "the receiver had no power"),
        };
        let to = self.lane(*to);
        let mark = self.at_machine(*sent_at, *from, kind, word.into(), detail.to_owned());
        mark.to = to;
        mark.until = (kind != Kind::Lost).then_some(at);
        mark.numbers = [number(*connection), number(*sequence), number(*length as u64), 0];
    }

    fn message(&mut self, at: SimTime, message: &Message) {
        let (kind, label, correlation_id, version) = match message.kind {
            MessageKind::Request { api, version, correlation_id } => {
                (Kind::Request, api, correlation_id, version)
            }
            MessageKind::Response { api, version, correlation_id } => {
                (Kind::Response, api, correlation_id, version)
            }
            MessageKind::Bytes => (Kind::Bytes, "bytes", 0, 0),
        };
        let mut detail = message.text.clone();
        let mut partitions = Vec::new();
        for (topic, index) in &message.partitions {
            let name = self.topics.get(topic).unwrap_or(topic);
            if name != topic {
                detail = detail.replace(topic.as_str(), name);
            }
            partitions.extend(self.partitions.get(&(name.clone(), *index)));
        }
        partitions.sort_unstable();
        partitions.dedup();
        let (connection, length) = (number(message.connection), number(message.length as u64));
        if let Some(lane) = self.lane(message.from) {
            let begin = number(message.sequence);
            let stream = self.streams.entry((connection, lane)).or_default();
            stream.insert(begin, (begin + length, label));
        }
        let to = self.lane(message.to);
        self.under_way.insert(message.number, self.story.marks.len());
        let mark = self.at_machine(at, message.from, kind, label.into(), detail);
        mark.to = to;
        mark.until = None;
        mark.partitions = partitions;
        mark.numbers = [connection, i64::from(correlation_id), length, i64::from(version)];
    }

    fn replica(&mut self, at: SimTime, machine: MachineId, status: &ReplicaStatus) {
        let key = (status.topic.clone(), status.partition);
        let partition = self.partitions.get(&key).copied();
        let name = format!("{}-{}", status.topic, status.partition);
        let mark = self.at_machine(at, machine, Kind::Replica, name.into(), String::new());
        mark.partitions = partition.into_iter().collect();
        mark.numbers = [
            status.log_end,
            status.high_watermark,
            i64::from(status.epoch),
            i64::from(status.is_leader),
        ];
    }

    fn note(&mut self, at: SimTime, machine: Option<MachineId>, text: &str) {
        let lane = machine.and_then(|machine| self.lane(machine));
        let found = self.problem.kind_of(text);
        let kind = if found.is_some() { Kind::Violation } else { Kind::Note };
        let mark = self.add(at, kind, lane, text.to_owned().into(), String::new());
        mark.numbers[0] = found.unwrap_or(0);
    }

    fn end(mut self, run: &Run<'_>) -> Story {
        // A packet is told of when its way ends, and drawn from where it began.
        self.story.marks.sort_by_key(|mark| mark.at);
        self.tell_what_was_lost();
        if let Some(problem) = &run.problem {
            let parts = parts_of(problem);
            let (first, rest) = parts.split_first().expect("a text has at least one part");
            let text = first.clone().into();
            let mark = self.add(run.ended_at, Kind::Violation, None, text, rest.join("; "));
            mark.numbers[0] = 1;
        }
        self.story
    }

    /// Says of lost packets which message they carried a piece of.
    fn tell_what_was_lost(&mut self) {
        for mark in &mut self.story.marks {
            let [connection, sequence, length, _] = mark.numbers;
            if mark.kind != Kind::Lost || length == 0 {
                continue;
            }
            let Some(pieces) = mark.lane.and_then(|lane| self.streams.get(&(connection, lane)))
            else {
                continue;
            };
            // The last message that begins before the packet ends.
            let found = pieces.range(..sequence + length).next_back();
            if let Some((_, (end, label))) = found
                && *end > sequence
            {
                let _ = write!(mark.detail, ", with it a piece of {label}");
            }
        }
    }

    fn lane(&self, machine: MachineId) -> Option<usize> {
        self.lanes.get(&machine).copied()
    }

    /// The partition in whose directory a file is.
    fn partition_of_path(&self, path: &str) -> Vec<usize> {
        let directory = path.rsplit('/').nth(1).unwrap_or_default();
        let Some((topic, index)) = directory.rsplit_once('-') else { return Vec::new() };
        let Ok(index) = index.parse() else { return Vec::new() };
        self.partitions.get(&(topic.to_owned(), index)).copied().into_iter().collect()
    }

    fn at_machine(
        &mut self,
        at: SimTime,
        machine: MachineId,
        kind: Kind,
        label: Cow<'static, str>,
        detail: String,
    ) -> &mut Mark {
        let lane = self.lane(machine);
        self.add(at, kind, lane, label, detail)
    }

    fn add(
        &mut self,
        at: SimTime,
        kind: Kind,
        lane: Option<usize>,
        label: Cow<'static, str>,
        detail: String,
    ) -> &mut Mark {
        let (until, to, partitions) = (Some(at), None, Vec::new());
        let numbers = [0; 4];
        let mark = Mark { at, until, kind, lane, to, label, detail, numbers, partitions };
        self.story.marks.push(mark);
        self.story.marks.last_mut().expect("it was just added")
    }
}

/// The anomalies that a problem tells of, which may have the separator in their words: each begins with a name and a colon.
pub(super) fn parts_of(problem: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for piece in problem.split("; ") {
        let name = piece.split_once(": ").map(|(name, _)| name);
        let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let begins = name.is_some_and(is_name) || piece.starts_with("and ");
        match parts.last_mut() {
            Some(last) if !begins => {
                last.push_str("; ");
                last.push_str(piece);
            }
            Some(_) | None => parts.push(piece.to_owned()),
        }
    }
    parts
}

/// A change's number, its value, and a word for it. 0 is a machine that was set up.
fn change_code(change: MachineChange) -> (i64, i64, &'static str) {
    match change {
        MachineChange::Started => (1, 0, "started"),
        MachineChange::Ended => (2, 0, "ended"),
        MachineChange::Crashed => (3, 0, "crashed"),
        MachineChange::PowerLost => (4, 0, "power lost"),
        MachineChange::PowerBack => (5, 0, "power back"),
        MachineChange::Paused => (6, 0, "paused"),
        MachineChange::Resumed => (7, 0, "resumed"),
        MachineChange::WallClockMoved(millis) => (8, millis, "wall clock moved"),
        MachineChange::DriftSet(millionths) => (9, millionths, "clock drift set"),
    }
}

fn disk_word(operation: DiskOperation) -> &'static str {
    match operation {
        DiskOperation::Open => "open",
        DiskOperation::CreateDirectory => "create directory",
        DiskOperation::List => "list",
        DiskOperation::Rename => "rename",
        DiskOperation::RemoveFile => "remove file",
        DiskOperation::RemoveDirectory => "remove directory",
        DiskOperation::SyncDirectory => "sync directory",
        DiskOperation::Lock => "lock",
        DiskOperation::Space => "space",
        DiskOperation::Read => "read",
        DiskOperation::Write => "write",
        DiskOperation::SyncData => "sync",
        DiskOperation::SetLength => "set length",
        DiskOperation::Length => "length",
    }
}

fn damage_word(damage: Damage) -> &'static str {
    match damage {
        Damage::SectorsLost => "sectors lost",
        Damage::SectorsTorn => "sectors torn",
        Damage::SectorsKept => "unsynced sectors kept",
        Damage::LengthLost => "bytes of length changed",
        Damage::NamesLost => "changes of names lost",
        Damage::NamesKept => "unsynced changes of names kept",
    }
}

/// Shorter words may stand in a note by chance.
const TELLING: usize = 8;

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
