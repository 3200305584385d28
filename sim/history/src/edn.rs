//! A history as operations of `jepsen.tests.kafka`, so that the public checker can judge it too: one map in EDN a line, as in
//! the `history.edn` of a Jepsen run.
//!
//! - a record is an operation `:send` of `[[:send k v]]`, done as `[[:send k [offset v]]]`: `:ok` when it was acknowledged (the
//!   offset is `nil` when the broker did not know it), `:fail` when it was refused for certain, `:info` when nobody ever said;
//! - one poll of a consumer is an operation `:poll` of `[[:poll]]`, done as `[[:poll {k [[offset v] …]}]]`; before its first a
//!   consumer does `:assign`, or `:subscribe` as a member of a group, of all that it ever reads;
//! - the last reading is a consumer of its own, with `:seek-to-beginning? true`;
//! - `k` counts the partitions (a comment at the head tells which), `v` is the number of the record, `nil` one that nobody sent.
//!
//! A process of Jepsen does one thing at a time, and our producers have many records under way: each takes a process that is
//! free. So whether one producer's records keep their order (`nonmonotonic-send`) only our own checker says. A history knows an order
//! and no clock: `:time` is the same as `:index`. Commits, topics and what was noticed at once have no operation there.
//!
//! Source: the documentation of Jepsen's `tests/kafka.clj` (form of operations and of their completions).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use ottla::model::TopicPartition;

use crate::{Event, Polled, RecordId};

/// Writes a history as EDN.
///
/// # Errors
///
/// The disk's.
pub fn write(path: &Path, events: &[Event]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for line in lines(events) {
        writeln!(file, "{line}")?;
    }
    file.flush()
}

/// The lines of the file.
#[must_use]
pub fn lines(events: &[Event]) -> Vec<String> {
    let mut export = Export::new(events);
    for (at, event) in events.iter().enumerate() {
        export.take(at, event);
    }
    export.end();
    export.lines
}

struct Consumer {
    process: usize,
    keys: BTreeSet<usize>,
    is_member: bool,
    is_assigned: bool,
}

#[derive(Default)]
struct Export {
    keys: BTreeMap<TopicPartition, usize>,
    consumers: BTreeMap<u64, Consumer>,
    /// Where the last record of each poll of each consumer stands among the events.
    ends_of_polls: BTreeMap<(u64, u64), usize>,
    /// What a poll has given so far.
    polled: BTreeMap<(u64, u64), BTreeMap<usize, Vec<String>>>,
    last_reader: usize,
    has_last_reader: bool,
    /// Processes that do nothing, and how many there are in all.
    free: BTreeSet<usize>,
    process_count: usize,
    /// Records without an answer: their processes and what they do.
    pending: BTreeMap<RecordId, (usize, usize)>,
    index: usize,
    lines: Vec<String>,
}

impl Export {
    fn new(events: &[Event]) -> Self {
        let mut export = Self::default();
        for (at, event) in events.iter().enumerate() {
            if let Event::Poll(polled) = event {
                export.ends_of_polls.insert((polled.consumer, polled.poll), at);
            }
            let Some(partition) = place_of(event) else { continue };
            let next = export.keys.len();
            export.keys.entry(partition.clone()).or_insert(next);
        }
        for event in events {
            if let Event::Poll(polled) = event {
                export.meet(polled);
            }
        }
        export.last_reader = export.new_process();
        let name = |(partition, key): (&TopicPartition, &usize)| format!("; {key} is {partition}");
        export.lines = export.keys.iter().map(name).collect();
        export
    }

    fn meet(&mut self, polled: &Polled) {
        let key = self.key(&polled.partition);
        if !self.consumers.contains_key(&polled.consumer) {
            let process = self.new_process();
            let is_member = !polled.is_in_one_run;
            let keys = BTreeSet::new();
            let consumer = Consumer { process, keys, is_member, is_assigned: false };
            self.consumers.insert(polled.consumer, consumer);
        }
        if let Some(consumer) = self.consumers.get_mut(&polled.consumer) {
            consumer.keys.insert(key);
        }
    }

    fn key(&self, partition: &TopicPartition) -> usize {
        self.keys.get(partition).copied().unwrap_or(0)
    }

    fn new_process(&mut self) -> usize {
        self.process_count += 1;
        self.process_count - 1
    }

    fn take(&mut self, at: usize, event: &Event) {
        match event {
            Event::Send { record, partition, .. } => {
                let process = self.free.pop_first().unwrap_or_else(|| self.new_process());
                let key = self.key(partition);
                self.pending.insert(*record, (process, key));
                self.operation("invoke", process, "send", &format!("[[:send {key} {}]]", record.0));
            }
            Event::Acknowledged { record, offset } => {
                let offset = offset.map_or_else(|| "nil".to_owned(), |offset| offset.to_string());
                if let Some((process, key)) = self.pending.remove(record) {
                    let value = format!("[[:send {key} [{offset} {}]]]", record.0);
                    self.operation("ok", process, "send", &value);
                    self.free.insert(process);
                }
            }
            Event::Refused { record } => {
                if let Some((process, key)) = self.pending.remove(record) {
                    let value = format!("[[:send {key} {}]]", record.0);
                    self.operation("fail", process, "send", &value);
                    self.free.insert(process);
                }
            }
            Event::Poll(polled) => self.poll(at, polled),
            Event::Read { partition, records, .. } => self.last_reading(partition, records),
            Event::Commit { .. }
            | Event::Committed { .. }
            | Event::Ask { .. }
            | Event::Found { .. }
            | Event::Trim { .. }
            | Event::Trimmed { .. }
            | Event::Limit { .. }
            | Event::ChangeTopic { .. }
            | Event::TopicChanged { .. }
            | Event::Noticed { .. }
            | Event::Rotten { .. }
            | Event::RequestsCameLate
            | Event::BrokerEnded { .. }
            | Event::Await { .. }
            | Event::ReadCommit { .. }
            | Event::ReadTopic { .. }
            | Event::End => {}
        }
    }

    fn poll(&mut self, at: usize, polled: &Polled) {
        let place = (polled.consumer, polled.poll);
        let key = self.key(&polled.partition);
        let of_key = self.polled.entry(place).or_default().entry(key).or_default();
        of_key.push(pair(polled.offset, polled.record));
        if self.ends_of_polls.get(&place) != Some(&at) {
            return;
        }
        let Some(given) = self.polled.remove(&place) else { return };
        let Some(consumer) = self.consumers.get_mut(&polled.consumer) else { return };
        let (process, keys) = (consumer.process, consumer.keys.clone());
        let how = if consumer.is_member { "subscribe" } else { "assign" };
        if !std::mem::replace(&mut consumer.is_assigned, true) {
            self.assign(process, how, &keys, "");
        }
        self.give(process, &given);
    }

    fn last_reading(&mut self, partition: &TopicPartition, records: &[(i64, Option<RecordId>)]) {
        let process = self.last_reader;
        if !std::mem::replace(&mut self.has_last_reader, true) {
            let keys = self.keys.values().copied().collect();
            self.assign(process, "assign", &keys, ", :seek-to-beginning? true");
        }
        let pairs = records.iter().map(|(offset, record)| pair(*offset, *record)).collect();
        self.give(process, &BTreeMap::from([(self.key(partition), pairs)]));
    }

    fn assign(&mut self, process: usize, how: &str, keys: &BTreeSet<usize>, more: &str) {
        let keys: Vec<String> = keys.iter().map(usize::to_string).collect();
        let value = format!("[{}]{more}", keys.join(" "));
        self.operation("invoke", process, how, &value);
        self.operation("ok", process, how, &value);
    }

    fn give(&mut self, process: usize, given: &BTreeMap<usize, Vec<String>>) {
        let of_key = |(key, pairs): (&usize, &Vec<String>)| format!("{key} [{}]", pairs.join(" "));
        let all: Vec<String> = given.iter().map(of_key).collect();
        self.operation("invoke", process, "poll", "[[:poll]]");
        self.operation("ok", process, "poll", &format!("[[:poll {{{}}}]]", all.join(", ")));
    }

    fn operation(&mut self, kind: &str, process: usize, f: &str, value: &str) {
        let index = self.index;
        let mut line = String::new();
        // Writing into a string does not fail.
        let _ = write!(
            line,
            "{{:index {index}, :time {index}, :type :{kind}, :process {process}, :f :{f}, :value {value}}}"
        );
        self.index += 1;
        self.lines.push(line);
    }

    /// What was never answered may have happened.
    fn end(&mut self) {
        for (record, (process, key)) in std::mem::take(&mut self.pending) {
            self.operation("info", process, "send", &format!("[[:send {key} {}]]", record.0));
        }
    }
}

/// The partition of what becomes an operation.
fn place_of(event: &Event) -> Option<&TopicPartition> {
    if let Event::Send { partition, .. } | Event::Read { partition, .. } = event {
        return Some(partition);
    }
    if let Event::Poll(polled) = event { Some(&polled.partition) } else { None }
}

fn pair(offset: i64, record: Option<RecordId>) -> String {
    let value = record.map_or_else(|| "nil".to_owned(), |record| record.0.to_string());
    format!("[{offset} {value}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(events: &[Event], expected: &[&str]) {
        let lines = lines(events);
        let operations: Vec<&str> = lines
            .iter()
            .filter_map(|line| line.split_once(":type ").map(|(_, rest)| rest))
            .collect();
        assert_eq!(operations, expected);
    }

    fn place(index: i32) -> TopicPartition {
        TopicPartition::new("t", index)
    }

    fn send(record: u64, index: i32) -> Event {
        Event::Send { record: RecordId(record), producer: 1, partition: place(index) }
    }

    fn poll(poll: u64, index: i32, offset: i64, record: u64) -> Event {
        let (partition, record) = (place(index), Some(RecordId(record)));
        Event::Poll(Polled { consumer: 9, partition, offset, record, poll, is_in_one_run: true })
    }

    #[test]
    fn a_record_is_a_send_in_a_process_that_is_free() {
        let acknowledged =
            |record, offset| Event::Acknowledged { record: RecordId(record), offset };
        let refused = Event::Refused { record: RecordId(2) };
        check(
            &[
                send(1, 0),
                send(2, 1),
                acknowledged(1, Some(7)),
                send(3, 0),
                refused,
                send(4, 0),
                acknowledged(4, None),
            ],
            &[
                ":invoke, :process 1, :f :send, :value [[:send 0 1]]}",
                ":invoke, :process 2, :f :send, :value [[:send 1 2]]}",
                ":ok, :process 1, :f :send, :value [[:send 0 [7 1]]]}",
                ":invoke, :process 1, :f :send, :value [[:send 0 3]]}",
                ":fail, :process 2, :f :send, :value [[:send 1 2]]}",
                ":invoke, :process 2, :f :send, :value [[:send 0 4]]}",
                ":ok, :process 2, :f :send, :value [[:send 0 [nil 4]]]}",
                ":info, :process 1, :f :send, :value [[:send 0 3]]}",
            ],
        );
    }

    #[test]
    fn what_one_poll_gave_is_one_operation_and_the_last_reading_a_consumer() {
        let records = vec![(0, Some(RecordId(1))), (1, None)];
        check(
            &[
                poll(1, 0, 0, 1),
                poll(1, 1, 5, 2),
                poll(1, 0, 1, 3),
                poll(2, 0, 2, 4),
                Event::Read { partition: place(0), start: 0, records },
            ],
            &[
                ":invoke, :process 0, :f :assign, :value [0 1]}",
                ":ok, :process 0, :f :assign, :value [0 1]}",
                ":invoke, :process 0, :f :poll, :value [[:poll]]}",
                ":ok, :process 0, :f :poll, :value [[:poll {0 [[0 1] [1 3]], 1 [[5 2]]}]]}",
                ":invoke, :process 0, :f :poll, :value [[:poll]]}",
                ":ok, :process 0, :f :poll, :value [[:poll {0 [[2 4]]}]]}",
                ":invoke, :process 1, :f :assign, :value [0 1], :seek-to-beginning? true}",
                ":ok, :process 1, :f :assign, :value [0 1], :seek-to-beginning? true}",
                ":invoke, :process 1, :f :poll, :value [[:poll]]}",
                ":ok, :process 1, :f :poll, :value [[:poll {0 [[0 1] [1 nil]]}]]}",
            ],
        );
    }
}
