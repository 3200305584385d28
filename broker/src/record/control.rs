//! Control records: what brokers write for brokers, in batches with the control bit.
#![warn(clippy::indexing_slicing)]

use bytes::Bytes;
use uuid::Uuid;

use crate::model::{DirectoryId, NodeId, Timestamp};
use crate::record::cursor::Cursor;
use crate::record::{Error, varint};

/// What the key of a control record says. Numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRecordType {
    /// The producer's transaction is aborted.
    Abort,
    /// The producer's transaction is committed.
    Commit,
    /// A new leader of the metadata quorum.
    LeaderChange,
    /// The first record of a snapshot.
    SnapshotHeader,
    /// The last record of a snapshot.
    SnapshotFooter,
    /// The feature level of KRaft itself.
    KRaftVersion,
    /// The voters of the metadata quorum.
    KRaftVoters,
    /// A number of the future: skipped, as Kafka does.
    Unknown(i16),
}

impl ControlRecordType {
    /// The number in the key.
    #[must_use]
    pub const fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::LeaderChange => 2,
            Self::SnapshotHeader => 3,
            Self::SnapshotFooter => 4,
            Self::KRaftVersion => 5,
            Self::KRaftVoters => 6,
            Self::Unknown(id) => id,
        }
    }

    /// The type with this number.
    #[must_use]
    pub const fn from_id(id: i16) -> Self {
        match id {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion,
            6 => Self::KRaftVoters,
            unknown => Self::Unknown(unknown),
        }
    }

    /// Reads a key. Later versions may append fields.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedControlRecord`] when it is shorter than a key.
    pub fn decode_key(key: &[u8]) -> Result<Self, Error> {
        decoded(
            |cursor| {
                cursor.i16()?;
                Ok(Self::from_id(cursor.i16()?))
            },
            key,
        )
    }

    /// Writes a key, version 0.
    #[must_use]
    pub fn encode_key(self) -> [u8; 4] {
        let [high, low] = self.id().to_be_bytes();
        [0, 0, high, low]
    }
}

/// The end of a transaction in one partition. Source: KIP-98.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransactionMarker {
    /// False when it was aborted.
    pub is_commit: bool,
    /// Epoch of the transaction coordinator that decided.
    pub coordinator_epoch: i32,
}

/// A voter as elections name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuorumVoter {
    /// The node.
    pub id: NodeId,
    /// Its metadata directory; zero when the quorum is static.
    pub directory_id: DirectoryId,
}

/// The first record of a leader's epoch in the metadata log. Source: KIP-595, KIP-853.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderChange {
    /// 0 without directory ids, 1 with them.
    pub version: i16,
    /// The new leader.
    pub leader_id: NodeId,
    /// All voters of the epoch.
    pub voters: Vec<QuorumVoter>,
    /// Those who voted for the leader.
    pub granting_voters: Vec<QuorumVoter>,
}

/// Where a voter listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VoterEndpoint {
    /// The listener's name.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A voter of a dynamic quorum. Source: KIP-853.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Who votes.
    pub voter: QuorumVoter,
    /// Its controller listeners.
    pub endpoints: Vec<VoterEndpoint>,
    /// The lowest `kraft.version` it runs.
    pub kraft_version_min: i16,
    /// The highest `kraft.version` it runs.
    pub kraft_version_max: i16,
}

/// A control record, key and value together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// A transaction ends here.
    EndTransaction(EndTransactionMarker),
    /// A leader's epoch begins here.
    LeaderChange(LeaderChange),
    /// A snapshot begins; the time is that of the last record it contains.
    SnapshotHeader {
        /// Time of the last batch of the log that the snapshot stands for.
        last_contained_log_timestamp: Timestamp,
    },
    /// A snapshot is complete.
    SnapshotFooter,
    /// The `kraft.version` from here on.
    KRaftVersion(i16),
    /// The voters from here on.
    KRaftVoters(Vec<Voter>),
    /// A type of the future.
    Unknown(i16),
}

impl ControlRecord {
    /// Reads a record. Fields that later versions append are left alone.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedControlRecord`].
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, Error> {
        let kind = ControlRecordType::decode_key(key)?;
        decoded(|cursor| Self::decode_value(kind, cursor), value)
    }

    fn decode_value(kind: ControlRecordType, cursor: &mut Cursor<'_>) -> Result<Self, Error> {
        if let ControlRecordType::Unknown(id) = kind {
            return Ok(Self::Unknown(id));
        }
        let version = cursor.i16()?;
        if version < 0 {
            return Err(Error::MalformedControlRecord);
        }
        Ok(match kind {
            ControlRecordType::Abort | ControlRecordType::Commit => {
                Self::EndTransaction(EndTransactionMarker {
                    is_commit: kind == ControlRecordType::Commit,
                    coordinator_epoch: cursor.i32()?,
                })
            }
            ControlRecordType::LeaderChange => Self::LeaderChange(LeaderChange {
                version,
                leader_id: NodeId(cursor.i32()?),
                voters: array(cursor, |cursor| quorum_voter(cursor, version))?,
                granting_voters: array(cursor, |cursor| quorum_voter(cursor, version))?,
            }),
            ControlRecordType::SnapshotHeader => {
                Self::SnapshotHeader { last_contained_log_timestamp: Timestamp(cursor.i64()?) }
            }
            ControlRecordType::SnapshotFooter => Self::SnapshotFooter,
            ControlRecordType::KRaftVersion => Self::KRaftVersion(cursor.i16()?),
            ControlRecordType::KRaftVoters => Self::KRaftVoters(array(cursor, voter)?),
            ControlRecordType::Unknown(id) => Self::Unknown(id),
        })
    }

    /// What the key says.
    #[must_use]
    pub const fn kind(&self) -> ControlRecordType {
        match self {
            Self::EndTransaction(EndTransactionMarker { is_commit: true, .. }) => {
                ControlRecordType::Commit
            }
            Self::EndTransaction(_) => ControlRecordType::Abort,
            Self::LeaderChange(_) => ControlRecordType::LeaderChange,
            Self::SnapshotHeader { .. } => ControlRecordType::SnapshotHeader,
            Self::SnapshotFooter => ControlRecordType::SnapshotFooter,
            Self::KRaftVersion(_) => ControlRecordType::KRaftVersion,
            Self::KRaftVoters(_) => ControlRecordType::KRaftVoters,
            Self::Unknown(id) => ControlRecordType::Unknown(*id),
        }
    }

    /// The key, version 0.
    #[must_use]
    pub fn key(&self) -> Bytes {
        Bytes::copy_from_slice(&self.kind().encode_key())
    }

    /// The value, in the version Kafka 4.4 writes; empty for a type of the future.
    #[must_use]
    pub fn value(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::EndTransaction(marker) => {
                put_i16(0, &mut out);
                put_i32(marker.coordinator_epoch, &mut out);
            }
            Self::LeaderChange(change) => {
                put_i16(change.version, &mut out);
                put_i32(change.leader_id.0, &mut out);
                put_array(&change.voters, &mut out, |voter, out| {
                    put_quorum_voter(*voter, change.version, out);
                });
                put_array(&change.granting_voters, &mut out, |voter, out| {
                    put_quorum_voter(*voter, change.version, out);
                });
                put_no_tags(&mut out);
            }
            Self::SnapshotHeader { last_contained_log_timestamp } => {
                put_i16(0, &mut out);
                out.extend_from_slice(&last_contained_log_timestamp.millis().to_be_bytes());
                put_no_tags(&mut out);
            }
            Self::SnapshotFooter => {
                put_i16(0, &mut out);
                put_no_tags(&mut out);
            }
            Self::KRaftVersion(level) => {
                put_i16(0, &mut out);
                put_i16(*level, &mut out);
                put_no_tags(&mut out);
            }
            Self::KRaftVoters(voters) => {
                put_i16(0, &mut out);
                put_array(voters, &mut out, put_voter);
                put_no_tags(&mut out);
            }
            Self::Unknown(_) => {}
        }
        Bytes::from(out)
    }
}

/// Whatever is wrong inside, the record is malformed.
fn decoded<T>(
    decode: impl FnOnce(&mut Cursor<'_>) -> Result<T, Error>,
    bytes: &[u8],
) -> Result<T, Error> {
    decode(&mut Cursor(bytes)).map_err(|_| Error::MalformedControlRecord)
}

fn quorum_voter(cursor: &mut Cursor<'_>, version: i16) -> Result<QuorumVoter, Error> {
    let id = NodeId(cursor.i32()?);
    let directory_id = if version == 0 { DirectoryId::ZERO } else { directory_id(cursor)? };
    skip_tags(cursor)?;
    Ok(QuorumVoter { id, directory_id })
}

fn voter(cursor: &mut Cursor<'_>) -> Result<Voter, Error> {
    let voter = QuorumVoter { id: NodeId(cursor.i32()?), directory_id: directory_id(cursor)? };
    let endpoints = array(cursor, |cursor| {
        let endpoint =
            VoterEndpoint { name: text(cursor)?, host: text(cursor)?, port: cursor.u16()? };
        skip_tags(cursor)?;
        Ok(endpoint)
    })?;
    let (kraft_version_min, kraft_version_max) = (cursor.i16()?, cursor.i16()?);
    skip_tags(cursor)?;
    skip_tags(cursor)?;
    Ok(Voter { voter, endpoints, kraft_version_min, kraft_version_max })
}

fn directory_id(cursor: &mut Cursor<'_>) -> Result<DirectoryId, Error> {
    Ok(DirectoryId(Uuid::from_bytes(cursor.array()?)))
}

/// A compact array. Its elements take bytes each, so a claimed length that is not there ends in an error soon.
fn array<T>(
    cursor: &mut Cursor<'_>,
    mut element: impl FnMut(&mut Cursor<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let count = unsigned(cursor)?.checked_sub(1).ok_or(Error::MalformedControlRecord)?;
    let mut elements = Vec::new();
    for _ in 0..count {
        elements.push(element(cursor)?);
    }
    Ok(elements)
}

fn text(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    let length = unsigned(cursor)?.checked_sub(1).ok_or(Error::MalformedControlRecord)?;
    let bytes =
        cursor.bytes(usize::try_from(length).map_err(|_| Error::MalformedControlRecord)?)?;
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Error::MalformedControlRecord)
}

fn skip_tags(cursor: &mut Cursor<'_>) -> Result<(), Error> {
    for _ in 0..unsigned(cursor)? {
        unsigned(cursor)?;
        let length = unsigned(cursor)?;
        cursor.bytes(usize::try_from(length).map_err(|_| Error::MalformedControlRecord)?)?;
    }
    Ok(())
}

fn unsigned(cursor: &mut Cursor<'_>) -> Result<u32, Error> {
    varint::read_u32(|| cursor.array::<1>().map(|[byte]| byte))
}

fn put_voter(voter: &Voter, out: &mut Vec<u8>) {
    put_i32(voter.voter.id.0, out);
    out.extend_from_slice(voter.voter.directory_id.0.as_bytes());
    put_array(&voter.endpoints, out, |endpoint, out| {
        put_text(&endpoint.name, out);
        put_text(&endpoint.host, out);
        out.extend_from_slice(&endpoint.port.to_be_bytes());
        put_no_tags(out);
    });
    put_i16(voter.kraft_version_min, out);
    put_i16(voter.kraft_version_max, out);
    put_no_tags(out);
    put_no_tags(out);
}

fn put_quorum_voter(voter: QuorumVoter, version: i16, out: &mut Vec<u8>) {
    put_i32(voter.id.0, out);
    if version > 0 {
        out.extend_from_slice(voter.directory_id.0.as_bytes());
    }
    put_no_tags(out);
}

fn put_array<T>(elements: &[T], out: &mut Vec<u8>, mut put: impl FnMut(&T, &mut Vec<u8>)) {
    put_length(elements.len(), out);
    for element in elements {
        put(element, out);
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_length(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

/// Compact lengths are one more than they mean; zero is null.
fn put_length(length: usize, out: &mut Vec<u8>) {
    let length = u32::try_from(length).expect("nothing in a control record reaches 4 GiB");
    varint::write_u32(length.saturating_add(1), out);
}

fn put_no_tags(out: &mut Vec<u8>) {
    out.push(0);
}

fn put_i16(value: i16, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_i32(value: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    fn samples() -> Vec<ControlRecord> {
        let directory_id = DirectoryId(Uuid::from_u128(7));
        let voter = QuorumVoter { id: NodeId(3), directory_id };
        let bare = QuorumVoter { id: NodeId(1), directory_id: DirectoryId::ZERO };
        vec![
            ControlRecord::EndTransaction(EndTransactionMarker {
                is_commit: true,
                coordinator_epoch: 5,
            }),
            ControlRecord::EndTransaction(EndTransactionMarker {
                is_commit: false,
                coordinator_epoch: -1,
            }),
            ControlRecord::LeaderChange(LeaderChange {
                version: 0,
                leader_id: NodeId(1),
                voters: vec![bare],
                granting_voters: vec![bare],
            }),
            ControlRecord::LeaderChange(LeaderChange {
                version: 1,
                leader_id: NodeId(3),
                voters: vec![voter, bare],
                granting_voters: vec![voter],
            }),
            ControlRecord::SnapshotHeader {
                last_contained_log_timestamp: Timestamp(1_700_000_000_000),
            },
            ControlRecord::SnapshotFooter,
            ControlRecord::KRaftVersion(1),
            ControlRecord::KRaftVoters(vec![Voter {
                voter,
                endpoints: vec![VoterEndpoint {
                    name: "CONTROLLER".into(),
                    host: "localhost".into(),
                    port: 9093,
                }],
                kraft_version_min: 0,
                kraft_version_max: 1,
            }]),
        ]
    }

    #[test]
    fn control_records_survive_the_round_trip() {
        for record in samples() {
            assert_eq!(ControlRecord::decode(&record.key(), &record.value()), Ok(record));
        }
    }

    #[test]
    fn a_cut_control_record_is_malformed() {
        for record in samples() {
            let (key, value) = (record.key(), record.value());
            for cut in 0..key.len() {
                assert_eq!(
                    ControlRecord::decode(&key[..cut], &value),
                    Err(Error::MalformedControlRecord)
                );
            }
            for cut in 0..2 {
                assert_eq!(
                    ControlRecord::decode(&key, &value[..cut]),
                    Err(Error::MalformedControlRecord)
                );
            }
        }
    }

    #[test]
    fn a_negative_version_is_malformed() {
        for record in samples() {
            let mut value = record.value().to_vec();
            value[0] = 0x88;
            assert_eq!(
                ControlRecord::decode(&record.key(), &value),
                Err(Error::MalformedControlRecord)
            );
        }
    }

    #[test]
    fn markers_have_the_bytes_that_kafka_writes() {
        let marker = EndTransactionMarker { is_commit: true, coordinator_epoch: 9 };
        let record = ControlRecord::EndTransaction(marker);
        assert_eq!(record.key().as_ref(), [0, 0, 0, 1]);
        assert_eq!(record.value().as_ref(), [0, 0, 0, 0, 0, 9]);
    }

    #[test]
    fn types_of_the_future_are_kept_apart_not_refused() {
        assert_eq!(
            ControlRecord::decode(&[0, 0, 0, 99], b"anything"),
            Ok(ControlRecord::Unknown(99))
        );
    }

    #[test]
    fn claimed_lengths_take_no_memory() {
        let hostile = [0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(
            ControlRecord::decode(&[0, 0, 0, 2], &hostile),
            Err(Error::MalformedControlRecord)
        );
    }
}
