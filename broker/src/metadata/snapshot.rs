use super::MetadataVersion;
use super::configurations::ConfigResource;
use super::image::MetadataImage;
use crate::model::{BrokerEpoch, NodeId};
use crate::protocol::internal_records::metadata::{
    AccessControlEntryRecord, ClientQuotaRecord, ConfigRecord, DelegationTokenRecord,
    FeatureLevelRecord, MetadataRecord, ProducerIdsRecord, QuotaEntity, RegisterBrokerRecord,
    RegisterControllerRecord, TopicRecord, UserScramCredentialRecord, ZkMigrationStateRecord,
};

impl MetadataImage {
    /// The records that make this image out of an empty one, for a snapshot.
    ///
    /// The metadata version comes first, as readers need it to judge the others.
    #[must_use]
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        self.write_features(&mut records);
        for controller in self.cluster.controllers() {
            records.push(RegisterControllerRecord::from(&**controller).into());
        }
        for broker in self.cluster.brokers() {
            records.push(RegisterBrokerRecord::from(&**broker).into());
        }
        for topic in self.topics.iter() {
            records.push(TopicRecord { name: topic.name.clone(), topic_id: topic.id }.into());
            for (index, partition) in topic.partitions.iter() {
                records.push(partition.to_record(topic.id, *index).into());
            }
        }
        for (resource, entries) in self.configurations.iter() {
            for (name, value) in entries.iter() {
                records.push(config_record(resource, name, Some(value.clone())));
            }
        }
        if let Some(next_producer_id) = self.producer_ids.next {
            let record = ProducerIdsRecord {
                broker_id: NodeId(-1),
                broker_epoch: BrokerEpoch(-1),
                next_producer_id,
            };
            records.push(record.into());
        }
        self.write_access(&mut records);
        records
    }

    fn write_features(&self, records: &mut Vec<MetadataRecord>) {
        let is_version = |name: &str| name == MetadataVersion::FEATURE;
        let levels = self.features.finalized().iter();
        let (first, rest): (Vec<_>, Vec<_>) = levels.partition(|(name, _)| is_version(name));
        for (name, level) in first.into_iter().chain(rest) {
            let record = FeatureLevelRecord { name: name.clone(), feature_level: *level };
            records.push(record.into());
        }
        let zk_migration_state = self.features.zk_migration_state();
        if zk_migration_state != 0 {
            records.push(ZkMigrationStateRecord { zk_migration_state }.into());
        }
    }

    fn write_access(&self, records: &mut Vec<MetadataRecord>) {
        for (id, entry) in self.acls.iter() {
            let record = AccessControlEntryRecord {
                id: *id,
                resource_type: entry.resource_type,
                resource_name: entry.resource_name.clone(),
                pattern_type: entry.pattern_type,
                principal: entry.principal.clone(),
                host: entry.host.clone(),
                operation: entry.operation,
                permission_type: entry.permission_type,
            };
            records.push(record.into());
        }
        for ((mechanism, name), credential) in &self.scram.credentials {
            let record = UserScramCredentialRecord {
                name: name.clone(),
                mechanism: *mechanism,
                salt: credential.salt.clone(),
                stored_key: credential.stored_key.clone(),
                server_key: credential.server_key.clone(),
                iterations: credential.iterations,
            };
            records.push(record.into());
        }
        for (entity, limits) in self.quotas.iter() {
            for (key, value) in limits {
                let entity = entity.0.iter().map(|(entity_type, entity_name)| QuotaEntity {
                    entity_type: entity_type.clone(),
                    entity_name: entity_name.clone(),
                });
                let record = ClientQuotaRecord {
                    entity: entity.collect(),
                    key: key.clone(),
                    value: *value,
                    remove: false,
                };
                records.push(record.into());
            }
        }
        for (token_id, token) in self.delegation_tokens.iter() {
            let record = DelegationTokenRecord {
                owner: token.owner.clone(),
                requester: token.requester.clone(),
                renewers: token.renewers.clone(),
                issue_timestamp: token.issued,
                max_timestamp: token.latest_expiration,
                expiration_timestamp: token.expiration,
                token_id: token_id.clone(),
            };
            records.push(record.into());
        }
    }
}

/// The record that sets one configuration, or removes it.
pub(crate) fn config_record(
    resource: &ConfigResource,
    name: &str,
    value: Option<String>,
) -> MetadataRecord {
    let record = ConfigRecord {
        resource_type: resource.resource_type.id(),
        resource_name: resource.name.clone(),
        name: name.to_owned(),
        value,
    };
    record.into()
}
