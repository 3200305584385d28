use std::sync::Arc;

use super::MetadataImage;
use super::configurations::{ConfigResource, ConfigResourceType};
use crate::model::Offset;
use crate::protocol::internal_records::metadata::MetadataRecord;

/// A record that does not fit what came before it. Says what is missing or twice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the metadata record at offset {offset} does not fit: {reason}")]
pub struct Inconsistent {
    /// The record.
    pub offset: Offset,
    /// What does not fit, for people.
    pub reason: String,
}

impl MetadataImage {
    /// Applies one record. Markers of metadata transactions change nothing here: the loader heeds them.
    ///
    /// # Errors
    ///
    /// [`Inconsistent`] when the record is about something that is not there; nothing has changed then.
    pub(super) fn replay(
        &mut self,
        offset: Offset,
        record: &MetadataRecord,
    ) -> Result<(), Inconsistent> {
        self.apply(offset, record).map_err(|reason| Inconsistent { offset, reason })
    }

    fn apply(&mut self, offset: Offset, record: &MetadataRecord) -> Result<(), String> {
        use MetadataRecord as R;
        match record {
            R::RegisterBroker(record) => self.cluster_mut().register_broker(offset, record),
            R::UnregisterBroker(record) => self.cluster_mut().unregister_broker(record)?,
            R::FenceBroker(record) => self.cluster_mut().fence_broker(record)?,
            R::UnfenceBroker(record) => self.cluster_mut().unfence_broker(record)?,
            R::BrokerRegistrationChange(record) => self.cluster_mut().change_broker(record)?,
            R::RegisterController(record) => self.cluster_mut().register_controller(record),
            R::UnregisterController(record) => self.cluster_mut().unregister_controller(record)?,
            R::Topic(record) => self.topics.create(record),
            R::RemoveTopic(record) => {
                let topic = self.topics.remove(record)?;
                let resource = ConfigResource::topic(topic.name.as_str());
                self.configurations.remove(&resource);
            }
            R::Partition(record) => self.topics.set_partition(record)?,
            R::PartitionChange(record) => self.topics.change_partition(record)?,
            R::ClearElr(record) => self.topics.clear_eligible_leaders(record)?,
            R::Config(record) => self.configurations.set(
                ConfigResource {
                    resource_type: ConfigResourceType::from_id(record.resource_type),
                    name: record.resource_name.clone(),
                },
                &record.name,
                record.value.as_deref(),
            ),
            R::FeatureLevel(record) => Arc::make_mut(&mut self.features).set_level(record),
            R::ZkMigrationState(record) => {
                Arc::make_mut(&mut self.features).zk_migration_state = record.zk_migration_state;
            }
            R::ProducerIds(record) => self.producer_ids.set(record),
            R::AccessControlEntry(record) => self.acls.add(record),
            R::RemoveAccessControlEntry(record) => self.acls.remove(record)?,
            R::UserScramCredential(record) => Arc::make_mut(&mut self.scram).set(record),
            R::RemoveUserScramCredential(record) => {
                Arc::make_mut(&mut self.scram).remove(record)?;
            }
            R::ClientQuota(record) => Arc::make_mut(&mut self.quotas).set(record),
            R::DelegationToken(record) => Arc::make_mut(&mut self.delegation_tokens).set(record),
            R::RemoveDelegationToken(record) => {
                Arc::make_mut(&mut self.delegation_tokens).remove(record);
            }
            R::NoOp(_) | R::BeginTransaction(_) | R::EndTransaction(_) | R::AbortTransaction(_) => {
            }
        }
        Ok(())
    }

    fn cluster_mut(&mut self) -> &mut super::ClusterImage {
        Arc::make_mut(&mut self.cluster)
    }
}
