//! Readers that fetch incrementally (KIP-227), as other clients do: only where something has changed they say so, and the
//! broker remembers the rest.

use std::collections::BTreeMap;
use std::io;

use kafka_protocol::messages::TopicName as WireTopicName;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::FetchResponse;
use kafka_protocol::protocol::StrBytes;
use ottla::environment::timeout;
use ottla::model::{ErrorCode, TopicPartition};
use ottla::record::split_all;

use super::spoken::Line;
use super::{Clients, Shared, TOPIC, Workload, pause};
use crate::history::{Polled, Verdict, record_of};
use crate::random::Random;
use crate::runtime::SimRuntime;

pub(super) const WORKLOAD: Workload = Workload { name: "sessions", start };

fn start(clients: &mut Clients, random: &mut Random) {
    if random.chance(0.3) {
        clients.add("session", read);
    }
}

async fn read(runtime: SimRuntime, shared: Shared) {
    loop {
        let mut reading = Reading {
            life: shared.history.new_life(),
            session: 0,
            epoch: 0,
            next: shared.habits.partitions().map(|p| (p.partition.0, 0)).collect(),
            changed: BTreeMap::new(),
        };
        reading.changed.clone_from(&reading.next);
        // Whatever ends it, the next one begins anew.
        let _ = reading.go_on(&runtime, &shared).await;
        pause(&runtime, 2_000).await;
    }
}

/// One session, from the beginning of all partitions.
struct Reading {
    life: u64,
    session: i32,
    epoch: i32,
    /// The next offset of each partition.
    next: BTreeMap<i32, i64>,
    /// Those of them that the broker has not been told.
    changed: BTreeMap<i32, i64>,
}

impl Reading {
    async fn go_on(&mut self, runtime: &SimRuntime, shared: &Shared) -> io::Result<()> {
        let limit = shared.habits.request_timeout;
        let broker = shared.habits.some_broker(runtime);
        let dialled = timeout(runtime, limit, Line::open(runtime, broker, "session"));
        let mut line = dialled.await.map_err(io::Error::other)??;
        loop {
            let request = self.request();
            let answered = timeout(runtime, limit, line.ask(VERSION, &request)).await;
            let response = answered.map_err(io::Error::other)??;
            if response.error_code != ErrorCode::None.code() {
                return Err(io::Error::other("the session is over"));
            }
            self.session = response.session_id;
            self.epoch = if self.session == 0 { 0 } else { self.epoch + 1 };
            self.changed.clear();
            self.take(shared, &response)?;
            if self.session == 0 {
                self.changed.clone_from(&self.next);
            }
            runtime.world().events().count("incremental fetch", u64::from(self.epoch > 1));
            pause(runtime, 300).await;
        }
    }

    fn request(&self) -> FetchRequest {
        let partition = |(index, offset): (&i32, &i64)| {
            FetchPartition::default()
                .with_partition(*index)
                .with_fetch_offset(*offset)
                .with_partition_max_bytes(20_000)
        };
        let topic = FetchTopic::default()
            .with_topic(WireTopicName(StrBytes::from_static_str(TOPIC)))
            .with_partitions(self.changed.iter().map(partition).collect());
        let topics = if self.changed.is_empty() { Vec::new() } else { vec![topic] };
        FetchRequest::default()
            .with_max_wait_ms(500)
            .with_min_bytes(1)
            .with_max_bytes(100_000)
            .with_session_id(self.session)
            .with_session_epoch(self.epoch)
            .with_topics(topics)
    }

    /// Writes down the records. Those before the asked offset are in the same batch, and nobody's matter.
    fn take(&mut self, shared: &Shared, response: &FetchResponse) -> io::Result<()> {
        let history = &shared.history;
        let poll = history.new_life();
        for data in response.responses.iter().flat_map(|topic| &topic.partitions) {
            let elsewhere = [ErrorCode::NotLeaderOrFollower, ErrorCode::UnknownTopicOrPartition];
            if shared.habits.brokers.len() > 1
                && elsewhere.iter().any(|code| code.code() == data.error_code)
            {
                // No replica of it is here, or not yet.
                continue;
            }
            if data.error_code != ErrorCode::None.code() {
                return Err(io::Error::other("a partition cannot be read"));
            }
            let mut bytes = data.records.clone().unwrap_or_default();
            let Some(next) = self.next.get_mut(&data.partition_index) else { continue };
            let first = *next;
            for batch in split_all(&mut bytes).map_err(io::Error::other)? {
                // A broker gives what stands on its disk: readers look (`check.crcs`).
                batch.verify_crc().map_err(io::Error::other)?;
                if batch.header().next_offset().value() <= first {
                    let what = format!("asked for {first}, given what ends before it");
                    let partition = TopicPartition::new(TOPIC, data.partition_index);
                    history.surprise(Verdict::NonmonotonicPoll, Some(&partition), what);
                }
                for record in batch.records(RECORDS_BYTES_MAX).map_err(io::Error::other)? {
                    let record = record.map_err(io::Error::other)?;
                    let offset = record.offset.value();
                    if offset < first {
                        continue;
                    }
                    history.polled(Polled {
                        consumer: self.life,
                        poll,
                        partition: TopicPartition::new(TOPIC, data.partition_index),
                        offset,
                        record: record_of(record.value.as_ref()),
                        is_in_one_run: true,
                    });
                    *next = offset + 1;
                    self.changed.insert(data.partition_index, *next);
                }
            }
        }
        Ok(())
    }
}

/// Of Fetch: the last one that names topics.
const VERSION: i16 = 12;

/// More than any batch here has.
const RECORDS_BYTES_MAX: usize = 16 << 20;
