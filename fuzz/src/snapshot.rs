//! Snapshots of the metadata log, and `bootstrap.checkpoint`.

use std::path::Path;

use bytes::Bytes;
use ottla::environment::Runtime as _;
use ottla::metadata::MetadataLoader;
use ottla::model::{LeaderEpoch, Offset, OffsetAndEpoch, Timestamp};
use ottla::raft::{METADATA_LOG, Snapshot, list_snapshots, read_bootstrap, snapshot_file_name};
use ottla::record::{Builder, Compression, ControlRecord};

use crate::input::{Input, mend_batches};
use crate::world::World;

const ID: OffsetAndEpoch = OffsetAndEpoch { offset: Offset::ZERO, epoch: LeaderEpoch::ZERO };

/// Judges one input: whether its checksums are to be mended, and a file.
///
/// # Panics
///
/// When a snapshot that was read cannot be written, or is read as something else then.
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let is_mended = input.below(4) > 0;
    let mut bytes = input.0.to_vec();
    if is_mended {
        mend_batches(&mut bytes);
    }
    let world = World::new();
    let root = Path::new("/d");
    let directory = root.join(METADATA_LOG);
    world.put(directory.join(snapshot_file_name(ID)), &bytes);
    world.put(root.join("bootstrap.checkpoint"), &bytes);
    world.run(async {
        let disk = world.disk();
        assert_eq!(list_snapshots(disk, &directory).await.expect("the disk works"), [ID]);
        let records = read_bootstrap(disk, root).await;
        let Ok(snapshot) = Snapshot::read(disk, &directory, ID).await else {
            assert!(records.is_err(), "both are the same file");
            return;
        };
        assert_eq!(records.ok().flatten().as_ref(), Some(&snapshot.records));
        let _ = MetadataLoader::new().load_snapshot(ID, Timestamp(0), snapshot.records.clone());
        snapshot.write(disk, &directory, Timestamp(0)).await.expect("what was read can be written");
        let again = Snapshot::read(disk, &directory, ID).await.expect("it was just written");
        assert_eq!(again.records, snapshot.records);
        assert_eq!(again.last_contained_log_timestamp, snapshot.last_contained_log_timestamp);
        if snapshot.kraft_version > 0 && snapshot.voters.is_some() {
            assert_eq!(again.voters, snapshot.voters);
            assert_eq!(again.kraft_version, snapshot.kraft_version);
        }
    });
}

fn control(base: i64, record: &ControlRecord) -> Bytes {
    let mut builder =
        Builder::new(Offset::new(base), LeaderEpoch::ZERO, Compression::None).control();
    builder.append(Timestamp(0), Some(&record.key()), Some(&record.value()), &[]);
    builder.build().expect("a small batch can be built")
}

/// Inputs to begin with: an empty snapshot, and one of two records.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let header =
        control(0, &ControlRecord::SnapshotHeader { last_contained_log_timestamp: Timestamp(5) });
    let version = control(1, &ControlRecord::KRaftVersion(1));
    let voters = control(2, &ControlRecord::KRaftVoters(Vec::new()));
    let mut data = Builder::new(Offset::new(3), LeaderEpoch::ZERO, Compression::None);
    data.append(Timestamp(0), None, Some(&[1, 20, 0, 0]), &[]);
    data.append(Timestamp(0), None, Some(&[1, 23, 0, 0]), &[]);
    let data = data.build().expect("a small batch can be built");
    let footer = control(5, &ControlRecord::SnapshotFooter);
    vec![
        [&[1][..], &header, &footer].concat(),
        [&[1][..], &header, &version, &voters, &data, &footer].concat(),
        [&[0][..], &header, &data, &footer].concat(),
    ]
}
