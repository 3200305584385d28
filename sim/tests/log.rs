//! Logs on simulated disks: whatever a crash or a power loss leaves, what opens again is a history that was true once, and
//! nothing that was flushed is missing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla::environment::timeout;
use ottla::log::{
    AppendError, LogDirectory, LogManager, Origin, PartitionLog, Settings as LogSettings,
};
use ottla::model::{
    BrokerEpoch, ClusterId, LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, Timestamp,
    TopicPartition,
};
use ottla::record::{Batch, Builder, Compression};
use sim::random::Random;
use sim::runtime::SimRuntime;
use sim::{MachineId, Settings, World, simulate};

type Manager = Arc<LogManager<SimRuntime>>;
type Log = Arc<PartitionLog<SimRuntime>>;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=40;
const STEPS: usize = 150;

/// A batch as it should be in the log.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    base: i64,
    last: i64,
    bytes: Bytes,
}

impl Entry {
    fn batch(&self) -> Batch {
        Batch::parse(self.bytes.clone()).expect("it was read from the log")
    }
}

/// Everything the log has held, with what was deleted at its front.
#[derive(Clone, Debug, Default)]
struct Version {
    entries: Vec<Entry>,
    start: i64,
    end: i64,
}

/// What may be found after a power loss: a beginning of one of the versions since the last flush.
struct Model {
    versions: Vec<Version>,
    /// Everything below was flushed.
    floor: i64,
    epoch: i32,
    sequence: BTreeMap<i64, i32>,
}

impl Model {
    fn new() -> Self {
        Self { versions: vec![Version::default()], floor: 0, epoch: 0, sequence: BTreeMap::new() }
    }

    fn now(&mut self) -> &mut Version {
        self.versions.last_mut().expect("there is always one")
    }

    /// The log was cut: the old version may come back, until a flush.
    fn cut(&mut self, offset: i64) {
        let mut version = self.now().clone();
        version.entries.retain(|entry| entry.last < offset);
        version.end = version.end.min(offset);
        if let Some(cut) = self.now().entries.iter().find(|entry| entry.last >= offset) {
            version.end = version.end.min(cut.base);
        }
        version.start = version.start.min(version.end);
        self.floor = self.floor.min(version.end);
        self.versions.push(version);
        self.epoch += 1;
        self.sequence.clear();
    }
}

fn settings() -> LogSettings {
    LogSettings {
        segment_bytes: 3000,
        index_interval_bytes: 200,
        segment_index_bytes: 480,
        retention_ms: None,
        retention_bytes: Some(9000),
        file_delete_delay_ms: 1000,
        // Snapshots are judged by the records' times, which are of no year here.
        producer_id_expiration_ms: i64::MAX,
        ..LogSettings::default()
    }
}

fn partition() -> TopicPartition {
    TopicPartition::new("topic", 0)
}

async fn open(runtime: &SimRuntime, settings: LogSettings) -> (Manager, Log) {
    let path = PathBuf::from("/data");
    let cluster = ClusterId::from("MkU3OEVBNTcwNTJENDM2Qk");
    LogDirectory::format(runtime, &path, &cluster, NodeId(1)).await.expect("formatted");
    let directory =
        LogDirectory::open(runtime.clone(), path, None, NodeId(1)).await.expect("opened");
    let known = settings.clone();
    let manager =
        LogManager::open(runtime.clone(), vec![directory], 2, move |_| known.clone()).await;
    let log = manager.get_or_create(&partition(), None, None, settings).await.expect("created");
    (manager, log)
}

struct Test {
    world: Arc<World>,
    machine: MachineId,
    runtime: SimRuntime,
    settings: LogSettings,
    manager: Manager,
    log: Log,
    model: Model,
    random: Random,
    time: i64,
}

impl Test {
    /// With records that a flush could not make durable; the disk is healthy again.
    async fn after_a_failed_sync(world: Arc<World>) -> Self {
        let mut test = Self::new(world).await;
        while test.log.log_end_offset() == Offset::ZERO {
            test.append().await;
        }
        let disk = test.world.disk(test.machine);
        disk.set_faults(|faults| faults.sync_error = 1.0);
        assert!(test.log.flush(test.log.log_end_offset()).await.is_err());
        disk.set_faults(|faults| faults.sync_error = 0.0);
        test
    }

    async fn new(world: Arc<World>) -> Self {
        let machine = world.add_machine("a");
        let mut random = world.random("log test");
        world.disk(machine).set_faults(|faults| faults.delay = 0.3);
        let runtime = world.puppet(machine);
        // There a start keeps what lies behind a hole, so no power loss may make one.
        let settings = LogSettings { compacts: random.below(2) == 0, ..settings() };
        let (manager, log) = open(&runtime, settings.clone()).await;
        let model = Model::new();
        Self { world, machine, runtime, settings, manager, log, model, random, time: 1000 }
    }

    fn batch(&mut self) -> (Bytes, Option<(i64, i32)>) {
        let count = self.random.between(&(1..5));
        let mut builder = Builder::new(Offset::ZERO, None, Compression::None);
        let mut next = None;
        if self.random.below(2) == 0 {
            let producer = i64::try_from(self.random.below(3)).expect("small");
            let sequence = self.model.sequence.get(&producer).copied();
            let first = sequence.unwrap_or(0);
            builder = builder.producer(
                ProducerId(producer + 10 * i64::from(self.model.epoch)),
                ProducerEpoch(0),
                Some(first),
            );
            next = Some((producer, first + i32::try_from(count).expect("small")));
        }
        let value = vec![7; usize::try_from(self.random.between(&(0..400))).expect("small")];
        for _ in 0..count {
            self.time += i64::try_from(self.random.below(20)).expect("small") - 5;
            builder.append(Timestamp(self.time), Some(b"k"), Some(&value), &[]);
        }
        (builder.build().expect("built"), next)
    }

    /// Appends, now and then without waiting for the end of it.
    async fn append(&mut self) {
        let (bytes, next) = self.batch();
        let epoch = LeaderEpoch::new(self.model.epoch);
        let origin = Origin::Client { produce_version: 13 };
        let before = self.log.log_end_offset();
        assert_eq!(before.value(), self.model.now().end);
        let placed = Batch::parse(bytes.clone()).expect("a batch").placed(before, epoch);
        let entry = Entry {
            base: before.value(),
            last: placed.header().last_offset().value(),
            bytes: placed.into_bytes(),
        };
        let append = self.log.append_as_leader(bytes, origin, epoch, Timestamp(self.time));
        let is_hasty = self.random.below(4) == 0;
        let patience = if is_hasty { self.random.below(30) } else { 1 << 40 };
        match timeout(&self.runtime, Duration::from_micros(patience), append).await {
            Ok(Ok(done)) => assert_eq!(done.first, before),
            Ok(Err(AppendError::DiskFull)) => assert_eq!(self.log.log_end_offset(), before),
            Ok(Err(error)) => panic!("append: {error}"),
            Err(_) => {}
        }
        let version = self.model.now();
        if self.log.log_end_offset() > before {
            version.end = entry.last + 1;
            version.entries.push(entry);
            self.model.sequence.extend(next);
        } else {
            // Its bytes may be in the file all the same, for a crash to find.
            let mut ghost = version.clone();
            ghost.end = entry.last + 1;
            ghost.entries.push(entry);
            let at = self.model.versions.len() - 1;
            self.model.versions.insert(at, ghost);
        }
    }

    async fn flush(&mut self) {
        let end = self.log.log_end_offset();
        let is_real = self.log.unflushed_messages() > 0;
        self.log.flush(end).await.expect("the disk is healthy");
        if is_real {
            let last = self.model.now().clone();
            self.model.versions = vec![last];
        }
        self.model.floor = self.model.now().end;
    }

    async fn step(&mut self) {
        match self.random.below(30) {
            0..=13 => self.append().await,
            14 | 15 => self.flush().await,
            16 => self.manager.checkpoint_recovery_points().await,
            17 => {
                self.manager.checkpoint_log_starts().await;
            }
            18 => self.manager.flush_due(Timestamp(self.time)),
            19 => self.truncate().await,
            20 => self.delete().await,
            21 => self.disk_full().await,
            22 => self.world.sleep(Duration::from_millis(self.random.below(3000))).await,
            23 => self.manager.remove_deleted().await,
            24 => self.clean_restart().await,
            25 => self.crash(false).await,
            26 => self.crash(true).await,
            _ => self.read().await,
        }
    }

    async fn truncate(&mut self) {
        let end = self.model.now().end;
        let back = i64::try_from(self.random.below(40)).expect("small");
        let offset = (end - back).max(0);
        if self.random.below(10) == 0 {
            let offset = end + back;
            let topic = partition();
            let done = self.manager.truncate_fully_and_start_at(&topic, Offset::new(offset));
            done.await.expect("the disk is healthy");
            self.model.cut(0);
            *self.model.now() = Version { entries: Vec::new(), start: offset, end: offset };
            self.model.floor = 0;
            return;
        }
        if offset < self.model.now().start {
            return;
        }
        let topic = partition();
        let done = self.manager.truncate_to(&topic, Offset::new(offset));
        done.await.expect("the disk is healthy");
        if offset < end {
            self.model.cut(offset);
        }
        assert_eq!(self.log.log_end_offset().value(), self.model.now().end);
    }

    async fn delete(&mut self) {
        self.log.set_high_watermark(self.log.log_end_offset());
        if self.random.below(2) == 0 {
            self.manager.apply_retention(Timestamp(self.time)).await;
        } else {
            let version = self.model.now();
            let between = u64::try_from(version.end - version.start).expect("in order");
            let offset =
                version.start + i64::try_from(self.random.below(between + 1)).expect("small");
            self.log
                .advance_log_start(Offset::new(offset))
                .await
                .expect("below the high watermark");
        }
        self.model.now().start = self.log.log_start_offset().value();
    }

    async fn disk_full(&mut self) {
        let disk = self.world.disk(self.machine);
        let capacity = self.random.between(&(1..40_000));
        disk.set_faults(|faults| faults.capacity = capacity);
        for _ in 0..self.random.below(6) {
            self.append().await;
        }
        if self.random.below(2) == 0 {
            self.flush().await;
        }
        disk.set_faults(|faults| faults.capacity = 1 << 40);
    }

    async fn clean_restart(&mut self) {
        self.manager.shutdown(Some(BrokerEpoch(7))).await;
        for directory in self.manager.directories() {
            assert_eq!(directory.offline_reason(), None);
        }
        let last = self.model.now().clone();
        self.model.versions = vec![last];
        self.model.floor = self.model.now().end;
        if self.random.below(2) == 0 {
            self.world.power_loss(self.machine);
        }
        self.reopen().await;
        assert_eq!(self.manager.previous_broker_epoch(), Some(BrokerEpoch(7)));
        assert_eq!(self.log.log_start_offset().value(), self.model.now().start);
    }

    async fn crash(&mut self, power_is_lost: bool) {
        let mut before = std::mem::take(&mut self.model.versions);
        let flushed = self.model.floor;
        if power_is_lost {
            self.world.power_loss(self.machine);
            self.model.versions.clone_from(&before);
            before.clear();
        } else {
            // What was written is kept, with at most a write that nobody waited for.
            let last = before.last().cloned().into_iter();
            let end = before.last().map_or(0, |last| last.end);
            let ghosts = before.iter().filter(|ghost| ghost.end > end).cloned();
            self.model.versions = ghosts.chain(last).collect();
            self.model.floor = end;
        }
        self.reopen().await;
        // What a crash keeps, a later power loss may still take.
        self.model.floor = flushed;
        before.append(&mut self.model.versions);
        self.model.versions = before;
        self.model.sequence.clear();
        self.model.epoch += 1;
    }

    /// Opens again and judges what is there.
    async fn reopen(&mut self) {
        self.runtime = self.world.puppet(self.machine);
        (self.manager, self.log) = open(&self.runtime, self.settings.clone()).await;
        let found = self.contents().await;
        let end = self.log.log_end_offset().value();
        assert!(end >= self.model.floor, "flushed to {}, ends at {end}", self.model.floor);
        let fits = |version: &&Version| {
            let is_known = |entry: &&Entry| version.entries.contains(entry);
            let upto = version.entries.iter().take_while(|entry| entry.last < end);
            let expected: Vec<&Entry> = upto.filter(|entry| entry.last >= version.start).collect();
            let (below, above): (Vec<_>, Vec<_>) =
                found.iter().partition(|entry| entry.last < version.start);
            // What was deleted at the front may be back, in part.
            let end_fits =
                expected.last().map_or(end <= version.start.max(end), |last| last.last + 1 == end);
            below.iter().all(is_known) && above == expected && end_fits && end <= version.end
        };
        let Some(version) = self.model.versions.iter().rfind(fits) else {
            let last = self.model.now();
            let shown = |entries: &[Entry]| -> Vec<(i64, i64)> {
                entries.iter().map(|entry| (entry.base, entry.last)).collect()
            };
            panic!(
                "found {}..{end} {:?}, expected a part of {}..{} {:?}",
                self.log.log_start_offset(),
                shown(&found),
                last.start,
                last.end,
                shown(&last.entries)
            );
        };
        let start = version.start;
        let mut version = version.clone();
        version.entries.retain(|entry| entry.last < end);
        version.end = end;
        version.start = self.log.log_start_offset().value();
        self.model.versions = vec![version];
        self.check_derived(&found, start).await;
    }

    /// What is derived from the batches agrees with them.
    async fn check_derived(&mut self, found: &[Entry], start: i64) {
        let mut sequences = BTreeMap::new();
        for entry in found {
            let header = *entry.batch().header();
            let epoch = self.log.epoch_for_offset(Offset::new(entry.base));
            // What was deleted, or was once, is of no epoch any more.
            if entry.base >= start && entry.base >= self.log.log_start_offset().value() {
                assert_eq!(epoch.map(LeaderEpoch::value), Some(header.leader_epoch));
            }
            if header.has_producer() {
                sequences.insert(header.producer_id, header.last_sequence());
            }
        }
        for (producer, sequence) in sequences {
            let known = self.log.producers();
            let known = known.iter().find(|known| known.producer.0 == producer);
            assert_eq!(known.and_then(|known| known.last_sequence), Some(sequence));
        }
        self.read().await;
    }

    async fn contents(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut next = self.log.log_start_offset();
        while next < self.log.log_end_offset() {
            let bytes = self.log.read_bytes(next, 1).await.expect("readable");
            if bytes.is_empty() {
                break;
            }
            let batch = Batch::parse(bytes.clone()).expect("one batch");
            batch.verify_crc().expect("the checksum is right");
            next = batch.header().next_offset();
            entries.push(Entry {
                base: batch.header().base_offset,
                last: batch.header().last_offset().value(),
                bytes,
            });
        }
        entries
    }

    /// Reads at any offset, and looks for any time.
    async fn read(&mut self) {
        let version = self.model.now().clone();
        let between = u64::try_from(version.end - version.start).expect("in order");
        let offset = version.start + i64::try_from(self.random.below(between + 1)).expect("small");
        let readable = || version.entries.iter().filter(|entry| entry.last >= version.start);
        let expected = readable().find(|entry| entry.last >= offset);
        let found = self.log.read_bytes(Offset::new(offset), 1).await.expect("readable");
        assert_eq!(
            found,
            expected.map(|entry| entry.bytes.clone()).unwrap_or_default(),
            "at {offset}"
        );

        let time = self.time - i64::try_from(self.random.below(500)).expect("small") + 20;
        let records = readable().flat_map(|entry| entry.batch().records(1 << 20).expect("records"));
        let expected = records
            .map(|record| record.expect("a record"))
            .find(|record| record.timestamp.0 >= time && record.offset.value() >= version.start);
        let found = self.log.offset_for_timestamp(Timestamp(time), self.log.log_end_offset()).await;
        let found = found.expect("readable").map(|found| found.offset);
        assert_eq!(found, expected.map(|record| record.offset), "at time {time}");
    }
}

#[test]
fn what_opens_again_was_true_once_and_nothing_flushed_is_missing() {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let (first, last) = (number("FIRST_SEED"), number("LAST_SEED"));
    for seed in first.unwrap_or(*SEEDS.start())..=last.unwrap_or(*SEEDS.end()) {
        let outcome = simulate(Settings::new(seed), |world| async move {
            let mut test = Test::new(world).await;
            for _ in 0..STEPS {
                test.step().await;
            }
        });
        outcome.result.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}

#[test]
fn after_a_failed_sync_nothing_is_believed_any_more() {
    for seed in SEEDS {
        let outcome = simulate(Settings::new(seed), |world| async move {
            let mut test = Test::after_a_failed_sync(world).await;
            // A second sync would succeed, and prove nothing.
            assert!(test.log.flush(test.log.log_end_offset()).await.is_err());
            let (bytes, _) = test.batch();
            let origin = Origin::Client { produce_version: 13 };
            let done = test.log.append_as_leader(bytes, origin, LeaderEpoch::ZERO, Timestamp(0));
            assert!(matches!(done.await, Err(AppendError::Fault(_))));
            test.manager.flush_due(Timestamp(0));
            let failure = test.manager.next_failure().await;
            assert_eq!(failure.partitions, [partition()]);
        });
        outcome.result.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}

#[test]
fn without_a_file_descriptor_the_operation_fails_and_nothing_else() {
    for seed in SEEDS {
        let outcome = simulate(Settings::new(seed), |world| async move {
            let mut test = Test::new(world).await;
            let disk = test.world.disk(test.machine);
            let other = TopicPartition::new("other", 0);
            let (mut appended, mut refused) = (0, 0);
            for _ in 0..STEPS {
                let is_starved = test.random.below(2) == 0;
                disk.set_faults(|faults| faults.no_descriptor = f64::from(u8::from(is_starved)));
                let (bytes, next) = test.batch();
                let origin = Origin::Client { produce_version: 13 };
                let done = test.log.append_as_leader(
                    bytes,
                    origin,
                    LeaderEpoch::ZERO,
                    Timestamp(test.time),
                );
                match done.await {
                    Ok(_) => {
                        appended += 1;
                        test.model.sequence.extend(next);
                    }
                    Err(AppendError::OutOfFiles(_)) if is_starved => refused += 1,
                    Err(error) => panic!("{error}"),
                }
                test.log.set_high_watermark(test.log.log_end_offset());
                test.manager.flush_due(Timestamp(test.time));
                test.manager.checkpoint_new_recovery_points().await;
                test.manager.apply_retention(Timestamp(test.time)).await;
                let made = test.manager.get_or_create(&other, None, None, settings()).await;
                assert!(made.is_ok() || is_starved);
                let start = test.log.log_start_offset();
                let read = test.log.offset_for_timestamp(Timestamp(test.time), start.plus(1)).await;
                assert!(read.is_ok() || is_starved);
            }
            disk.set_faults(|faults| faults.no_descriptor = 0.0);
            test.log.flush(test.log.log_end_offset()).await.expect("the disk is healthy");
            let found: Vec<Batch> = test.contents().await.iter().map(Entry::batch).collect();
            let end = found.last().map(|batch| batch.header().next_offset());
            assert_eq!(end, Some(test.log.log_end_offset()));
            assert!(refused > 0 && appended > found.len());
            for directory in test.manager.directories() {
                assert_eq!(directory.offline_reason(), None);
            }
        });
        outcome.result.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}

#[test]
fn what_a_failed_sync_left_in_the_cache_is_written_again() {
    for seed in SEEDS {
        let outcome = simulate(Settings::new(seed), |world| async move {
            let test = Test::after_a_failed_sync(world).await;
            test.world.crash(test.machine);
            let (manager, log) =
                open(&test.world.puppet(test.machine), test.settings.clone()).await;
            let end = log.log_end_offset();
            assert!(end > Offset::ZERO, "the page cache has it");
            log.flush(end).await.expect("the disk is healthy");
            drop((manager, log));
            test.world.power_loss(test.machine);
            let (_manager, log) =
                open(&test.world.puppet(test.machine), test.settings.clone()).await;
            assert_eq!(log.log_end_offset(), end, "what was flushed is there");
        });
        outcome.result.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}

#[test]
fn log_that_expired_as_a_whole_does_not_give_its_offsets_again() {
    for seed in SEEDS {
        let outcome = simulate(Settings::new(seed), |world| async move {
            let mut test = Test::new(world).await;
            for _ in 0..3 {
                test.append().await;
            }
            test.flush().await;
            let end = test.log.log_end_offset();
            test.log.set_high_watermark(end);
            test.log.set_settings(LogSettings { retention_ms: Some(1), ..test.settings.clone() });
            let retention = test.manager.apply_retention(Timestamp(test.time + 1_000_000));
            let patience = Duration::from_micros(test.random.between(&(1..20_000)));
            let _ = timeout(&test.runtime, patience, retention).await;
            test.world.power_loss(test.machine);
            let (_manager, log) =
                open(&test.world.puppet(test.machine), test.settings.clone()).await;
            assert_eq!(log.log_end_offset(), end, "where the log goes on");
        });
        outcome.result.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}

#[test]
fn directory_whose_formatting_was_interrupted_survives_a_power_loss() {
    for seed in SEEDS {
        let outcome = simulate(Settings::new(seed), |world| async move {
            let machine = world.add_machine("a");
            let path = PathBuf::from("/data");
            let cluster = ClusterId::from("MkU3OEVBNTcwNTJENDM2Qk");
            let moment = Duration::from_micros(world.random("moment").between(&(1..9_000)));
            {
                let (path, cluster) = (path.clone(), cluster.clone());
                world.start(machine, move |runtime| {
                    let (path, cluster) = (path.clone(), cluster.clone());
                    async move {
                        let done = LogDirectory::format(&runtime, &path, &cluster, NodeId(1)).await;
                        done.expect("formatted");
                    }
                });
            }
            world.sleep(moment).await;
            world.crash(machine);
            let runtime = world.puppet(machine);
            LogDirectory::format(&runtime, &path, &cluster, NodeId(1)).await.expect("formatted");
            world.power_loss(machine);
            let runtime = world.puppet(machine);
            let found = LogDirectory::open(runtime, path, Some(&cluster), NodeId(1)).await;
            assert!(found.is_ok(), "{:?}", found.err());
        });
        outcome.result.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}
