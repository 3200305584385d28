use std::collections::BTreeMap;
use std::io;

use super::*;
use crate::log::{Fault, LogDirectory, LogManager};
use crate::metadata::{CommittedBatch, MetadataChanges, MetadataImage, MetadataLoader};
use crate::model::{ClusterId, ErrorCode};
use crate::protocol::internal_records::metadata::{
    ConfigRecord, MetadataRecord, RemoveTopicRecord, TopicRecord,
};
use crate::replication::{Options, ReplicaManager, SettingsOf};

/// Topics may set `flush.messages`.
struct FlushMessages;

impl SettingsOf for FlushMessages {
    fn settings_of(&self, image: &MetadataImage, topic: &str) -> Settings {
        let nothing = BTreeMap::new();
        let set = image.configurations().topic(topic).map_or(&nothing, |entries| entries);
        let flush_messages = set.get("flush.messages").map(|text| text.parse().unwrap());
        Settings { flush_messages, ..Settings::default() }
    }
}

/// A node's replicas, and the metadata log they follow.
struct Node {
    _home: Directory,
    replicas: ReplicaManager<TokioRuntime>,
    loader: MetadataLoader,
}

impl Node {
    async fn start(directories: usize) -> Self {
        let runtime = TokioRuntime::new();
        let home = Directory::new(&runtime);
        let mut online = Vec::new();
        for number in 0..directories {
            let path = home.0.join(format!("d{number}"));
            let cluster = ClusterId::from("MkU3OEVBNTcwNTJENDM2Qk");
            LogDirectory::format(&runtime, &path, &cluster, OURS).await.unwrap();
            online.push(LogDirectory::open(runtime.clone(), path, None, OURS).await.unwrap());
        }
        let logs = LogManager::open(runtime.clone(), online, 2, |_| Settings::default()).await;
        let lag_time_max = Duration::from_secs(30);
        let options = Options { node: OURS, lag_time_max, fetch: fetch_options() };
        let replicas = ReplicaManager::new(runtime, options, logs, Box::new(FlushMessages));
        replicas.registered(BrokerEpoch(1));
        Self { _home: home, replicas, loader: MetadataLoader::new() }
    }

    /// Lets the cluster say this, without anybody following yet.
    fn commit(&mut self, records: &[MetadataRecord]) -> (MetadataImage, MetadataChanges) {
        let base_offset = self.loader.next_offset();
        let last_offset = base_offset.plus(i64::try_from(records.len()).unwrap() - 1);
        let records = records.iter().map(|record| record.encode_at(33).unwrap()).collect();
        let (epoch, append_time) = (LeaderEpoch::new(1), Timestamp(0));
        let batch = CommittedBatch { base_offset, last_offset, epoch, append_time, records };
        let published = self.loader.load_batch(&batch).unwrap();
        (published.image, published.changes)
    }

    async fn follow(&mut self, records: Vec<MetadataRecord>) {
        let (image, changes) = self.commit(&records);
        self.replicas.apply(&image, &changes).await;
        self.replicas.refresh_settings(&image);
    }

    fn partition(&self, name: &str, index: i32) -> Result<Arc<Partition<TokioRuntime>>, ErrorCode> {
        self.replicas.partition(&TopicKey::Name(TopicName::from(name)), PartitionIndex(index))
    }

    fn code(&self, name: &str, index: i32) -> ErrorCode {
        let found = self.partition(name, index).and_then(|found| found.leading_epoch());
        found.err().unwrap_or(ErrorCode::None)
    }

    fn code_by_id(&self, number: u128) -> ErrorCode {
        let found = self.replicas.partition(&TopicKey::Id(topic_id(number)), PartitionIndex(0));
        found.err().unwrap_or(ErrorCode::None)
    }

    async fn append(&self, name: &str, index: i32) -> Offset {
        let partition = self.partition(name, index).unwrap();
        let bytes = batch(&[1]);
        let appended = partition.append_as_leader(bytes, CLIENT, Acks::All, None, Timestamp(5));
        appended.await.unwrap().first
    }
}

/// A topic with one partition for each list of replicas.
fn topic(number: u128, name: &str, replicas: &[&[i32]]) -> Vec<MetadataRecord> {
    let topic_id = topic_id(number);
    let made: MetadataRecord = TopicRecord { name: TopicName::from(name), topic_id }.into();
    let partitions = replicas.iter().zip(0..).map(|(replicas, index)| {
        registration(replicas, replicas, 0).to_record(topic_id, PartitionIndex(index)).into()
    });
    std::iter::once(made).chain(partitions).collect()
}

fn remove(number: u128) -> Vec<MetadataRecord> {
    vec![RemoveTopicRecord { topic_id: topic_id(number) }.into()]
}

#[tokio::test]
async fn a_partition_is_found_by_name_and_id_and_its_absence_has_its_own_code() {
    let mut node = Node::start(1).await;
    assert_eq!(node.code("a", 0), ErrorCode::UnknownTopicOrPartition);
    node.follow(topic(1, "a", &[&[1], &[2]])).await;
    assert_eq!(node.code("a", 0), ErrorCode::None);
    assert_eq!(node.code("a", 1), ErrorCode::NotLeaderOrFollower);
    assert_eq!(node.code("a", 2), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(node.code_by_id(1), ErrorCode::None);
    assert_eq!(node.code_by_id(2), ErrorCode::UnknownTopicId);
    assert_eq!(node.replicas.partitions().len(), 1);
}

#[tokio::test]
async fn a_topic_that_goes_is_unknown_and_never_a_failed_disk() {
    let mut node = Node::start(1).await;
    node.follow(topic(1, "a", &[&[1]])).await;
    node.append("a", 0).await;
    let held = node.partition("a", 0).unwrap();
    let (image, changes) = node.commit(&remove(1));
    let (replicas, mut seen) = (&node.replicas, Vec::new());
    let mut applying = Box::pin(replicas.apply(&image, &changes));
    // Whatever moment somebody looks at: it is there, or it is not.
    while futures_util::poll!(&mut applying).is_pending() {
        seen.push(node.code("a", 0));
        tokio::task::yield_now().await;
    }
    seen.push(node.code("a", 0));
    assert!(seen.iter().all(|code| *code == ErrorCode::UnknownTopicOrPartition), "{seen:?}");
    assert_eq!(node.code_by_id(1), ErrorCode::UnknownTopicId);
    assert_eq!(held.leading_epoch(), Err(ErrorCode::UnknownTopicOrPartition));
}

#[tokio::test]
async fn a_topic_made_anew_under_its_name_begins_empty() {
    let mut node = Node::start(1).await;
    node.follow(topic(1, "a", &[&[1]])).await;
    assert_eq!(node.append("a", 0).await, at(0));
    assert_eq!(node.append("a", 0).await, at(1));
    // Both in one step, as when a node catches up.
    node.follow(remove(1).into_iter().chain(topic(2, "a", &[&[1]])).collect()).await;
    assert_eq!(node.append("a", 0).await, at(0));
    assert_eq!(node.code_by_id(1), ErrorCode::UnknownTopicId);
    assert_eq!(node.code_by_id(2), ErrorCode::None);
}

#[tokio::test]
async fn a_failed_disk_takes_the_partitions_of_its_directory_and_no_others() {
    let mut node = Node::start(2).await;
    node.follow(topic(1, "a", &[&[1], &[1], &[1], &[1]])).await;
    let directory_of = |node: &Node, index: i32| {
        let wanted = TopicPartition::new("a", index);
        let logs = node.replicas.logs().logs();
        let found = logs.iter().find(|(log, _)| *log.topic_partition() == wanted);
        found.map(|(_, directory)| *directory)
    };
    let failed = directory_of(&node, 0);
    let with_it: Vec<i32> = (0..4).filter(|index| directory_of(&node, *index) == failed).collect();
    assert!(with_it.len() < 4, "logs lie in both directories");
    let path = std::path::Path::new("a-0");
    let fault = Fault::of("sync", path)(io::Error::other("the disk is gone"));
    node.replicas.handle_fault(&TopicPartition::new("a", 0), &fault);
    let failure = node.replicas.logs().next_failure().await;
    node.replicas.take_offline(&failure.partitions);
    for index in 0..4 {
        let expected =
            if with_it.contains(&index) { ErrorCode::KafkaStorageError } else { ErrorCode::None };
        assert_eq!(node.code("a", index), expected, "partition {index}");
    }
    // Who comes later finds the directory that is left.
    node.follow(topic(2, "b", &[&[1]])).await;
    assert_eq!(node.append("b", 0).await, at(0));
}

#[tokio::test]
async fn without_a_directory_that_works_a_new_partition_is_a_storage_error() {
    let mut node = Node::start(1).await;
    let directory = node.replicas.logs().directories()[0].id();
    node.replicas.logs().directory_failed(directory, "gone");
    node.follow(topic(1, "a", &[&[1], &[2]])).await;
    assert_eq!(node.code("a", 0), ErrorCode::KafkaStorageError);
    assert_eq!(node.code("a", 1), ErrorCode::NotLeaderOrFollower);
}

#[tokio::test]
async fn a_changed_setting_reaches_the_logs_of_its_topic() {
    let mut node = Node::start(1).await;
    node.follow(topic(1, "a", &[&[1]])).await;
    node.follow(topic(2, "b", &[&[1]])).await;
    let record = ConfigRecord {
        resource_type: 2,
        resource_name: "a".to_owned(),
        name: "flush.messages".to_owned(),
        value: Some("1".to_owned()),
    };
    node.follow(vec![record.into()]).await;
    let flush_messages =
        |name: &str| node.partition(name, 0).unwrap().log().settings().flush_messages;
    assert_eq!((flush_messages("a"), flush_messages("b")), (Some(1), None));
    node.append("a", 0).await;
    let log = Arc::clone(node.partition("a", 0).unwrap().log());
    assert_eq!(log.high_watermark(), at(0), "not before it is durable");
}

#[tokio::test]
async fn logs_of_unknown_topics_are_set_aside_and_known_ones_stay() {
    let mut node = Node::start(1).await;
    node.follow(topic(1, "a", &[&[1]])).await;
    let logs = Arc::clone(node.replicas.logs());
    let stray = TopicPartition::new("gone", 0);
    logs.get_or_create(&stray, Some(topic_id(9)), None, Settings::default()).await.unwrap();
    let (image, _) = node.commit(&topic(2, "b", &[&[1]]));
    node.replicas.set_strays_aside(&image).await;
    assert!(logs.log(&stray).is_none());
    assert!(logs.log(&TopicPartition::new("a", 0)).is_some());
}
