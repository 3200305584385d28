use bytes::Bytes;
use uuid::Uuid;

use super::{CommittedBatch, LoadError, MetadataLoader};
use crate::metadata::{MetadataImage, PartitionRegistration};
use crate::model::{
    BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, Offset, OffsetAndEpoch, PartitionIndex,
    ProducerId, Timestamp, TopicId, TopicName,
};
use crate::protocol::internal_records::metadata::{
    AbortTransactionRecord, AccessControlEntryRecord, BeginTransactionRecord,
    BrokerRegistrationChangeRecord, ClearElrRecord, ClientQuotaRecord, ConfigRecord,
    DelegationTokenRecord, EndTransactionRecord, Endpoint, FeatureLevelRecord, FeatureRange,
    LeaderChange, MetadataRecord, PartitionChangeRecord, ProducerIdsRecord, QuotaEntity,
    RegisterBrokerRecord, RegisterControllerRecord, RemoveTopicRecord, TopicRecord,
    UserScramCredentialRecord, ZkMigrationStateRecord,
};

const LEVEL: i16 = 33;

fn topic_id(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number + 1_000))
}

fn topic(number: u128, name: &str) -> MetadataRecord {
    TopicRecord { name: TopicName::from(name), topic_id: topic_id(number) }.into()
}

fn partition(topic: u128, index: i32) -> MetadataRecord {
    let nodes = vec![NodeId(1), NodeId(2)];
    let registration = PartitionRegistration {
        directories: vec![DirectoryId(Uuid::from_u128(201)), DirectoryId(Uuid::from_u128(202))],
        isr: nodes.clone(),
        eligible_leader_replicas: vec![NodeId(2)],
        replicas: nodes,
        leader: Some(NodeId(1)),
        ..PartitionRegistration::default()
    };
    registration.to_record(topic_id(topic), PartitionIndex(index)).into()
}

fn config(resource_type: i8, resource: &str, name: &str, value: Option<&str>) -> MetadataRecord {
    let record = ConfigRecord {
        resource_type,
        resource_name: resource.to_owned(),
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    record.into()
}

fn broker(id: i32, epoch: i64) -> MetadataRecord {
    let record = RegisterBrokerRecord {
        broker_id: NodeId(id),
        is_migrating_zk_broker: false,
        incarnation_id: Uuid::from_u128(77),
        broker_epoch: BrokerEpoch(epoch),
        end_points: vec![Endpoint {
            name: "PLAINTEXT".to_owned(),
            host: "localhost".to_owned(),
            port: 9092,
            security_protocol: 0,
        }],
        features: vec![FeatureRange {
            name: "metadata.version".to_owned(),
            min_supported_version: 7,
            max_supported_version: LEVEL,
        }],
        rack: Some("r".to_owned()),
        fenced: true,
        in_controlled_shutdown: false,
        log_dirs: vec![DirectoryId(Uuid::from_u128(201))],
        cordoned_log_dirs: None,
    };
    record.into()
}

fn begin() -> MetadataRecord {
    BeginTransactionRecord { name: None }.into()
}

fn encode(records: &[MetadataRecord]) -> Vec<Bytes> {
    records.iter().map(|record| record.encode_at(LEVEL).unwrap()).collect()
}

fn batch(base: i64, records: &[MetadataRecord]) -> CommittedBatch {
    CommittedBatch {
        base_offset: Offset::new(base),
        last_offset: Offset::new(base + i64::try_from(records.len()).unwrap() - 1),
        epoch: LeaderEpoch::new(3),
        append_time: Timestamp(1_000 + base),
        records: encode(records),
    }
}

/// One record of every kind that leaves a trace.
fn everything() -> Vec<MetadataRecord> {
    let mut unfence = BrokerRegistrationChangeRecord::new(NodeId(1), BrokerEpoch(3));
    unfence.fenced = Some(false);
    let mut change = PartitionChangeRecord::new(topic_id(1), PartitionIndex(0));
    change.leader = LeaderChange::Leader(NodeId(2));
    change.isr = Some(vec![NodeId(2)]);
    let mut records: Vec<MetadataRecord> = vec![
        FeatureLevelRecord { name: "metadata.version".to_owned(), feature_level: LEVEL }.into(),
        FeatureLevelRecord { name: "group.version".to_owned(), feature_level: 1 }.into(),
        ZkMigrationStateRecord { zk_migration_state: 3 }.into(),
        broker(1, 3),
        broker(2, 4),
        unfence.into(),
        RegisterControllerRecord {
            controller_id: NodeId(9),
            incarnation_id: Uuid::from_u128(5),
            zk_migration_ready: false,
            end_points: Vec::new(),
            features: Vec::new(),
        }
        .into(),
        topic(1, "a"),
        partition(1, 0),
        partition(1, 1),
        topic(2, "b.c"),
        partition(2, 0),
        change.into(),
        config(2, "a", "retention.ms", Some("1")),
        config(4, "", "min.insync.replicas", Some("1")),
        config(99, "odd", "x", Some("")),
        ProducerIdsRecord {
            broker_id: NodeId(1),
            broker_epoch: BrokerEpoch(3),
            next_producer_id: ProducerId(2_000),
        }
        .into(),
    ];
    records.extend(access());
    records
}

/// Records that no API serves yet.
fn access() -> Vec<MetadataRecord> {
    vec![
        AccessControlEntryRecord {
            id: Uuid::from_u128(6),
            resource_type: 2,
            resource_name: "a".to_owned(),
            pattern_type: 3,
            principal: "User:x".to_owned(),
            host: "*".to_owned(),
            operation: 3,
            permission_type: 3,
        }
        .into(),
        UserScramCredentialRecord {
            name: "x".to_owned(),
            mechanism: 1,
            salt: Bytes::from_static(b"s"),
            stored_key: Bytes::from_static(b"k"),
            server_key: Bytes::from_static(b"v"),
            iterations: 4096,
        }
        .into(),
        ClientQuotaRecord {
            entity: vec![QuotaEntity { entity_type: "user".to_owned(), entity_name: None }],
            key: "producer_byte_rate".to_owned(),
            value: 0.5,
            remove: false,
        }
        .into(),
        DelegationTokenRecord {
            owner: "o".to_owned(),
            requester: "r".to_owned(),
            renewers: vec!["n".to_owned()],
            issue_timestamp: Timestamp(1),
            max_timestamp: Timestamp(2),
            expiration_timestamp: Timestamp(3),
            token_id: "t".to_owned(),
        }
        .into(),
    ]
}

fn loaded(records: &[MetadataRecord]) -> MetadataImage {
    let mut loader = MetadataLoader::new();
    loader.load_batch(&batch(0, records)).unwrap().image
}

#[test]
fn an_image_written_as_a_snapshot_and_read_again_says_the_same() {
    let image = loaded(&everything());
    let mut loader = MetadataLoader::new();
    let end = OffsetAndEpoch { offset: Offset::new(21), epoch: LeaderEpoch::new(3) };
    let again = loader.load_snapshot(end, Timestamp(7), encode(&image.to_records())).unwrap().image;
    assert!(again.says_the_same_as(&image));
    assert_eq!(again.to_records(), image.to_records());
    assert_eq!(again.provenance().last.unwrap().offset, Offset::new(20));
    assert_eq!(loader.next_offset(), Offset::new(21));
}

#[test]
fn a_log_loads_to_the_same_image_however_it_is_cut_into_batches() {
    let records = everything();
    let whole = loaded(&records);
    let mut loader = MetadataLoader::new();
    for (offset, record) in (0..).zip(&records) {
        loader.load_batch(&batch(offset, std::slice::from_ref(record))).unwrap();
    }
    assert!(loader.image().says_the_same_as(&whole));
    assert_eq!(loader.image().provenance().last, whole.provenance().last);
}

#[test]
fn changes_tell_what_became_of_topics_brokers_and_configurations() {
    let mut loader = MetadataLoader::new();
    loader.load_batch(&batch(0, &everything())).unwrap();
    let mut change = PartitionChangeRecord::new(topic_id(1), PartitionIndex(1));
    change.isr = Some(vec![NodeId(1)]);
    let records = [
        change.into(),
        RemoveTopicRecord { topic_id: topic_id(2) }.into(),
        topic(3, "new"),
        partition(3, 0),
        topic(4, "came-and-went"),
        RemoveTopicRecord { topic_id: topic_id(4) }.into(),
        config(2, "a", "retention.ms", None),
        broker(2, 27),
    ];
    let changes = loader.load_batch(&batch(21, &records)).unwrap().changes;
    assert_eq!(changes.topics.len(), 3);
    assert_eq!(
        changes.topics[&topic_id(1)].partitions.iter().collect::<Vec<_>>(),
        [&PartitionIndex(1)]
    );
    let names = |topics: Vec<&str>| topics.join(",");
    assert_eq!(names(changes.created_topics().map(|topic| topic.name.as_str()).collect()), "new");
    assert_eq!(names(changes.deleted_topics().map(|topic| topic.name.as_str()).collect()), "b.c");
    assert_eq!(
        changes.configurations.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["a"]
    );
    assert_eq!(changes.brokers.iter().collect::<Vec<_>>(), [&NodeId(2)]);
    assert!(changes.controllers.is_empty() && changes.parts.is_empty());
    assert!(loader.load_batch(&batch(29, &[])).unwrap().changes.is_empty());
}

#[test]
fn a_deleted_topic_takes_its_configuration_with_it() {
    let mut loader = MetadataLoader::new();
    loader.load_batch(&batch(0, &everything())).unwrap();
    let remove = RemoveTopicRecord { topic_id: topic_id(1) }.into();
    let image = loader.load_batch(&batch(21, &[remove])).unwrap().image;
    assert!(image.configurations().topic("a").is_none());
    assert!(image.topics().by_name("a").is_none());
    assert!(image.topics().by_name("b.c").is_some());
}

#[test]
fn a_leader_named_again_raises_the_leader_epoch_and_every_change_the_partition_epoch() {
    let image = loaded(&everything());
    let changed = image.topics().partition(topic_id(1), PartitionIndex(0)).unwrap();
    assert_eq!((changed.leader_epoch.value(), changed.partition_epoch.0), (1, 1));
    assert_eq!(changed.leader, Some(NodeId(2)));
    let mut loader = MetadataLoader::new();
    loader.load_batch(&batch(0, &everything())).unwrap();
    let mut shrink = PartitionChangeRecord::new(topic_id(1), PartitionIndex(0));
    shrink.isr = Some(vec![NodeId(2), NodeId(1)]);
    let image = loader.load_batch(&batch(21, &[shrink.into()])).unwrap().image;
    let changed = image.topics().partition(topic_id(1), PartitionIndex(0)).unwrap();
    assert_eq!((changed.leader_epoch.value(), changed.partition_epoch.0), (1, 2));
}

#[test]
fn eligible_leaders_are_cleared_of_one_topic_or_of_all() {
    let count = |image: &MetadataImage| {
        let topics = image.topics().iter();
        let partitions = topics.flat_map(|topic| topic.partitions.values());
        partitions.filter(|partition| !partition.eligible_leader_replicas.is_empty()).count()
    };
    let mut records = everything();
    assert_eq!(count(&loaded(&records)), 3);
    records.push(ClearElrRecord { topic_name: "a".to_owned() }.into());
    assert_eq!(count(&loaded(&records)), 1);
    records.push(ClearElrRecord { topic_name: String::new() }.into());
    assert_eq!(count(&loaded(&records)), 0);
}

#[test]
fn a_transaction_shows_only_at_its_end_and_not_at_all_when_aborted() {
    let mut loader = MetadataLoader::new();
    let first = loader.load_batch(&batch(0, &[topic(1, "a"), begin(), topic(2, "b")])).unwrap();
    assert_eq!(first.image.topics().len(), 1);
    assert_eq!(first.image.provenance().last.unwrap().offset, Offset::new(1));
    assert!(loader.is_in_transaction());
    let held = loader.load_batch(&batch(3, &[topic(3, "c")])).unwrap();
    assert_eq!(held.image.topics().len(), 1);
    assert!(held.changes.is_empty());
    let ended = loader.load_batch(&batch(4, &[EndTransactionRecord {}.into()])).unwrap();
    assert_eq!(ended.changes.created_topics().count(), 2);
    assert_eq!(ended.image.provenance().last.unwrap().offset, Offset::new(4));

    loader.load_batch(&batch(5, &[begin(), topic(4, "d")])).unwrap();
    let abort = AbortTransactionRecord { reason: None }.into();
    let aborted = loader.load_batch(&batch(7, &[topic(5, "e"), abort, topic(6, "f")])).unwrap();
    assert_eq!(aborted.changes.created_topics().count(), 1);
    assert!(!loader.is_in_transaction());
    assert!(aborted.image.topics().by_name("d").is_none());
    assert!(aborted.image.topics().by_name("f").is_some());
}

/// An abort of nothing once took back what stood before it in the same batch, but not what stood in an earlier one.
#[test]
fn a_transaction_is_begun_once_and_ended_or_aborted_once() {
    let end = || MetadataRecord::from(EndTransactionRecord {});
    let abort = || MetadataRecord::from(AbortTransactionRecord { reason: None });
    for misplaced in
        [vec![end()], vec![abort()], vec![begin(), begin()], vec![begin(), end(), end()]]
    {
        let mut records = vec![topic(1, "a")];
        records.extend(misplaced);
        let mut loader = MetadataLoader::new();
        let result = loader.load_batch(&batch(0, &records));
        assert!(matches!(result, Err(LoadError::Inconsistent(_))), "{records:?}");
        assert_eq!(loader.next_offset(), Offset::ZERO);
    }
}

#[test]
fn what_does_not_fit_is_told_and_changes_nothing() {
    let mut loader = MetadataLoader::new();
    loader.load_batch(&batch(0, &everything())).unwrap();
    let before = loader.image().clone();
    let mut wrong_epoch = BrokerRegistrationChangeRecord::new(NodeId(1), BrokerEpoch(99));
    wrong_epoch.fenced = Some(true);
    let misfits: [MetadataRecord; 4] = [
        PartitionChangeRecord::new(topic_id(1), PartitionIndex(7)).into(),
        partition(9, 0),
        RemoveTopicRecord { topic_id: topic_id(9) }.into(),
        wrong_epoch.into(),
    ];
    for misfit in misfits {
        let result = loader.load_batch(&batch(21, &[topic(5, "x"), misfit]));
        assert!(matches!(result, Err(LoadError::Inconsistent(_))));
        assert!(loader.image().says_the_same_as(&before));
    }
    let gap = loader.load_batch(&batch(22, &[]));
    assert!(matches!(gap, Err(LoadError::Gap { .. })));
    let mut garbage = batch(21, &[begin()]);
    garbage.records = vec![Bytes::from_static(b"\x01\x05\x00")];
    assert!(matches!(loader.load_batch(&garbage), Err(LoadError::Undecodable { .. })));
    assert_eq!(loader.next_offset(), Offset::new(21));
}

#[test]
fn a_broker_is_known_by_where_its_newest_registration_lies() {
    let mut loader = MetadataLoader::new();
    loader.load_batch(&batch(0, &everything())).unwrap();
    assert_eq!(loader.image().cluster().registration_offset(NodeId(2)), Some(Offset::new(4)));
    loader.load_batch(&batch(21, &[broker(2, 4)])).unwrap();
    assert_eq!(loader.image().cluster().registration_offset(NodeId(2)), Some(Offset::new(21)));
}
