use std::sync::Arc;

use super::acls::AclsImage;
use super::cluster::ClusterImage;
use super::configurations::ConfigurationsImage;
use super::delegation_tokens::DelegationTokensImage;
use super::features::FeaturesImage;
use super::producer_ids::ProducerIdsImage;
use super::quotas::QuotasImage;
use super::scram::ScramImage;
use super::topics::TopicsImage;
use crate::model::{OffsetAndEpoch, Timestamp};

/// How much of the metadata log an image holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The last record it holds and that record's epoch; `None` before any.
    pub last: Option<OffsetAndEpoch>,
    /// When the batch of that record was appended.
    pub last_append_time: Timestamp,
}

/// The whole cluster at one offset of the metadata log. Immutable; a clone costs a few pointers.
#[derive(Clone, Debug, Default)]
pub struct MetadataImage {
    pub(super) provenance: Provenance,
    pub(super) features: Arc<FeaturesImage>,
    pub(super) cluster: Arc<ClusterImage>,
    pub(super) topics: TopicsImage,
    pub(super) configurations: ConfigurationsImage,
    pub(super) producer_ids: ProducerIdsImage,
    pub(super) acls: AclsImage,
    pub(super) scram: Arc<ScramImage>,
    pub(super) quotas: Arc<QuotasImage>,
    pub(super) delegation_tokens: Arc<DelegationTokensImage>,
}

impl MetadataImage {
    /// How much of the metadata log is in here.
    #[must_use]
    pub const fn provenance(&self) -> Provenance {
        self.provenance
    }

    /// The finalized features.
    #[must_use]
    pub fn features(&self) -> &FeaturesImage {
        &self.features
    }

    /// Brokers and controllers.
    #[must_use]
    pub fn cluster(&self) -> &ClusterImage {
        &self.cluster
    }

    /// Topics and partitions.
    #[must_use]
    pub const fn topics(&self) -> &TopicsImage {
        &self.topics
    }

    /// Configuration set at run time.
    #[must_use]
    pub const fn configurations(&self) -> &ConfigurationsImage {
        &self.configurations
    }

    /// Producer ids given out.
    #[must_use]
    pub const fn producer_ids(&self) -> ProducerIdsImage {
        self.producer_ids
    }

    /// Access control entries.
    #[must_use]
    pub const fn acls(&self) -> &AclsImage {
        &self.acls
    }

    /// SCRAM credentials.
    #[must_use]
    pub fn scram(&self) -> &ScramImage {
        &self.scram
    }

    /// Client quotas.
    #[must_use]
    pub fn quotas(&self) -> &QuotasImage {
        &self.quotas
    }

    /// Delegation tokens.
    #[must_use]
    pub fn delegation_tokens(&self) -> &DelegationTokensImage {
        &self.delegation_tokens
    }

    /// True when both say the same of the cluster, wherever in the log they stand.
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.features == other.features
            && self.cluster == other.cluster
            && self.topics == other.topics
            && self.configurations == other.configurations
            && self.producer_ids == other.producer_ids
            && self.acls == other.acls
            && self.scram == other.scram
            && self.quotas == other.quotas
            && self.delegation_tokens == other.delegation_tokens
    }
}
