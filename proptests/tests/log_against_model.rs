//! A log against a model of it: a list of batches. And what a crash may leave of its last segment, byte by byte.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla::environment::tokio::TokioRuntime;
use ottla::environment::{Disk, File, FileExt, OpenMode, Runtime};
use ottla::log::{AppendError, OpenOptions, Origin, PartitionLog, RecoveryReport, Settings};
use ottla::model::{
    ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition,
};
use ottla::record::{Batch, Builder, Compression};
use proptest::prelude::*;

type Log = Arc<PartitionLog<TokioRuntime>>;

const CLIENT: Origin = Origin::Client { produce_version: 13 };

/// A file system in memory where there is one: what is tested here is no device.
fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

struct Directory(PathBuf);

impl Directory {
    fn new(runtime: &TokioRuntime) -> Self {
        Self(memory().join(format!("ottla-model-{:016x}", runtime.random())))
    }

    fn log(&self) -> PathBuf {
        self.0.join("t-0")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn small() -> Settings {
    Settings {
        segment_bytes: 2000,
        index_interval_bytes: 150,
        segment_index_bytes: 240,
        retention_ms: None,
        retention_bytes: Some(6000),
        producer_id_expiration_ms: i64::MAX,
        ..Settings::default()
    }
}

async fn open(
    runtime: &TokioRuntime,
    at: &Directory,
    options: OpenOptions,
) -> (Log, RecoveryReport) {
    let partition = TopicPartition::new("t", 0);
    let opened = PartitionLog::open(runtime.clone(), at.log(), partition, small(), options);
    opened.await.expect("opened")
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio.expect("a runtime").block_on(work)
}

fn batch(count: i32, size: usize, producer: Option<(i64, i16, i32)>) -> Bytes {
    let mut builder = Builder::new(Offset::ZERO, None, Compression::None);
    if let Some((id, epoch, sequence)) = producer {
        builder = builder.producer(ProducerId(id), ProducerEpoch(epoch), Some(sequence));
    }
    for number in 0..count {
        builder.append(Timestamp(1000 + i64::from(number)), None, Some(&vec![9; size]), &[]);
    }
    builder.build().expect("built")
}

/// Every batch from the log start on.
async fn contents(log: &Log) -> Vec<Bytes> {
    let mut found = Vec::new();
    let mut next = log.log_start_offset();
    while next < log.log_end_offset() {
        let bytes = log.read_bytes(next, 1).await.expect("readable");
        if bytes.is_empty() {
            // A hole at the end.
            break;
        }
        let batch = Batch::parse(bytes.clone()).expect("a batch");
        batch.verify_crc().expect("the checksum is right");
        next = batch.header().next_offset();
        found.push(bytes);
    }
    found
}

#[derive(Clone, Debug)]
enum Step {
    Append { count: i32, size: usize },
    Follow { batches: Vec<(i32, usize)>, gap: i64, cut: usize },
    Truncate { back: i64 },
    Restart { at: i64 },
    AdvanceStart { up: i64 },
    Retain,
    CloseAndOpen,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let size = 0..350_usize;
    prop_oneof![
        12 => (1..6, size.clone()).prop_map(|(count, size)| Step::Append { count, size }),
        4 => (prop::collection::vec((1..4, size), 1..6), 0..3_i64, 0..150_usize)
            .prop_map(|(batches, gap, cut)| Step::Follow { batches, gap, cut }),
        2 => (0..40_i64).prop_map(|back| Step::Truncate { back }),
        1 => (0..2000_i64).prop_map(|at| Step::Restart { at }),
        2 => (0..30_i64).prop_map(|up| Step::AdvanceStart { up }),
        1 => Just(Step::Retain),
        1 => Just(Step::CloseAndOpen),
        1 => Just(Step::Crash),
    ]
}

struct Model {
    batches: Vec<Batch>,
    start: Offset,
    end: Offset,
    epoch: i32,
}

impl Model {
    async fn apply(&mut self, runtime: &TokioRuntime, at: &Directory, log: &mut Log, step: &Step) {
        match step {
            Step::Append { count, size } => {
                let bytes = batch(*count, *size, None);
                let epoch = LeaderEpoch::new(self.epoch);
                let done = log.append_as_leader(bytes.clone(), CLIENT, epoch, Timestamp(0)).await;
                assert_eq!(done.expect("appended").first, self.end);
                let placed = Batch::parse(bytes).expect("a batch").placed(self.end, epoch);
                self.push(placed);
            }
            Step::Follow { batches, gap, cut } => self.follow(log, batches, *gap, *cut).await,
            Step::Truncate { back } => {
                let to = Offset::new((self.end.value() - back).max(self.start.value()));
                log.truncate_to(to).await.expect("truncated");
                self.truncate(to);
            }
            Step::Restart { at } => {
                let at = Offset::new(*at);
                log.truncate_fully_and_start_at(at).await.expect("restarted");
                self.batches.clear();
                (self.start, self.end) = (at, at);
                self.epoch += 1;
            }
            Step::AdvanceStart { up } => {
                log.set_high_watermark(self.end);
                let to = self.start.plus(*up);
                let done = log.advance_log_start(to).await;
                assert_eq!(done.is_ok(), to <= self.end);
                if to <= self.end {
                    self.start = to;
                }
            }
            Step::Retain => {
                log.set_high_watermark(self.end);
                log.delete_old_segments(Timestamp(0)).await.expect("deleted");
                assert!(log.size_bytes() < 6000 + 2000 + 2000);
                self.start = log.log_start_offset();
            }
            Step::CloseAndOpen | Step::Crash => {
                let clean = matches!(step, Step::CloseAndOpen);
                if clean {
                    log.close().await.expect("closed");
                }
                let options =
                    OpenOptions { clean, log_start_offset: self.start, ..OpenOptions::default() };
                *log = open(runtime, at, options).await.0;
                self.epoch += 1;
                // A hole at the end, which only a truncation leaves, is not kept.
                let last = self.batches.last().map(|batch| batch.header().next_offset());
                self.end = last.unwrap_or(log.log_end_offset()).min(self.end);
                self.start = self.start.min(self.end);
            }
        }
        self.batches.retain(|batch| batch.header().last_offset() >= self.start);
    }

    fn push(&mut self, batch: Batch) {
        self.end = batch.header().next_offset();
        self.batches.push(batch);
    }

    fn truncate(&mut self, to: Offset) {
        if to >= self.end {
            return;
        }
        self.end = to;
        let cut = self.batches.iter().find(|batch| batch.header().last_offset() >= to);
        if let Some(cut) = cut {
            self.end = cut.header().first_offset().min(to);
        }
        self.batches.retain(|batch| batch.header().last_offset() < to);
        self.start = self.start.min(self.end);
        self.epoch += 1;
    }

    async fn follow(&mut self, log: &Log, batches: &[(i32, usize)], gap: i64, cut: usize) {
        let mut bytes = Vec::new();
        let mut placed = Vec::new();
        let mut offset = self.end.plus(gap);
        for (count, size) in batches {
            let one = Batch::parse(batch(*count, *size, None)).expect("a batch");
            let one = one.placed(offset, LeaderEpoch::new(self.epoch));
            offset = one.header().next_offset();
            bytes.extend_from_slice(one.bytes());
            placed.push(one);
        }
        // The last one arrives in part, as a fetch may give it.
        if let Some(last) = placed.last()
            && cut > 0
        {
            let cut = cut.min(last.bytes().len());
            bytes.truncate(bytes.len() - cut);
            placed.pop();
        }
        let epoch = LeaderEpoch::new(self.epoch);
        let done = log.append_as_follower(bytes.into(), epoch).await.expect("appended");
        assert_eq!(done.is_some(), !placed.is_empty());
        placed.into_iter().for_each(|batch| self.push(batch));
    }

    async fn check(&self, log: &Log) {
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (self.start, self.end));
        let expected: Vec<Bytes> = self.batches.iter().map(|batch| batch.bytes().clone()).collect();
        assert_eq!(contents(log).await, expected);
        for batch in &self.batches {
            let epoch = log.epoch_for_offset(batch.header().last_offset());
            assert_eq!(epoch.map(LeaderEpoch::value), Some(batch.header().leader_epoch));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn log_holds_what_the_model_holds(steps in prop::collection::vec(step(), 1..60)) {
        block_on(async {
            let runtime = TokioRuntime::new();
            let at = Directory::new(&runtime);
            let (mut log, _) = open(&runtime, &at, OpenOptions::default()).await;
            let mut model =
                Model { batches: Vec::new(), start: Offset::ZERO, end: Offset::ZERO, epoch: 0 };
            for step in &steps {
                model.apply(&runtime, &at, &mut log, step).await;
                model.check(&log).await;
            }
        });
    }

    /// Batches of a producer that loses answers, repeats itself and skips: only what follows is appended, and only what is
    /// among the last five is recognised.
    #[test]
    fn producers_are_remembered_as_the_model_says(
        attempts in prop::collection::vec((0..2_i64, 0..8_u8, 1..4_i32), 1..60),
    ) {
        block_on(async {
            let runtime = TokioRuntime::new();
            let at = Directory::new(&runtime);
            let (log, _) = open(&runtime, &at, OpenOptions::default()).await;
            let mut producers = [Producer::default(), Producer::default()];
            for (id, kind, count) in attempts {
                let index = usize::from(id == 1);
                producers[index].attempt(&log, id, kind, count).await;
            }
        });
    }

    /// Any damage to the last segment leaves a beginning of the log, and never a panic.
    #[test]
    fn damage_leaves_a_beginning(
        damage in prop::collection::vec((0..10_000_u64, any::<u8>()), 1..20),
        garbage in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        block_on(async {
            let runtime = TokioRuntime::new();
            let at = Directory::new(&runtime);
            let before = fill(&runtime, &at).await;
            let name = last_segment(&runtime, &at.log()).await;
            let file = runtime.disk().open(&name, OpenMode::ReadWrite).await.expect("opened");
            let length = file.length().await.expect("length");
            for (place, byte) in damage {
                let place = place % length;
                file.write_all_at(&[IoSlice::new(&[byte])], place).await.expect("written");
            }
            file.write_all_at(&[IoSlice::new(&garbage)], length).await.expect("written");
            let (log, _) = open(&runtime, &at, OpenOptions::default()).await;
            let found = contents(&log).await;
            assert!(found.len() <= before.len());
            for (found, before) in found.iter().zip(&before) {
                // The checksum covers all but offset, length, epoch and magic.
                assert_eq!(found[17..], before[17..]);
            }
            append_one(&log).await;
        });
    }
}

/// A producer as the broker should know it.
#[derive(Default)]
struct Producer {
    epoch: i16,
    next: i32,
    /// First sequence, count and base offset of the last five batches.
    recent: VecDeque<(i32, i32, Offset)>,
    is_known: bool,
}

impl Producer {
    async fn attempt(&mut self, log: &Log, id: i64, kind: u8, count: i32) {
        let send = |epoch, sequence, count| {
            let bytes = batch(count, 10, Some((id, epoch, sequence)));
            log.append_as_leader(bytes, CLIENT, LeaderEpoch::ZERO, Timestamp(0))
        };
        match kind {
            0..=3 => {
                let end = log.log_end_offset();
                let done = send(self.epoch, self.next, count).await.expect("it follows");
                assert!(!done.duplicate && done.first == end);
                self.recent.push_back((self.next, count, done.first));
                if self.recent.len() > 5 {
                    self.recent.pop_front();
                }
                self.next += count;
                self.is_known = true;
            }
            4 | 5 => {
                let Some((sequence, count, base)) = self.recent.get(usize::from(kind - 4)).copied()
                else {
                    return;
                };
                let done = send(self.epoch, sequence, count).await.expect("it is known");
                assert!(done.duplicate && done.first == base);
            }
            6 if self.is_known => {
                let error = send(self.epoch, self.next + 1, count).await.expect_err("a gap");
                assert_eq!(error.code(), ErrorCode::OutOfOrderSequenceNumber);
            }
            _ if self.is_known => {
                self.epoch += 1;
                self.next = 0;
                let error = send(self.epoch, 3, 1).await.expect_err("a new epoch begins at 0");
                assert_eq!(error.code(), ErrorCode::OutOfOrderSequenceNumber);
                let done = send(self.epoch, 0, 1).await.expect("a new epoch");
                let error = send(self.epoch - 1, 100, 1).await.expect_err("fenced");
                assert_eq!(error.code(), ErrorCode::InvalidProducerEpoch);
                self.recent = VecDeque::from([(0, 1, done.first)]);
                self.next = 1;
            }
            _ => {}
        }
    }
}

/// Fills a log with a few segments, and leaves it as a crash would.
async fn fill(runtime: &TokioRuntime, at: &Directory) -> Vec<Bytes> {
    let (log, _) = open(runtime, at, OpenOptions::default()).await;
    for number in 0..14 {
        let producer = (number == 0).then_some((7, 0, i32::MAX));
        let bytes = batch(number % 3 + 1, 100, producer);
        let done = log.append_as_leader(bytes, CLIENT, LeaderEpoch::ZERO, Timestamp(0)).await;
        done.expect("appended");
    }
    contents(&log).await
}

/// Appends as the leader of a new epoch. Damage may have left a batch that claims a higher one (no checksum covers it): that
/// must not keep the true leader from writing.
async fn append_one(log: &Log) {
    let end = log.log_end_offset();
    assert_eq!(log.begin_epoch(LeaderEpoch::new(1)).await, end);
    let bytes = batch(1, 10, None);
    let done = log.append_as_leader(bytes, CLIENT, LeaderEpoch::new(1), Timestamp(0)).await;
    assert_eq!(done.map_err(|error: AppendError| error.to_string()).expect("appended").first, end);
    let found = log.read_bytes(end, 1).await.expect("readable");
    assert_eq!(Batch::parse(found).expect("a batch").header().first_offset(), end);
}

async fn last_segment(runtime: &TokioRuntime, path: &Path) -> PathBuf {
    let entries = runtime.disk().list(path).await.expect("listed");
    let last = entries.iter().rfind(|entry| entry.name.ends_with(".log")).expect("a segment");
    path.join(&last.name)
}

async fn copy(runtime: &TokioRuntime, from: &Path, to: &Path) {
    runtime.disk().create_directory(to).await.expect("made");
    for entry in runtime.disk().list(from).await.expect("listed") {
        let file = runtime.disk().open(&from.join(&entry.name), OpenMode::Read).await;
        let bytes = file.expect("opened").read_all(1 << 20).await.expect("read");
        let copy = runtime.disk().open(&to.join(&entry.name), OpenMode::Create).await;
        copy.expect("made").write_all_at(&[IoSlice::new(&bytes)], 0).await.expect("written");
    }
}

#[test]
fn every_prefix_of_the_last_segment_and_its_indexes_is_recovered() {
    block_on(async {
        let runtime = TokioRuntime::new();
        let at = Directory::new(&runtime);
        let before = fill(&runtime, &at).await;
        let name = last_segment(&runtime, &at.log()).await;
        let mut seen = 0;
        for suffix in ["log", "index", "timeindex"] {
            let path = name.with_extension(suffix);
            let file = runtime.disk().open(&path, OpenMode::Read).await.expect("opened");
            let length = file.length().await.expect("length");
            for cut in 0..=length {
                let crashed = Directory::new(&runtime);
                copy(&runtime, &at.log(), &crashed.log()).await;
                let path = crashed.log().join(path.file_name().expect("a name"));
                let file = runtime.disk().open(&path, OpenMode::ReadWrite).await.expect("opened");
                file.set_length(cut).await.expect("cut");
                let (log, _) = open(&runtime, &crashed, OpenOptions::default()).await;
                let found = contents(&log).await;
                assert!(before.starts_with(&found), "{suffix} cut at {cut}");
                // Only whole batches are lost, and no more than were cut.
                let bytes =
                    |batches: &[Bytes]| batches.iter().map(Bytes::len).sum::<usize>() as u64;
                let lost = if suffix == "log" { length - cut } else { 0 };
                let kept = bytes(&before) - lost;
                assert!(bytes(&found) <= kept || lost == 0);
                let next = before.get(found.len()).map_or(u64::MAX, |next| next.len() as u64);
                assert!(bytes(&found).saturating_add(next) > kept, "{suffix} cut at {cut}");
                append_one(&log).await;
                seen += 1;
            }
        }
        assert!(seen > 500, "only {seen} crashes");
    });
}
