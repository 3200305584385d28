//! The bytes of the metadata log: what we author, and what we find.

use bytes::Bytes;

use super::ready::{EpochStart, FetchedBatch};
use super::voters::{Endpoint, ReplicaKey, Voter, VoterChange, VoterSet};
use crate::model::{DirectoryId, LeaderEpoch, NodeId, Offset, OffsetAndEpoch, Timestamp};
use crate::record::{
    self, Batch, Builder, Compression, ControlRecord, LeaderChange, QuorumVoter, VoterEndpoint,
};

/// The largest batch that a leader writes, in bytes.
pub(super) const BATCH_BYTES_MAX: usize = 8 << 20;

/// What one record costs in a batch besides its value, at most.
const RECORD_OVERHEAD_BYTES: usize = 40;

/// A batch of the metadata log that is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedBatch {
    /// Offset of the first record; those after it follow without gaps.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The epoch of the leader that wrote it.
    pub epoch: LeaderEpoch,
    /// When it was written, by that leader's wall clock.
    pub timestamp: Timestamp,
    /// The values of its records. Empty for a control batch, which is the quorum's own business.
    pub records: Vec<Bytes>,
}

/// The control batch that begins an epoch.
pub(super) fn epoch_start(start: &EpochStart, now: Timestamp) -> Result<Bytes, record::Error> {
    let voter = |id: &NodeId| QuorumVoter { id: *id, directory_id: DirectoryId::ZERO };
    let mut records = vec![ControlRecord::LeaderChange(LeaderChange {
        version: 0,
        leader_id: start.leader,
        voters: start.voters.iter().map(voter).collect(),
        granting_voters: start.granting_voters.iter().map(voter).collect(),
    })];
    if let Some((version, voters)) = &start.bootstrap {
        records.push(ControlRecord::KRaftVersion(*version));
        records.push(ControlRecord::KRaftVoters(to_record(voters)));
    }
    let place = OffsetAndEpoch { offset: start.base_offset, epoch: start.epoch };
    control(place, now, &records)
}

/// A control batch at this place.
pub(super) fn control(
    place: OffsetAndEpoch,
    now: Timestamp,
    records: &[ControlRecord],
) -> Result<Bytes, record::Error> {
    let mut builder = Builder::new(place.offset, place.epoch, Compression::None).control();
    for record in records {
        builder.append(now, Some(&record.key()), Some(&record.value()), &[]);
    }
    builder.build()
}

/// A batch of metadata records at this place.
pub(super) fn data(
    place: OffsetAndEpoch,
    now: Timestamp,
    records: &[Bytes],
) -> Result<Bytes, record::Error> {
    let mut builder = Builder::new(place.offset, place.epoch, Compression::None);
    for record in records {
        builder.append(now, None, Some(record), &[]);
    }
    builder.build()
}

/// Cuts records into runs that each fit a batch of at most [`BATCH_BYTES_MAX`]; a record that alone does not is a run of its own.
pub(super) fn runs(records: &[Bytes]) -> Vec<&[Bytes]> {
    let mut runs = Vec::new();
    let (mut start, mut bytes) = (0, record::HEADER_BYTES);
    for (index, record) in records.iter().enumerate() {
        let size = record.len() + RECORD_OVERHEAD_BYTES;
        if index > start && bytes + size > BATCH_BYTES_MAX {
            runs.push(&records[start..index]);
            (start, bytes) = (index, record::HEADER_BYTES);
        }
        bytes += size;
    }
    if start < records.len() {
        runs.push(&records[start..]);
    }
    runs
}

/// True when these records do not fit one batch.
pub(super) fn is_too_large(records: &[Bytes]) -> bool {
    let records: usize = records.iter().map(|record| record.len() + RECORD_OVERHEAD_BYTES).sum();
    record::HEADER_BYTES + records > BATCH_BYTES_MAX
}

/// What the machine must know of a batch found in the log or fetched.
pub(super) fn summary(batch: &Batch) -> Result<FetchedBatch, record::Error> {
    let header = batch.header();
    let mut changes = Vec::new();
    if header.is_control() {
        for (offset, record) in control_records(batch)? {
            match record {
                ControlRecord::KRaftVersion(version) => {
                    changes.push((offset, VoterChange::KRaftVersion(version)));
                }
                ControlRecord::KRaftVoters(voters) => {
                    changes.push((offset, VoterChange::Voters(from_record(voters))));
                }
                ControlRecord::EndTransaction(_)
                | ControlRecord::LeaderChange(_)
                | ControlRecord::SnapshotHeader { .. }
                | ControlRecord::SnapshotFooter
                | ControlRecord::Unknown(_) => {}
            }
        }
    }
    Ok(FetchedBatch {
        base_offset: header.first_offset(),
        last_offset: header.last_offset(),
        epoch: LeaderEpoch::from_wire(header.leader_epoch).unwrap_or(LeaderEpoch::ZERO),
        changes,
    })
}

/// The control records of a batch, with their offsets.
pub(super) fn control_records(
    batch: &Batch,
) -> Result<Vec<(Offset, ControlRecord)>, record::Error> {
    let mut found = Vec::new();
    for record in batch.records(BATCH_BYTES_MAX)? {
        let record = record?;
        let key = record.key.unwrap_or_default();
        let value = record.value.unwrap_or_default();
        found.push((record.offset, ControlRecord::decode(&key, &value)?));
    }
    Ok(found)
}

/// A batch of the log as its readers see it.
pub(super) fn committed(batch: &Batch) -> Result<CommittedBatch, record::Error> {
    let header = batch.header();
    Ok(CommittedBatch {
        base_offset: header.first_offset(),
        last_offset: header.last_offset(),
        epoch: LeaderEpoch::from_wire(header.leader_epoch).unwrap_or(LeaderEpoch::ZERO),
        timestamp: Timestamp(header.max_timestamp),
        records: if header.is_control() { Vec::new() } else { values(batch)? },
    })
}

/// The values of a batch's records. Metadata may be compressed by nobody, but a reader need not mind.
pub(super) fn values(batch: &Batch) -> Result<Vec<Bytes>, record::Error> {
    batch
        .records(BATCH_BYTES_MAX * 8)?
        .map(|record| record.map(|record| record.value.unwrap_or_default()))
        .collect()
}

pub(super) fn to_record(voters: &VoterSet) -> Vec<record::Voter> {
    let endpoint = |endpoint: &Endpoint| VoterEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
    };
    let voter = |voter: &Voter| record::Voter {
        voter: QuorumVoter {
            id: voter.key.id,
            directory_id: voter.key.directory_id.unwrap_or(DirectoryId::ZERO),
        },
        endpoints: voter.endpoints.iter().map(endpoint).collect(),
        kraft_version_min: voter.kraft_version_min,
        kraft_version_max: voter.kraft_version_max,
    };
    voters.iter().map(voter).collect()
}

pub(super) fn from_record(voters: Vec<record::Voter>) -> VoterSet {
    let endpoint = |endpoint: VoterEndpoint| Endpoint {
        name: endpoint.name,
        host: endpoint.host,
        port: endpoint.port,
    };
    VoterSet::new(voters.into_iter().map(|voter| Voter {
        key: ReplicaKey::new(voter.voter.id, voter.voter.directory_id),
        endpoints: voter.endpoints.into_iter().map(endpoint).collect(),
        kraft_version_min: voter.kraft_version_min,
        kraft_version_max: voter.kraft_version_max,
    }))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn voters() -> VoterSet {
        VoterSet::new([Voter {
            key: ReplicaKey::new(
                NodeId(1),
                DirectoryId(Uuid::from_u128(0x6baa_4343_5e6f_0df9_39b7_d3b3_02ad_d0cc)),
            ),
            endpoints: vec![Endpoint {
                name: "CONTROLLER".to_owned(),
                host: "127.0.0.1".to_owned(),
                port: 28_501,
            }],
            kraft_version_min: 0,
            kraft_version_max: 1,
        }])
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    #[test]
    fn an_epoch_begins_with_the_bytes_that_kafka_writes() {
        let start = EpochStart {
            base_offset: Offset::ZERO,
            epoch: LeaderEpoch::new(1),
            leader: NodeId(1),
            voters: vec![NodeId(1)],
            granting_voters: vec![NodeId(1)],
            bootstrap: Some((1, voters())),
        };
        let ours = epoch_start(&start, Timestamp(1_795_236_720_725)).unwrap();
        let kafkas =
            hex("0000 0000 0000 0000 0000 00a2 0000 0001 0201 4ac9 c800 2000 0000 0200 0001 a1fc
             7270 5500 0001 a1fc 7270 55ff ffff ffff ffff ffff ffff ffff ff00 0000 033a 0000
             0008 0000 0002 2600 0000 0000 0102 0000 0001 0002 0000 0001 0000 001e 0000 0208
             0000 0005 0a00 0000 0100 0082 0100 0004 0800 0000 066e 0000 0200 0000 016b aa43
             435e 6f0d f939 b7d3 b302 add0 cc02 0b43 4f4e 5452 4f4c 4c45 520a 3132 372e 302e
             302e 316f 5500 0000 0001 0000 0000");
        assert_eq!(ours, kafkas);
        let batch = Batch::parse(ours).unwrap();
        let expected = vec![
            (Offset::new(1), VoterChange::KRaftVersion(1)),
            (Offset::new(2), VoterChange::Voters(voters())),
        ];
        assert_eq!(summary(&batch).unwrap().changes, expected);
    }

    #[test]
    fn records_are_cut_where_a_batch_is_full() {
        let record = |bytes| Bytes::from(vec![0; bytes]);
        let sizes =
            |records: &[Bytes]| runs(records).iter().map(|run| run.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), [0_usize; 0]);
        assert_eq!(sizes(&[record(5), record(6)]), [2]);
        assert_eq!(sizes(&[record(5 << 20), record(5 << 20), record(1)]), [1, 2]);
        assert_eq!(sizes(&[record(9 << 20), record(1)]), [1, 1]);
    }
}
