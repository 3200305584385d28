//! The Fetch response, written field by field, so that records stay where they are: in files.

use bytes::{BufMut, Bytes, BytesMut};

use crate::api::reply::{Part, Response};
use crate::log::FileSlice;
use crate::model::{ErrorCode, PartitionIndex};
use crate::replication::TopicKey;

/// The first version with compact lengths and tagged fields.
const FLEXIBLE: i16 = 12;

/// What a fetch of one partition found.
#[derive(Debug)]
pub(super) struct PartitionAnswer<F> {
    pub(super) partition: PartitionIndex,
    pub(super) error: ErrorCode,
    pub(super) high_watermark: i64,
    pub(super) last_stable_offset: i64,
    pub(super) log_start_offset: i64,
    /// Epoch and its end offset, where the client's log leaves ours (KIP-595).
    pub(super) diverging: Option<(i32, i64)>,
    /// Leader and its epoch, told with errors about leadership (KIP-951).
    pub(super) current_leader: Option<(i32, i32)>,
    /// The replica to fetch from instead (KIP-392).
    pub(super) preferred_replica: Option<i32>,
    pub(super) records: Vec<FileSlice<F>>,
}

/// A node named in `current_leader`.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) node: i32,
    pub(super) host: String,
    pub(super) port: i32,
}

/// A whole response before it is bytes.
#[derive(Debug)]
pub(super) struct FetchAnswer<F> {
    pub(super) error: ErrorCode,
    pub(super) session_id: i32,
    pub(super) topics: Vec<(TopicKey, Vec<PartitionAnswer<F>>)>,
    pub(super) endpoints: Vec<Endpoint>,
}

struct Writer<F> {
    version: i16,
    bytes: BytesMut,
    parts: Vec<Part<F>>,
    total: usize,
}

/// Encodes the whole frame: length, header, body.
pub(super) fn encode<F>(answer: FetchAnswer<F>, version: i16, correlation_id: i32) -> Response<F> {
    let partitions: usize = answer.topics.iter().map(|(_, partitions)| partitions.len()).sum();
    let mut writer = Writer {
        version,
        bytes: BytesMut::with_capacity(96 + 64 * partitions),
        parts: Vec::new(),
        total: 0,
    };
    writer.bytes.put_i32(0);
    writer.bytes.put_i32(correlation_id);
    if writer.is_flexible() {
        writer.bytes.put_u8(0);
    }
    writer.bytes.put_i32(0);
    if version >= 7 {
        writer.bytes.put_i16(answer.error.code());
        writer.bytes.put_i32(answer.session_id);
    }
    writer.array(answer.topics.len());
    for (topic, partitions) in answer.topics {
        writer.topic(&topic);
        writer.array(partitions.len());
        for partition in partitions {
            writer.partition(partition);
        }
        writer.no_tags();
    }
    writer.node_endpoints(&answer.endpoints);
    writer.finish()
}

impl<F> Writer<F> {
    const fn is_flexible(&self) -> bool {
        self.version >= FLEXIBLE
    }

    fn no_tags(&mut self) {
        if self.is_flexible() {
            self.bytes.put_u8(0);
        }
    }

    fn array(&mut self, count: usize) {
        if self.is_flexible() {
            put_unsigned_varint(&mut self.bytes, count + 1);
        } else {
            self.bytes.put_i32(length_of(count));
        }
    }

    fn topic(&mut self, topic: &TopicKey) {
        match topic {
            TopicKey::Id(id) => self.bytes.put_slice(id.0.as_bytes()),
            TopicKey::Name(name) if self.is_flexible() => {
                put_unsigned_varint(&mut self.bytes, name.as_str().len() + 1);
                self.bytes.put_slice(name.as_str().as_bytes());
            }
            TopicKey::Name(name) => {
                self.bytes.put_i16(
                    i16::try_from(name.as_str().len())
                        .expect("a topic name came in with this length"),
                );
                self.bytes.put_slice(name.as_str().as_bytes());
            }
        }
    }

    fn partition(&mut self, answer: PartitionAnswer<F>) {
        self.bytes.put_i32(answer.partition.0);
        self.bytes.put_i16(answer.error.code());
        self.bytes.put_i64(answer.high_watermark);
        self.bytes.put_i64(answer.last_stable_offset);
        if self.version >= 5 {
            self.bytes.put_i64(answer.log_start_offset);
        }
        // No transaction has been aborted in what is served: null for everybody.
        if self.is_flexible() {
            self.bytes.put_u8(0);
        } else {
            self.bytes.put_i32(-1);
        }
        if self.version >= 11 {
            self.bytes.put_i32(answer.preferred_replica.unwrap_or(-1));
        }
        let length: u64 = answer.records.iter().map(|slice| slice.length).sum();
        let length = usize::try_from(length).expect("a fetch is limited to a few MiB");
        self.array(length);
        self.records(answer.records, length);
        if self.is_flexible() {
            self.partition_tags(answer.diverging, answer.current_leader);
        }
    }

    fn records(&mut self, slices: Vec<FileSlice<F>>, length: usize) {
        if length == 0 {
            return;
        }
        let before = self.bytes.split().freeze();
        self.push(before);
        self.total += length;
        self.parts.extend(slices.into_iter().map(Part::File));
    }

    fn partition_tags(
        &mut self,
        diverging: Option<(i32, i64)>,
        current_leader: Option<(i32, i32)>,
    ) {
        put_unsigned_varint(
            &mut self.bytes,
            usize::from(diverging.is_some()) + usize::from(current_leader.is_some()),
        );
        if let Some((epoch, end_offset)) = diverging {
            self.bytes.put_u8(0);
            self.bytes.put_u8(13);
            self.bytes.put_i32(epoch);
            self.bytes.put_i64(end_offset);
            self.bytes.put_u8(0);
        }
        if let Some((leader, epoch)) = current_leader {
            self.bytes.put_u8(1);
            self.bytes.put_u8(9);
            self.bytes.put_i32(leader);
            self.bytes.put_i32(epoch);
            self.bytes.put_u8(0);
        }
    }

    fn node_endpoints(&mut self, endpoints: &[Endpoint]) {
        if self.version < 16 || endpoints.is_empty() {
            self.no_tags();
            return;
        }
        let mut field = BytesMut::new();
        put_unsigned_varint(&mut field, endpoints.len() + 1);
        for endpoint in endpoints {
            field.put_i32(endpoint.node);
            put_unsigned_varint(&mut field, endpoint.host.len() + 1);
            field.put_slice(endpoint.host.as_bytes());
            field.put_i32(endpoint.port);
            field.put_u8(0);
            field.put_u8(0);
        }
        self.bytes.put_u8(1);
        self.bytes.put_u8(0);
        put_unsigned_varint(&mut self.bytes, field.len());
        self.bytes.put_slice(&field);
    }

    fn push(&mut self, bytes: Bytes) {
        self.total += bytes.len();
        self.parts.push(Part::Bytes(bytes));
    }

    fn finish(mut self) -> Response<F> {
        let rest = self.bytes.split().freeze();
        self.push(rest);
        let length = length_of(self.total - 4).to_be_bytes();
        if let Some(Part::Bytes(first)) = self.parts.first_mut() {
            // The first piece was made here and nobody else holds it: this takes it back without copying.
            let mut bytes = BytesMut::from(std::mem::take(first));
            bytes[..4].copy_from_slice(&length);
            *first = bytes.freeze();
        }
        Response { parts: self.parts }
    }
}

fn length_of(count: usize) -> i32 {
    i32::try_from(count).expect("a response is far below 2 GiB")
}

fn put_unsigned_varint(bytes: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        bytes.put_u8(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    bytes.put_u8(u8::try_from(value).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use bytes::{Buf, Bytes};
    use kafka_protocol::messages::{FetchResponse, ResponseHeader};
    use kafka_protocol::protocol::Decodable;

    use super::{Endpoint, FetchAnswer, PartitionAnswer, encode};
    use crate::api::reply::Part;
    use crate::log::FileSlice;
    use crate::model::{ErrorCode, PartitionIndex, TopicId};
    use crate::replication::TopicKey;

    /// The frame with zeros where files go.
    fn flat(answer: FetchAnswer<()>, version: i16) -> Bytes {
        let mut frame = Vec::new();
        for part in encode(answer, version, 77).parts {
            match part {
                Part::Bytes(bytes) => frame.extend_from_slice(&bytes),
                Part::File(slice) => {
                    frame.resize(frame.len() + usize::try_from(slice.length).expect("small"), 0);
                }
            }
        }
        frame.into()
    }

    fn partition(index: i32, length: u64) -> PartitionAnswer<()> {
        PartitionAnswer {
            partition: PartitionIndex(index),
            error: ErrorCode::None,
            high_watermark: 10,
            last_stable_offset: 9,
            log_start_offset: 1,
            diverging: None,
            current_leader: None,
            preferred_replica: None,
            records: if length == 0 {
                vec![]
            } else {
                vec![FileSlice { file: (), position: 0, length }]
            },
        }
    }

    #[test]
    fn every_version_is_read_back_by_the_codec() {
        for version in 4..=18_i16 {
            let topic = if version >= 13 {
                TopicKey::Id(TopicId::ZERO)
            } else {
                TopicKey::Name("topic".into())
            };
            let refused = PartitionAnswer {
                error: ErrorCode::NotLeaderOrFollower,
                diverging: (version >= 12).then_some((3, 44)),
                current_leader: (version >= 12).then_some((5, 6)),
                preferred_replica: Some(3),
                ..partition(1, 0)
            };
            let endpoints = if version >= 16 {
                vec![Endpoint { node: 5, host: "h".into(), port: 9 }]
            } else {
                vec![]
            };
            let answer = FetchAnswer {
                error: ErrorCode::None,
                session_id: 12,
                topics: vec![(topic, vec![partition(0, 300), refused])],
                endpoints,
            };
            let mut frame = flat(answer, version);
            let length = usize::try_from(frame.get_i32()).expect("not negative");
            assert_eq!(length, frame.len(), "version {version}");
            let header_version = if version >= 12 { 1 } else { 0 };
            let header = ResponseHeader::decode(&mut frame, header_version).expect("a header");
            assert_eq!(header.correlation_id, 77);
            let response = FetchResponse::decode(&mut frame, version).expect("a body");
            assert!(frame.is_empty(), "version {version}");
            let partitions = &response.responses[0].partitions;
            assert_eq!(partitions[0].records.as_ref().map(Bytes::len), Some(300));
            assert_eq!((partitions[0].high_watermark, partitions[0].last_stable_offset), (10, 9));
            assert_eq!(partitions[1].error_code, 6);
            let preferred = partitions.iter().map(|answer| answer.preferred_read_replica.0);
            let expected = if version >= 11 { [-1, 3] } else { [-1, -1] };
            assert_eq!(preferred.collect::<Vec<_>>(), expected, "version {version}");
            if version >= 12 {
                assert_eq!(partitions[1].diverging_epoch.end_offset, 44);
                assert_eq!(partitions[1].current_leader.leader_epoch.max(0), 6);
            }
            assert_eq!(response.node_endpoints.len(), usize::from(version >= 16));
        }
    }
}
