//! The coordinator as others see it, over a partition in memory.
#![expect(clippy::disallowed_methods, reason = "tests run on tokio with a paused clock")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::{
    CommitPartition, CommitRequest, CommitTopic, FetchRequest, GroupCoordinator, GroupSettings,
    JoinOutcome, JoinRequest, Joined, MemberIdentity, PartitionWriter, Protocol, ReadBatches,
    SyncRequest, TransactionalCommitRequest,
};
use crate::environment::tokio::TokioRuntime;
use crate::model::{
    ErrorCode, GroupId, LeaderEpoch, MemberId, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    Timestamp, TopicName,
};
use crate::record::{Batch, Builder, Compression, EndTransactionMarker};

/// Partitions in memory, with faults.
#[derive(Clone, Default)]
struct MemoryWriter(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    partitions: BTreeMap<PartitionIndex, Partition>,
    /// Appends of these partitions do not end.
    stalled: BTreeSet<PartitionIndex>,
    /// Nothing gets committed.
    is_commit_held: bool,
    /// The next append fails.
    failure: Option<ErrorCode>,
    /// Reads fail as long.
    failing_reads: u32,
    /// How often somebody has read.
    reads: u32,
}

#[derive(Default)]
struct Partition {
    batches: Vec<Batch>,
    end: i64,
    high_watermark: i64,
    is_lost: bool,
}

impl MemoryWriter {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.0.state.lock().unwrap());
        self.0.changed.notify_waiters();
        result
    }

    /// Waits until `look` gives something.
    async fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.0.changed.notified();
            if let Some(found) = look(&mut self.0.state.lock().unwrap()) {
                return found;
            }
            changed.await;
        }
    }

    fn batch_count(&self, partition: PartitionIndex) -> usize {
        self.with(|state| state.partitions.entry(partition).or_default().batches.len())
    }
}

impl PartitionWriter for MemoryWriter {
    async fn append(
        &self,
        partition: PartitionIndex,
        epoch: LeaderEpoch,
        batch: Bytes,
    ) -> Result<(Offset, Offset), ErrorCode> {
        self.wait(|state| (!state.stalled.contains(&partition)).then_some(())).await;
        self.with(|state| {
            if let Some(error) = state.failure.take() {
                return Err(error);
            }
            let is_held = state.is_commit_held;
            let log = state.partitions.entry(partition).or_default();
            let batch = Batch::parse(batch).unwrap();
            batch.verify_crc().unwrap();
            let placed = batch.placed(Offset::new(log.end), epoch);
            let last = placed.header().last_offset();
            let first = Offset::new(log.end);
            log.end = last.value() + 1;
            if !is_held {
                log.high_watermark = log.end;
            }
            log.batches.push(placed);
            Ok((first, last))
        })
    }

    async fn committed(
        &self,
        partition: PartitionIndex,
        _epoch: LeaderEpoch,
        offset: Offset,
    ) -> Result<Offset, ErrorCode> {
        self.wait(|state| {
            let is_held = state.is_commit_held;
            let log = state.partitions.entry(partition).or_default();
            if log.is_lost {
                return Some(Err(ErrorCode::NotLeaderOrFollower));
            }
            if !is_held {
                log.high_watermark = log.end;
            }
            (log.high_watermark > offset.value()).then(|| Ok(Offset::new(log.high_watermark)))
        })
        .await
    }

    async fn read(
        &self,
        partition: PartitionIndex,
        _epoch: LeaderEpoch,
        from: Offset,
        max_bytes: usize,
    ) -> Result<ReadBatches, ErrorCode> {
        self.with(|state| {
            state.reads += 1;
            assert!(state.reads < 1_000, "a load goes to and fro");
            if state.failing_reads > 0 {
                state.failing_reads -= 1;
                return Err(ErrorCode::KafkaStorageError);
            }
            let log = state.partitions.entry(partition).or_default();
            let mut bytes = BytesMut::new();
            let mut is_end = true;
            // As a log does: from the place where the offset is on, whatever comes then.
            for batch in log.batches.iter().skip_while(|batch| batch.header().last_offset() < from)
            {
                if !bytes.is_empty() && bytes.len() + batch.bytes().len() > max_bytes {
                    is_end = false;
                    break;
                }
                bytes.extend_from_slice(batch.bytes());
            }
            Ok(ReadBatches { batches: bytes.freeze(), is_end })
        })
    }
}

type Coordinator = GroupCoordinator<TokioRuntime>;

const EPOCH: LeaderEpoch = LeaderEpoch::new(1);

fn group() -> GroupId {
    GroupId::from("g")
}

fn coordinator(writer: &MemoryWriter) -> Coordinator {
    let settings = GroupSettings {
        initial_rebalance_delay_ms: 0,
        load_buffer_bytes: 150,
        ..GroupSettings::default()
    };
    Coordinator::start(TokioRuntime::new(), writer.clone(), settings)
}

async fn elected(writer: &MemoryWriter) -> Coordinator {
    let coordinator = coordinator(writer);
    coordinator.elected(coordinator.partition_for(&group()), EPOCH).await;
    loaded(&coordinator).await;
    coordinator
}

async fn loaded(coordinator: &Coordinator) {
    while coordinator.list(&[], &[]).await == Err(ErrorCode::CoordinatorLoadInProgress) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn commit(offset: i64) -> CommitRequest {
    CommitRequest {
        member: MemberIdentity::default(),
        generation: None,
        retention_ms: None,
        knows_group_id_not_found: true,
        topics: vec![topic(offset)],
    }
}

fn topic(offset: i64) -> CommitTopic {
    CommitTopic {
        topic: "t".into(),
        topic_id: None,
        partitions: vec![CommitPartition {
            partition: PartitionIndex(0),
            offset,
            leader_epoch: None,
            metadata: String::new(),
        }],
    }
}

fn all(code: ErrorCode) -> Vec<(TopicName, Vec<(PartitionIndex, ErrorCode)>)> {
    vec![("t".into(), vec![(PartitionIndex(0), code)])]
}

async fn fetch(coordinator: &Coordinator) -> Result<Option<i64>, ErrorCode> {
    let topics = Some(vec![("t".into(), vec![PartitionIndex(0)])]);
    let fetched =
        coordinator.fetch_offsets(group(), FetchRequest { topics, require_stable: true }).await?;
    let partition = &fetched[0].partitions[0];
    if partition.error == ErrorCode::None { Ok(partition.offset) } else { Err(partition.error) }
}

fn join(member_id: Option<MemberId>) -> JoinRequest {
    JoinRequest {
        client_id: "c".into(),
        client_host: "/h".into(),
        member_id,
        instance_id: None,
        protocol_type: "consumer".into(),
        protocols: vec![Protocol { name: "range".into(), metadata: Bytes::new() }],
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        must_know_member_id: true,
        can_skip_assignment: true,
        reason: None,
    }
}

async fn joined(coordinator: &Coordinator) -> Joined {
    let Ok(JoinOutcome::MemberIdRequired(id)) = coordinator.join(group(), join(None)).await else {
        panic!("a new member is told its id first")
    };
    match coordinator.join(group(), join(Some(id))).await {
        Ok(JoinOutcome::Joined(joined)) => joined,
        other => panic!("{other:?}"),
    }
}

fn sync(joined: &Joined) -> SyncRequest {
    SyncRequest {
        member: identity(joined),
        generation: Some(joined.generation),
        protocol_type: None,
        protocol_name: None,
        assignments: vec![(joined.member_id.clone(), Bytes::from_static(b"work"))],
    }
}

fn identity(joined: &Joined) -> MemberIdentity {
    MemberIdentity { member_id: Some(joined.member_id.clone()), instance_id: None }
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_is_found_by_the_next_coordinator() {
    let writer = MemoryWriter::default();
    let first = elected(&writer).await;
    let member = joined(&first).await;
    let synced = first.sync(group(), sync(&member)).await.unwrap();
    assert_eq!(&synced.assignment[..], b"work");
    for offset in 0..20 {
        let request = CommitRequest {
            member: identity(&member),
            generation: Some(member.generation),
            ..commit(offset)
        };
        assert_eq!(first.commit_offsets(group(), request).await, Ok(all(ErrorCode::None)));
    }

    let second = elected(&writer).await;
    assert_eq!(fetch(&second).await, Ok(Some(19)));
    assert_eq!(second.heartbeat(group(), identity(&member), Some(member.generation)).await, Ok(()));
    assert_eq!(second.sync(group(), sync(&member)).await.unwrap().assignment, synced.assignment);
}

#[tokio::test(start_paused = true)]
async fn a_group_with_more_offsets_than_a_batch_holds_is_deleted_whole() {
    let writer = MemoryWriter::default();
    let coordinator = elected(&writer).await;
    for first in (0..60_000).step_by(5_000) {
        let partitions = (first..first + 5_000).map(|index| CommitPartition {
            partition: PartitionIndex(index),
            offset: 1,
            leader_epoch: None,
            metadata: String::new(),
        });
        let topic = CommitTopic { partitions: partitions.collect(), ..topic(1) };
        let request = CommitRequest { topics: vec![topic], ..commit(1) };
        coordinator.commit_offsets(group(), request).await.unwrap();
    }
    let partition = coordinator.partition_for(&group());
    let before = writer.batch_count(partition);
    assert_eq!(coordinator.delete(group()).await, Ok(()));
    let sizes: Vec<usize> = writer.with(|state| {
        let batches = &state.partitions[&partition].batches[before..];
        batches.iter().map(|batch| batch.bytes().len()).collect()
    });
    assert!(sizes.len() > 1 && sizes.iter().all(|size| *size <= 1_048_588), "{sizes:?}");
    let next = elected(&writer).await;
    assert_eq!(next.list(&[], &[]).await, Ok(vec![]));
    assert_eq!(fetch(&next).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn batches_are_written_with_the_codec_that_is_set_and_read_with_any() {
    let writer = MemoryWriter::default();
    let settings = GroupSettings { compression: Compression::Gzip, ..GroupSettings::default() };
    let first = Coordinator::start(TokioRuntime::new(), writer.clone(), settings);
    let partition = first.partition_for(&group());
    first.elected(partition, EPOCH).await;
    loaded(&first).await;
    first.commit_offsets(group(), commit(7)).await.unwrap();
    let codec = writer.with(|state| {
        let batch = state.partitions[&partition].batches.last().cloned();
        batch.map(|batch| batch.header().compression())
    });
    assert_eq!(codec, Some(Ok(Compression::Gzip)));
    assert_eq!(fetch(&elected(&writer).await).await, Ok(Some(7)));
}

#[tokio::test(start_paused = true)]
async fn who_asks_the_wrong_broker_is_told_so() {
    let writer = MemoryWriter::default();
    let coordinator = coordinator(&writer);
    assert_eq!(fetch(&coordinator).await, Err(ErrorCode::NotCoordinator));
    assert_eq!(coordinator.list(&[], &[]).await, Ok(vec![]));

    let partition = coordinator.partition_for(&group());
    writer.with(|state| state.failing_reads = 3);
    coordinator.elected(partition, EPOCH).await;
    assert_eq!(fetch(&coordinator).await, Err(ErrorCode::CoordinatorLoadInProgress));
    assert_eq!(coordinator.heartbeat(group(), MemberIdentity::default(), None).await, Ok(()));
    loaded(&coordinator).await;
    assert_eq!(fetch(&coordinator).await, Ok(None));

    coordinator.resigned(partition, Some(LeaderEpoch::ZERO)).await;
    assert_eq!(fetch(&coordinator).await, Ok(None), "news of an older epoch");
    coordinator.resigned(partition, Some(LeaderEpoch::new(2))).await;
    assert_eq!(fetch(&coordinator).await, Err(ErrorCode::NotCoordinator));
    coordinator.shutdown().await;
    assert_eq!(fetch(&coordinator).await, Err(ErrorCode::NotCoordinator));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_nobody_wants_any_more_ends() {
    let writer = MemoryWriter::default();
    let coordinator = coordinator(&writer);
    let partition = coordinator.partition_for(&group());
    writer.with(|state| state.failing_reads = 1_000);
    coordinator.elected(partition, EPOCH).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    coordinator.resigned(partition, None).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let left = writer.with(|state| state.failing_reads);
    assert!(left < 1_000, "it was tried");
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(writer.with(|state| state.failing_reads), left);
    assert_eq!(fetch(&coordinator).await, Err(ErrorCode::NotCoordinator));
}

#[tokio::test(start_paused = true)]
async fn nothing_uncommitted_is_shown() {
    let writer = MemoryWriter::default();
    let coordinator = elected(&writer).await;
    coordinator.commit_offsets(group(), commit(1)).await.unwrap();
    writer.with(|state| state.is_commit_held = true);
    let committing = tokio::spawn({
        let coordinator = coordinator.clone();
        async move { coordinator.commit_offsets(group(), commit(2)).await }
    });
    while writer.batch_count(coordinator.partition_for(&group())) < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let fetching = tokio::spawn({
        let coordinator = coordinator.clone();
        async move { fetch(&coordinator).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!committing.is_finished() && !fetching.is_finished());
    writer.with(|state| state.is_commit_held = false);
    assert_eq!(committing.await.unwrap(), Ok(all(ErrorCode::None)));
    assert_eq!(fetching.await.unwrap(), Ok(Some(2)));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_committed_in_time_is_answered_with_an_error_clients_retry_on() {
    let writer = MemoryWriter::default();
    let coordinator = elected(&writer).await;
    writer.with(|state| state.is_commit_held = true);
    let (committed, fetched) =
        tokio::join!(coordinator.commit_offsets(group(), commit(2)), fetch(&coordinator));
    assert_eq!(committed, Err(ErrorCode::CoordinatorNotAvailable));
    // The fetch may have been asked before the commit was appended; then it shows nothing.
    assert!(matches!(fetched, Ok(None) | Err(ErrorCode::NotCoordinator)), "{fetched:?}");
    assert_eq!(fetch(&coordinator).await, Err(ErrorCode::NotCoordinator));
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_shows_what_its_predecessor_may_have_acknowledged_only_once_it_is_committed() {
    let writer = MemoryWriter::default();
    elected(&writer).await.commit_offsets(group(), commit(7)).await.unwrap();
    let second = coordinator(&writer);
    let partition = second.partition_for(&group());
    writer.with(|state| {
        state.is_commit_held = true;
        state.partitions.get_mut(&partition).unwrap().high_watermark = 0;
    });
    second.elected(partition, LeaderEpoch::new(2)).await;
    let fetching = tokio::spawn({
        let second = second.clone();
        async move {
            loop {
                match fetch(&second).await {
                    Err(ErrorCode::CoordinatorLoadInProgress) => {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    other => return other,
                }
            }
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!fetching.is_finished());
    writer.with(|state| state.is_commit_held = false);
    assert_eq!(fetching.await.unwrap(), Ok(Some(7)));
}

#[tokio::test(start_paused = true)]
async fn an_append_that_fails_leaves_no_trace() {
    let writer = MemoryWriter::default();
    let coordinator = elected(&writer).await;
    coordinator.commit_offsets(group(), commit(1)).await.unwrap();
    let check = async |failure, expected| {
        writer.with(|state| state.failure = Some(failure));
        assert_eq!(coordinator.commit_offsets(group(), commit(2)).await, Err(expected));
        assert_eq!(fetch(&coordinator).await, Ok(Some(1)));
    };
    check(ErrorCode::NotEnoughReplicas, ErrorCode::CoordinatorNotAvailable).await;
    check(ErrorCode::NotLeaderOrFollower, ErrorCode::NotCoordinator).await;
    check(ErrorCode::MessageTooLarge, ErrorCode::UnknownServerError).await;
    assert_eq!(coordinator.commit_offsets(group(), commit(3)).await, Ok(all(ErrorCode::None)));
}

#[tokio::test(start_paused = true)]
async fn a_lost_leadership_answers_all_who_wait() {
    let writer = MemoryWriter::default();
    let coordinator = elected(&writer).await;
    let partition = coordinator.partition_for(&group());
    let member = joined(&coordinator).await;
    coordinator.sync(group(), sync(&member)).await.unwrap();
    let waiting = tokio::spawn({
        let coordinator = coordinator.clone();
        async move { joined(&coordinator).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished(), "the new member waits for the old one");
    writer.with(|state| {
        state.is_commit_held = true;
        state.partitions.get_mut(&partition).unwrap().is_lost = true;
    });
    let request = CommitRequest {
        member: identity(&member),
        generation: Some(member.generation),
        ..commit(1)
    };
    assert_eq!(coordinator.commit_offsets(group(), request).await, Err(ErrorCode::NotCoordinator));
    assert!(waiting.await.is_err(), "its join was answered with an error");
    assert_eq!(fetch(&coordinator).await, Err(ErrorCode::NotCoordinator));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_append_holds_up_its_own_shard_only() {
    let writer = MemoryWriter::default();
    let coordinator = elected(&writer).await;
    let stalled = coordinator.partition_for(&group());
    let other = GroupId::from("another");
    let beside = coordinator.partition_for(&other);
    assert_ne!(stalled, beside);
    coordinator.elected(beside, EPOCH).await;
    loaded(&coordinator).await;
    writer.with(|state| {
        state.stalled.insert(stalled);
    });
    let commits: Vec<_> = (0..50)
        .map(|offset| {
            let coordinator = coordinator.clone();
            tokio::spawn(async move { coordinator.commit_offsets(group(), commit(offset)).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(coordinator.commit_offsets(other, commit(1)).await, Ok(all(ErrorCode::None)));
    assert_eq!(writer.batch_count(stalled), 0);
    writer.with(|state| state.stalled.clear());
    for commit in commits {
        assert_eq!(commit.await.unwrap(), Ok(all(ErrorCode::None)));
    }
    assert_eq!(fetch(&coordinator).await, Ok(Some(49)));
    assert!(writer.batch_count(stalled) <= 3, "commits that wait together are written together");
}

#[tokio::test(start_paused = true)]
async fn timeouts_fire_without_requests() {
    let writer = MemoryWriter::default();
    let coordinator = elected(&writer).await;
    let member = joined(&coordinator).await;
    coordinator.sync(group(), sync(&member)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    let heartbeat =
        coordinator.heartbeat(group(), identity(&member), Some(member.generation)).await;
    assert_eq!(heartbeat, Err(ErrorCode::UnknownMemberId));
    let description = coordinator.describe(group()).await.unwrap().unwrap();
    assert_eq!((description.state.name(), description.members.len()), ("Empty", 0));
}

#[tokio::test(start_paused = true)]
async fn offsets_of_a_transaction_count_when_its_marker_is_committed() {
    let writer = MemoryWriter::default();
    let coordinator = elected(&writer).await;
    let partition = coordinator.partition_for(&group());
    let producer = (ProducerId(9), ProducerEpoch(0));
    let request = |offset| TransactionalCommitRequest {
        producer_id: producer.0,
        producer_epoch: producer.1,
        member: MemberIdentity::default(),
        generation: None,
        topics: vec![topic(offset)],
    };
    let end = async |is_commit| {
        let marker = EndTransactionMarker { is_commit, coordinator_epoch: 0 };
        assert_eq!(coordinator.end_transaction(partition, producer, marker).await, Ok(()));
    };
    coordinator.commit_transactional_offsets(group(), request(5)).await.unwrap();
    assert_eq!(fetch(&coordinator).await, Err(ErrorCode::UnstableOffsetCommit));
    end(true).await;
    assert_eq!(fetch(&coordinator).await, Ok(Some(5)));
    coordinator.commit_transactional_offsets(group(), request(6)).await.unwrap();
    end(false).await;
    coordinator.commit_transactional_offsets(group(), request(8)).await.unwrap();

    let second = elected(&writer).await;
    assert_eq!(fetch(&second).await, Err(ErrorCode::UnstableOffsetCommit));
    let marker = EndTransactionMarker { is_commit: true, coordinator_epoch: 0 };
    assert_eq!(second.end_transaction(partition, producer, marker).await, Ok(()));
    let third = elected(&writer).await;
    assert_eq!(fetch(&third).await, Ok(Some(8)));
}

#[tokio::test(start_paused = true)]
async fn damaged_records_do_not_stop_a_load() {
    let writer = MemoryWriter::default();
    let coordinator = coordinator(&writer);
    let partition = coordinator.partition_for(&group());
    let mut builder = Builder::new(Offset::ZERO, None, Compression::None);
    let now = Timestamp(0);
    builder.append(now, Some(b"\x00\x63future"), Some(b"x"), &[]);
    builder.append(now, Some(b"\x00"), Some(b"x"), &[]);
    builder.append(now, None, Some(b"x"), &[]);
    builder.append(
        now,
        Some(b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x00"),
        Some(b"\x00\x7f"),
        &[],
    );
    let value =
        b"\x00\x01\0\0\0\0\0\0\0\x05\x00\x01m\0\0\0\0\0\0\0\x09\xff\xff\xff\xff\xff\xff\xff\xff";
    builder.append(now, Some(b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x00"), Some(value), &[]);
    writer.append(partition, EPOCH, builder.build().unwrap()).await.unwrap();
    coordinator.elected(partition, EPOCH).await;
    loaded(&coordinator).await;
    assert_eq!(fetch(&coordinator).await, Ok(Some(5)));
}

/// As one would be that damage has put in disorder: what is read from 4 on ends before 4.
#[tokio::test(start_paused = true)]
async fn a_load_does_not_go_to_and_fro_in_a_log_out_of_order() {
    let writer = MemoryWriter::default();
    let coordinator = coordinator(&writer);
    let partition = coordinator.partition_for(&group());
    let batch = |base| {
        let mut builder = Builder::new(Offset::new(base), None, Compression::None);
        builder.append(Timestamp(0), Some(b"\x00\x63"), None, &[]);
        Batch::parse(builder.build().unwrap()).unwrap()
    };
    writer.with(|state| {
        let log = state.partitions.entry(partition).or_default();
        log.batches = vec![batch(10), batch(3), batch(11)];
        (log.end, log.high_watermark) = (12, 12);
    });
    coordinator.elected(partition, EPOCH).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(fetch(&coordinator).await, Err(ErrorCode::CoordinatorLoadInProgress));
    assert!((3..100).contains(&writer.with(|state| state.reads)), "it tries again now and then");
}

#[tokio::test(start_paused = true)]
async fn offsets_of_deleted_topics_are_gone_however_many_there_are() {
    let writer = MemoryWriter::default();
    let coordinator = elected(&writer).await;
    let note = "x".repeat(1_000);
    let partitions: Vec<_> = (0..20_000)
        .map(|index| CommitPartition {
            partition: PartitionIndex(index),
            offset: 1,
            leader_epoch: None,
            metadata: if index == 0 { note.clone() } else { String::new() },
        })
        .collect();
    for some in partitions.chunks(5_000) {
        let topics =
            vec![CommitTopic { topic: "t".into(), topic_id: None, partitions: some.to_vec() }];
        let request = CommitRequest { topics, ..commit(0) };
        coordinator.commit_offsets(group(), request).await.unwrap();
    }
    assert_eq!(fetch(&coordinator).await, Ok(Some(1)));
    coordinator.on_topics_deleted([TopicName::from("t")].into()).await.unwrap();
    assert_eq!(fetch(&coordinator).await, Ok(None));
    let everything = FetchRequest { topics: None, require_stable: false };
    assert_eq!(coordinator.fetch_offsets(group(), everything).await, Ok(vec![]));
}
