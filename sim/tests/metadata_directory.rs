//! What a killed process had written of a metadata log, and a power loss while the next one builds on it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ottla::environment::{Disk as _, Runtime as _, Stopper, timeout};
use ottla::model::{ClusterId, DirectoryId, NodeId, Timestamp};
use ottla::raft::{self, Options, ReplicaKey, Settings as QuorumSettings, Voter, VoterSet};
use sim::runtime::SimRuntime;
use sim::{Settings, simulate};
use uuid::Uuid;

const DATA: &str = "/data";

fn key() -> ReplicaKey {
    ReplicaKey::new(NodeId(1), DirectoryId(Uuid::from_u128(4711)))
}

async fn format(runtime: &SimRuntime) {
    let voter =
        Voter { key: key(), endpoints: Vec::new(), kraft_version_min: 0, kraft_version_max: 1 };
    let (disk, data) = (runtime.disk(), Path::new(DATA));
    if !raft::is_formatted(disk, data).await.expect("the disk is healthy") {
        let voters = VoterSet::new([voter]);
        let done = raft::format(disk, data, voters, Vec::new(), Timestamp(1)).await;
        done.expect("formatted");
    }
}

/// As far as a driver that does not run any further.
async fn start(runtime: &SimRuntime) {
    let options = Options {
        log_directory: PathBuf::from(DATA),
        settings: QuorumSettings::new(ClusterId::from("formatted"), key()),
        static_voters: None,
        segment_bytes: 1 << 20,
        segment_ms: 1 << 40,
        bootstrap: Vec::new(),
        listener_name: "CONTROLLER".to_owned(),
        fetch_bytes_max: 1 << 20,
        snapshot_bytes_max: 1 << 20,
    };
    let stopper = Stopper::new();
    raft::start(runtime.clone(), options, stopper.stop()).await.expect("started");
}

#[test]
fn voters_that_an_interrupted_format_wrote_survive_a_power_loss() {
    for seed in 1..=200 {
        let outcome = simulate(Settings::new(seed), |world| async move {
            let machine = world.add_machine("a");
            let mut random = world.random("moments");
            let runtime = world.puppet(machine);
            runtime.disk().create_directory(Path::new(DATA)).await.expect("made");
            runtime.disk().sync_directory(Path::new("/")).await.expect("the disk is healthy");
            world.start(machine, |runtime| async move { format(&runtime).await });
            world.sleep(Duration::from_micros(random.between(&(1..6_000)))).await;
            world.crash(machine);
            let runtime = world.puppet(machine);
            format(&runtime).await;
            let moment = Duration::from_micros(random.between(&(1..4_000)));
            let _ = timeout(&runtime, moment, start(&runtime)).await;
            world.power_loss(machine);
            let runtime = world.puppet(machine);
            format(&runtime).await;
            let metadata = Path::new(DATA).join(raft::METADATA_LOG);
            let found = raft::list_snapshots(runtime.disk(), &metadata).await;
            let found = found.expect("the directory is there");
            assert_eq!(found.len(), 1, "the snapshot that says who votes");
        });
        outcome.result.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}
