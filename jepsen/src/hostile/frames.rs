//! What hostile clients send: requests of every API and version that say any nonsense their tables allow, and the same
//! damaged in every way we know.

use bytes::{BufMut as _, Bytes};
use kafka_protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use ottla::protocol::schema::request_schema;
use ottla::protocol::{
    API_TABLE, ApiKey, Incoming, ListenerRole, Listeners, decode_body, read_request_header,
};
use proptests::author;

use super::batches::Batches;
use crate::random::Random;

/// The topic that hostile clients write to; nothing in it is ever checked.
pub(super) const TOPIC: &str = "hostile";
/// Its partitions.
pub(super) const PARTITIONS: i32 = 4;

/// What frames may speak of.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) topic_id: [u8; 16],
    pub(super) batches: Batches,
}

/// A request that deserves an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) key: ApiKey,
    pub(super) version: i16,
    pub(super) correlation_id: i32,
}

/// Makes frames, with their length prefix.
#[derive(Debug)]
pub(super) struct Maker<'a> {
    pub(super) target: &'a Target,
    pub(super) random: Random,
}

impl Maker<'_> {
    /// A frame that the broker must answer.
    pub(super) fn valid(&mut self, correlation_id: i32) -> (Vec<u8>, Expected) {
        loop {
            let row = &API_TABLE[self.random.index(API_TABLE.len())];
            let waits = matches!(row.key, ApiKey::JoinGroup | ApiKey::SyncGroup);
            let is_unserved = row.listeners == Listeners::Controller;
            if is_unserved || (waits && !self.random.chance(10)) {
                continue;
            }
            let versions = u64::try_from(row.max_version - row.min_version + 1).unwrap_or(1);
            let version = row.min_version + i16::try_from(self.random.below(versions)).unwrap_or(0);
            let expected = Expected { key: row.key, version, correlation_id };
            let frame = self.request(expected);
            if !is_forbidden(&frame, self.target) {
                return (frame, expected);
            }
        }
    }

    fn request(&mut self, Expected { key, version, correlation_id }: Expected) -> Vec<u8> {
        let schema = request_schema(key);
        let choices: Vec<u8> = (0..400).map(|_| self.choice()).collect();
        let (random, target) = (&mut self.random, self.target);
        let mut words = |field: &str| word(key, field, random, target);
        let body = author::write(schema, version, &choices, None, &mut words).bytes;
        let mut frame = Vec::with_capacity(body.len() + 24);
        frame.put_i32(0);
        frame.put_i16(key as i16);
        frame.put_i16(version);
        frame.put_i32(correlation_id);
        frame.put_i16(7);
        frame.put_slice(b"hostile");
        if schema.is_flexible(version) {
            frame.put_u8(0);
        }
        frame.extend_from_slice(&body);
        set_length(&mut frame);
        frame
    }

    /// Small numbers more often than large ones: they lead further in.
    fn choice(&mut self) -> u8 {
        match self.random.below(10) {
            0..=4 => 0,
            5 => 0xff,
            6 | 7 => self.random.byte() % 8,
            _ => self.random.byte(),
        }
    }

    /// A frame that may deserve anything.
    pub(super) fn damaged(&mut self) -> Vec<u8> {
        loop {
            let frame = self.damage();
            if !is_forbidden(&frame, self.target) {
                return frame;
            }
        }
    }

    fn damage(&mut self) -> Vec<u8> {
        if self.random.chance(10) {
            return self.nonsense();
        }
        let expected = self.any_api();
        let mut frame = self.request(expected);
        match self.random.below(9) {
            0 | 1 => {
                for _ in 0..=self.random.below(8) {
                    let bit = 1 << self.random.below(8);
                    let place = self.place(&frame);
                    frame[place] ^= bit;
                }
            }
            2 => {
                frame.truncate(4 + self.random.index(frame.len() - 4));
                set_length(&mut frame);
            }
            3 => self.overwrite(&mut frame, &[0x7f, 0xff, 0xff, 0xff]),
            4 => self.overwrite(&mut frame, &[0xff, 0xff, 0xff, 0xff, 0x07]),
            5 => {
                let version = self.random.bits().to_be_bytes();
                frame[6..8].copy_from_slice(&version[..2]);
            }
            6 => {
                let key = if self.random.chance(50) {
                    [0, self.random.byte()]
                } else {
                    [self.random.byte(), 7]
                };
                frame[4..6].copy_from_slice(&key);
            }
            7 => {
                let place = self.place(&frame);
                for _ in 0..self.random.below(200) {
                    frame.insert(place, self.random.byte());
                }
                set_length(&mut frame);
            }
            _ => {
                let lengths = [0, -1, i32::MIN, i32::MAX, 100 << 20, (100 << 20) + 1, 1, 7];
                let length = lengths[self.random.index(lengths.len())];
                frame[..4].copy_from_slice(&length.to_be_bytes());
            }
        }
        frame
    }

    /// Any API at all, half of the time one that is not served.
    fn any_api(&mut self) -> Expected {
        let keys: Vec<ApiKey> = if self.random.chance(20) {
            ApiKey::iter().collect()
        } else {
            API_TABLE.iter().map(|row| row.key).collect()
        };
        let key = keys[self.random.index(keys.len())];
        let schema = request_schema(key);
        let versions = u64::try_from(schema.max_version - schema.min_version + 1).unwrap_or(1);
        let version = schema.min_version + i16::try_from(self.random.below(versions)).unwrap_or(0);
        Expected { key, version, correlation_id: i32::MIN }
    }

    /// Somewhere behind the length.
    fn place(&mut self, frame: &[u8]) -> usize {
        4 + self.random.index(frame.len() - 4)
    }

    fn overwrite(&mut self, frame: &mut [u8], bytes: &[u8]) {
        let place = self.place(frame);
        for (old, new) in frame[place..].iter_mut().zip(bytes) {
            *old = *new;
        }
    }

    /// Other protocols, and none.
    fn nonsense(&mut self) -> Vec<u8> {
        match self.random.below(5) {
            0 => b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec(),
            1 => {
                let mut hello = vec![0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
                hello.extend((0..193).map(|_| self.random.byte()));
                hello
            }
            2 => b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
            3 => (0..self.random.below(100)).map(|_| self.random.byte()).collect(),
            _ => {
                let mut frame = vec![0; 4];
                frame.extend((0..self.random.below(2000)).map(|_| self.random.byte()));
                set_length(&mut frame);
                frame
            }
        }
    }
}

/// Writes how long a frame is in front of it.
pub(super) fn set_length(frame: &mut [u8]) {
    let length = i32::try_from(frame.len() - 4).unwrap_or(i32::MAX);
    frame[..4].copy_from_slice(&length.to_be_bytes());
}

/// What leads further in than chosen bytes: names that exist, times that pass, batches that are nearly right.
fn word(key: ApiKey, field: &str, random: &mut Random, target: &Target) -> Option<Vec<u8>> {
    let pick = |random: &mut Random, numbers: &[i32]| {
        Some(numbers[random.index(numbers.len())].to_be_bytes().to_vec())
    };
    match field {
        // A request without an answer would hide what is wrong with the next.
        "acks" => Some((if random.chance(50) { 1_i16 } else { -1 }).to_be_bytes().to_vec()),
        "session_timeout_ms" => pick(random, &[0, 100, 6000]),
        "rebalance_timeout_ms" => pick(random, &[0, 20, 100]),
        "max_wait_ms" | "timeout_ms" => pick(random, &[-1, 0, 1, 20]),
        "num_partitions" | "count" => {
            pick(random, &[-1, 0, 1, 2, 4, PARTITIONS_TOO_MANY, i32::MAX])
        }
        "replication_factor" => {
            Some((if random.chance(80) { 1_i16 } else { -1 }).to_be_bytes().to_vec())
        }
        _ if random.chance(20) => None,
        "topic_id" => Some(target.topic_id.to_vec()),
        "records" => Some(target.batches.pick(random).to_vec()),
        "name" | "topic" if key != ApiKey::CreateTopics => {
            Some(if key == ApiKey::JoinGroup { b"range".to_vec() } else { TOPIC.into() })
        }
        "partition" | "partitions" | "partition_index" | "partition_indexes" | "index" => {
            pick(random, &[0, 1, 2, PARTITIONS - 1, PARTITIONS, -1])
        }
        "group_id" | "group_ids" | "groups" | "groups_names" | "key" | "coordinator_keys" => {
            Some(format!("group {}", random.below(8)).into())
        }
        "member_id" if random.chance(70) => Some(Vec::new()),
        "protocol_type" => Some(b"consumer".to_vec()),
        "replica_id" | "session_id" => pick(random, &[-1, 0]),
        "current_leader_epoch"
        | "leader_epoch"
        | "last_fetched_epoch"
        | "committed_leader_epoch" => pick(random, &[-1, 0, 1]),
        "fetch_offset" | "offset" | "committed_offset" | "timestamp" | "log_start_offset" => {
            let number = i64::try_from(random.below(1000)).unwrap_or(0) - 3;
            Some(number.to_be_bytes().to_vec())
        }
        "max_bytes" | "partition_max_bytes" => pick(random, &[0, 1, 1 << 10, 1 << 20, i32::MAX]),
        _ => None,
    }
}

/// What would be carried out and is no attack but a lot of work asked for in good order: topics with many partitions;
/// and what would take our topic away.
fn is_forbidden(frame: &[u8], target: &Target) -> bool {
    let Some(frame) = frame.get(4..) else { return false };
    let mut frame = Bytes::copy_from_slice(frame);
    let Ok(Incoming::Request(header)) = read_request_header(&mut frame, ListenerRole::Broker)
    else {
        return false;
    };
    let is_many = |count: i32| (PARTITIONS + 1..PARTITIONS_TOO_MANY).contains(&count);
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are harmless")]
    match header.api_key {
        ApiKey::CreateTopics => decode_body::<CreateTopicsRequest>(&mut frame, header.version)
            .is_ok_and(|request| {
                request
                    .topics
                    .iter()
                    .any(|t| is_many(t.num_partitions) || t.name.0.as_str() == TOPIC)
            }),
        ApiKey::CreatePartitions => {
            decode_body::<CreatePartitionsRequest>(&mut frame, header.version)
                .is_ok_and(|request| request.topics.iter().any(|topic| is_many(topic.count)))
        }
        ApiKey::DeleteTopics => decode_body::<DeleteTopicsRequest>(&mut frame, header.version)
            .is_ok_and(|request| {
                let is_ours = |name: &str| name == TOPIC;
                request.topic_names.iter().any(|name| is_ours(name))
                    || request.topics.iter().any(|topic| {
                        *topic.topic_id.as_bytes() == target.topic_id
                            || topic.name.as_ref().is_some_and(|name| is_ours(name))
                    })
            }),
        _ => false,
    }
}

/// Kafka refuses to make as many partitions at once.
const PARTITIONS_TOO_MANY: i32 = 20_000;

#[cfg(test)]
mod tests {
    use ottla::protocol::schema_walk::walk;

    use super::*;

    fn target() -> Target {
        Target { topic_id: [7; 16], batches: Batches::new(&mut Random::new(1, 0), 1 << 10) }
    }

    #[test]
    fn valid_frames_are_valid() {
        let target = target();
        let mut maker = Maker { target: &target, random: Random::new(1, 1) };
        for correlation_id in 0..2000 {
            let (frame, expected) = maker.valid(correlation_id);
            let mut body = Bytes::from(frame).slice(4..);
            let header = read_request_header(&mut body, ListenerRole::Broker);
            let Ok(Incoming::Request(header)) = header else { panic!("{expected:?}: {header:?}") };
            assert_eq!((header.api_key, header.correlation_id), (expected.key, correlation_id));
            let walked = walk(request_schema(header.api_key), header.version, &body);
            assert_eq!(walked, Ok(body.len()), "{expected:?}");
        }
    }

    #[test]
    fn damage_is_done_to_most_of_the_others_and_our_topic_stays() {
        let target = target();
        let mut maker = Maker { target: &target, random: Random::new(1, 2) };
        let mut whole = 0;
        for _ in 0..2000 {
            let frame = maker.damaged();
            assert!(!is_forbidden(&frame, &target));
            let Some(body) = frame.get(4..) else { continue };
            let mut body = Bytes::copy_from_slice(body);
            let Ok(Incoming::Request(header)) =
                read_request_header(&mut body, ListenerRole::Broker)
            else {
                continue;
            };
            whole +=
                usize::from(walk(request_schema(header.api_key), header.version, &body).is_ok());
        }
        assert!((100..1500).contains(&whole), "{whole} of 2000 are whole");
    }
}
