use std::collections::BTreeSet;

use uuid::Uuid;

use super::*;
use crate::model::{
    BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, PartitionIndex, ProducerId, Timestamp, TopicId,
    TopicName,
};

/// The level of Kafka 4.4.
const LATEST: i16 = 33;

fn endpoint() -> Endpoint {
    Endpoint {
        name: "PLAINTEXT".to_owned(),
        host: "h".to_owned(),
        port: 65_535,
        security_protocol: 0,
    }
}

fn feature() -> FeatureRange {
    FeatureRange {
        name: "metadata.version".to_owned(),
        min_supported_version: 7,
        max_supported_version: 33,
    }
}

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn directories(ids: &[u128]) -> Vec<DirectoryId> {
    ids.iter().map(|id| DirectoryId(Uuid::from_u128(*id))).collect()
}

fn topic_id() -> TopicId {
    TopicId(Uuid::from_u128(0x1234))
}

fn register_broker() -> RegisterBrokerRecord {
    RegisterBrokerRecord {
        broker_id: NodeId(1),
        is_migrating_zk_broker: false,
        incarnation_id: Uuid::from_u128(9),
        broker_epoch: BrokerEpoch(268),
        end_points: vec![endpoint(), endpoint()],
        features: vec![feature()],
        rack: Some("r".to_owned()),
        fenced: true,
        in_controlled_shutdown: true,
        log_dirs: directories(&[100, 101]),
        cordoned_log_dirs: Some(directories(&[101])),
    }
}

fn partition() -> PartitionRecord {
    PartitionRecord {
        partition_id: PartitionIndex(3),
        topic_id: topic_id(),
        replicas: nodes(&[1, 2, 3]),
        isr: nodes(&[1]),
        removing_replicas: nodes(&[2]),
        adding_replicas: nodes(&[3]),
        leader: Some(NodeId(1)),
        leader_recovery_state: LeaderRecoveryState::Recovering,
        leader_epoch: LeaderEpoch::new(4),
        partition_epoch: 5,
        directories: directories(&[100, 101, 102]),
        eligible_leader_replicas: nodes(&[2]),
        last_known_elr: nodes(&[3]),
    }
}

fn partition_change() -> PartitionChangeRecord {
    PartitionChangeRecord {
        isr: Some(nodes(&[1, 2])),
        leader: LeaderChange::Leader(NodeId(2)),
        replicas: Some(nodes(&[1, 2])),
        removing_replicas: Some(Vec::new()),
        adding_replicas: Some(nodes(&[4])),
        leader_recovery_state: Some(LeaderRecoveryState::Recovered),
        directories: Some(directories(&[7])),
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(nodes(&[8])),
        ..PartitionChangeRecord::new(topic_id(), PartitionIndex(0))
    }
}

fn brokers_and_log() -> Vec<MetadataRecord> {
    let change = || BrokerRegistrationChangeRecord::new(NodeId(1), BrokerEpoch(5));
    vec![
        register_broker().into(),
        RegisterBrokerRecord {
            rack: None,
            log_dirs: Vec::new(),
            cordoned_log_dirs: None,
            ..register_broker()
        }
        .into(),
        UnregisterBrokerRecord { broker_id: NodeId(1), broker_epoch: BrokerEpoch(2) }.into(),
        FenceBrokerRecord { id: NodeId(1), epoch: BrokerEpoch(2) }.into(),
        UnfenceBrokerRecord { id: NodeId(1), epoch: BrokerEpoch(2) }.into(),
        change().into(),
        BrokerRegistrationChangeRecord { fenced: Some(true), ..change() }.into(),
        BrokerRegistrationChangeRecord {
            fenced: Some(false),
            in_controlled_shutdown: true,
            ..change()
        }
        .into(),
        BrokerRegistrationChangeRecord { log_dirs: directories(&[100]), ..change() }.into(),
        BrokerRegistrationChangeRecord { cordoned_log_dirs: Some(Vec::new()), ..change() }.into(),
        FeatureLevelRecord { name: "metadata.version".to_owned(), feature_level: 33 }.into(),
        ProducerIdsRecord {
            broker_id: NodeId(1),
            broker_epoch: BrokerEpoch(-1),
            next_producer_id: ProducerId(1000),
        }
        .into(),
        NoOpRecord {}.into(),
        ZkMigrationStateRecord { zk_migration_state: 3 }.into(),
        BeginTransactionRecord { name: Some("Bootstrap records".to_owned()) }.into(),
        BeginTransactionRecord::default().into(),
        EndTransactionRecord {}.into(),
        AbortTransactionRecord { reason: Some("why".to_owned()) }.into(),
        RegisterControllerRecord {
            controller_id: NodeId(3000),
            incarnation_id: Uuid::from_u128(1),
            zk_migration_ready: false,
            end_points: vec![endpoint()],
            features: vec![feature()],
        }
        .into(),
        UnregisterControllerRecord { controller_id: NodeId(3000) }.into(),
    ]
}

fn topics_and_access() -> Vec<MetadataRecord> {
    let text = str::to_owned;
    vec![
        TopicRecord { name: TopicName::from("t"), topic_id: topic_id() }.into(),
        partition().into(),
        PartitionRecord { leader: None, ..partition() }.into(),
        partition_change().into(),
        PartitionChangeRecord { leader: LeaderChange::Nobody, ..partition_change() }.into(),
        PartitionChangeRecord::new(topic_id(), PartitionIndex(2)).into(),
        ConfigRecord {
            resource_type: 2,
            resource_name: text("t"),
            name: text("k"),
            value: Some(text("v")),
        }
        .into(),
        ConfigRecord { resource_type: 4, resource_name: text(""), name: text("k"), value: None }
            .into(),
        RemoveTopicRecord { topic_id: topic_id() }.into(),
        ClearElrRecord { topic_name: text("") }.into(),
        DelegationTokenRecord {
            owner: text("User:o"),
            requester: text("User:r"),
            renewers: vec![text("User:a"), text("User:b")],
            issue_timestamp: Timestamp(1),
            max_timestamp: Timestamp(2),
            expiration_timestamp: Timestamp(3),
            token_id: text("id"),
        }
        .into(),
        RemoveDelegationTokenRecord { token_id: text("id") }.into(),
        UserScramCredentialRecord {
            name: text("u"),
            mechanism: 1,
            salt: Bytes::from_static(&[1, 2]),
            stored_key: Bytes::from_static(&[3]),
            server_key: Bytes::new(),
            iterations: 4096,
        }
        .into(),
        RemoveUserScramCredentialRecord { name: text("u"), mechanism: 2 }.into(),
        ClientQuotaRecord {
            entity: vec![
                QuotaEntity { entity_type: text("user"), entity_name: Some(text("u")) },
                QuotaEntity { entity_type: text("client-id"), entity_name: None },
            ],
            key: text("producer_byte_rate"),
            value: 1.5,
            remove: false,
        }
        .into(),
        AccessControlEntryRecord {
            id: Uuid::from_u128(5),
            resource_type: 2,
            resource_name: text("t"),
            pattern_type: 3,
            principal: text("User:u"),
            host: text("*"),
            operation: 3,
            permission_type: 3,
        }
        .into(),
        RemoveAccessControlEntryRecord { id: Uuid::from_u128(5) }.into(),
    ]
}

fn samples() -> Vec<MetadataRecord> {
    let mut samples = brokers_and_log();
    samples.extend(topics_and_access());
    samples
}

#[test]
fn every_type_has_a_sample() {
    let types: BTreeSet<u32> = samples().iter().map(MetadataRecord::record_type).collect();
    let expected = (0..=29).filter(|number| ![6, 13, 16].contains(number));
    assert!(types.into_iter().eq(expected));
}

#[test]
fn records_come_back_as_they_were() {
    for record in samples() {
        let bytes = record.encode_at(LATEST).unwrap();
        assert_eq!(MetadataRecord::decode(&bytes), Ok(record.clone()), "{}", record.name());
    }
}

#[test]
fn bytes_are_those_of_kafka() {
    let check = |record: MetadataRecord, expected: &[u8]| {
        assert_eq!(&record.encode_at(LATEST).unwrap()[..], expected, "{}", record.name());
    };
    check(
        FeatureLevelRecord { name: "metadata.version".to_owned(), feature_level: 33 }.into(),
        b"\x01\x0c\x00\x11metadata.version\x00\x21\x00",
    );
    check(NoOpRecord {}.into(), b"\x01\x14\x00\x00");
    check(
        BrokerRegistrationChangeRecord {
            fenced: Some(false),
            ..BrokerRegistrationChangeRecord::new(NodeId(1), BrokerEpoch(6))
        }
        .into(),
        b"\x01\x11\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x06\x01\x00\x01\xff",
    );
    check(
        PartitionChangeRecord {
            isr: Some(nodes(&[1])),
            leader: LeaderChange::Nobody,
            ..PartitionChangeRecord::new(TopicId::ZERO, PartitionIndex(2))
        }
        .into(),
        b"\x01\x05\x02\x00\x00\x00\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\x00\x05\x02\0\0\0\x01\x01\x04\xff\xff\xff\xff",
    );
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|place| u8::from_str_radix(hex.get(place..place + 2).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn records_that_kafka_wrote_are_read_and_written_again_to_the_byte() {
    const LEVEL: i16 = 30;
    let lines = include_str!("written_by_kafka.txt").lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let [name, version, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let bytes = bytes_of(hex);
        let record = MetadataRecord::decode(&bytes).unwrap();
        assert_eq!(record.name(), name);
        assert_eq!(record.version_at(LEVEL).to_string(), version, "{name}");
        assert_eq!(record.encode_at(LEVEL).unwrap(), bytes, "{name}");
    }
}

#[test]
fn versions_follow_the_finalized_level_as_kafkas_controller_does() {
    let check = |record: MetadataRecord, versions: [i16; 5]| {
        assert_eq!(
            [7, 8, 17, 23, 30].map(|level| record.version_at(level)),
            versions,
            "{}",
            record.name()
        );
    };
    let change = || BrokerRegistrationChangeRecord::new(NodeId(1), BrokerEpoch(5));
    check(register_broker().into(), [1, 2, 3, 3, 4]);
    check(partition().into(), [0, 0, 1, 2, 2]);
    check(partition_change().into(), [0, 0, 1, 2, 2]);
    check(NoOpRecord {}.into(), [0; 5]);
    check(BrokerRegistrationChangeRecord { fenced: Some(true), ..change() }.into(), [0; 5]);
    check(
        BrokerRegistrationChangeRecord { in_controlled_shutdown: true, ..change() }.into(),
        [1; 5],
    );
    check(
        BrokerRegistrationChangeRecord { log_dirs: directories(&[1]), ..change() }.into(),
        [2; 5],
    );
    check(
        BrokerRegistrationChangeRecord { cordoned_log_dirs: Some(Vec::new()), ..change() }.into(),
        [3; 5],
    );
}

#[test]
fn old_versions_carry_what_they_can_and_refuse_the_rest() {
    let lacks = |field, version| Err(Error::NotInVersion { field, version });
    let check =
        |record: MetadataRecord, version, expected| assert_eq!(record.encode(version), expected);
    check(partition().into(), 0, lacks("Directories", 0));
    check(partition().into(), 1, lacks("EligibleLeaderReplicas", 1));
    check(partition_change().into(), 1, lacks("EligibleLeaderReplicas", 1));
    check(register_broker().into(), 0, lacks("InControlledShutdown", 0));
    check(register_broker().into(), 3, lacks("CordonedLogDirs", 3));

    let old = RegisterBrokerRecord {
        in_controlled_shutdown: false,
        log_dirs: Vec::new(),
        cordoned_log_dirs: None,
        ..register_broker()
    };
    for version in 0..=4 {
        let bytes = MetadataRecord::from(old.clone()).encode(version).unwrap();
        assert_eq!(MetadataRecord::decode(&bytes), Ok(old.clone().into()), "version {version}");
    }
}

#[test]
fn fields_of_later_versions_are_refused_in_earlier_ones() {
    let check = |record: MetadataRecord, versions: &[(u8, Option<u32>)]| {
        let mut bytes = record.encode_at(LATEST).unwrap().to_vec();
        for (version, tag) in versions {
            bytes[2] = *version;
            let expected = match tag {
                Some(tag) => {
                    Err(Error::TagNotInVersion { tag: *tag, version: i16::from(*version) })
                }
                None => Ok(record.clone()),
            };
            assert_eq!(MetadataRecord::decode(&bytes), expected, "version {version}");
        }
    };
    check(register_broker().into(), &[(4, None), (3, Some(1)), (2, Some(0))]);
    check(partition_change().into(), &[(2, None), (1, Some(6)), (0, Some(6))]);
    check(partition().into(), &[(2, None), (1, Some(1))]);
    let change = BrokerRegistrationChangeRecord {
        in_controlled_shutdown: true,
        ..BrokerRegistrationChangeRecord::new(NodeId(1), BrokerEpoch(2))
    };
    assert_eq!(
        MetadataRecord::decode(&[1, 17, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 1, 1, 1]),
        Err(Error::TagNotInVersion { tag: 1, version: 0 })
    );
    assert_eq!(
        MetadataRecord::decode(&[1, 17, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 1, 1, 1]),
        Ok(change.into())
    );
}

#[test]
fn fields_of_the_future_are_skipped() {
    let bytes = b"\x01\x0c\x00\x02x\x00\x01\x02\x05\x03abc\x80\x01\x00";
    let record = FeatureLevelRecord { name: "x".to_owned(), feature_level: 1 };
    assert_eq!(MetadataRecord::decode(bytes), Ok(record.into()));
}

#[test]
fn records_cut_short_are_refused_at_every_length() {
    for record in samples() {
        let bytes = record.encode_at(LATEST).unwrap();
        for length in 0..bytes.len() {
            assert!(
                MetadataRecord::decode(&bytes[..length]).is_err(),
                "{} {length}",
                record.name()
            );
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(MetadataRecord::decode(&longer), Err(Error::Trailing(1)));
    }
}

#[test]
fn strangers_are_called_by_their_number() {
    let check = |bytes: &[u8], expected| assert_eq!(MetadataRecord::decode(bytes), Err(expected));
    check(b"\x02\x0c\x00", Error::FrameVersion(2));
    check(b"\x01\x06\x00", Error::UnknownType(6));
    check(b"\x01\x1e\x00", Error::UnknownType(30));
    check(b"\x01\x03\x03", Error::UnknownVersion { record_type: 3, version: 3 });
    check(b"\x01\xff\xff\xff\xff\x1f\x00", Error::Varint);
    check(b"\x01\x19\x00\x01\x00\x01\x05", Error::EndsEarly);
}

#[test]
fn a_claimed_count_is_not_believed() {
    let mut bytes = b"\x01\x03\x02\x00\x00\x00\x00".to_vec();
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(MetadataRecord::decode(&bytes), Err(Error::EndsEarly));
}

#[test]
fn text_that_kafka_could_not_read_is_not_written() {
    let value = Some("x".repeat(32_768));
    let record =
        ConfigRecord { resource_type: 2, resource_name: String::new(), name: String::new(), value };
    assert_eq!(MetadataRecord::from(record).encode_at(LATEST), Err(Error::TextTooLong(32_768)));
}
