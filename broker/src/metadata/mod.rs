//! What the cluster is, as an immutable image.
//!
//! The metadata log (`__cluster_metadata`) is a list of records; a [`MetadataImage`] is what they add up to. Every node
//! holds one: brokers serve clients from it, the controller decides against it. An image never changes: a
//! [`MetadataDelta`] starts from one, replays records and freezes into the next, which shares with its predecessor
//! everything the records did not touch ([`OrderedMap`]). So whoever holds an image may keep it as long as it likes, and
//! a change to one topic of ten thousand costs a few hundred pointers. What changed is found by comparing the two
//! images, passing over what they share ([`MetadataChanges`]).
//!
//! [`MetadataLoader`] turns committed batches and snapshots into images. Records between a begin and an end of a
//! metadata transaction (KIP-868) are held back until the end, and dropped at an abort.
//!
//! Records that no API serves yet (access control, SCRAM, quotas, delegation tokens) are kept all the same: a log that
//! Apache Kafka wrote replays here, and what we snapshot is what we read.
//!
//! # Invariants
//!
//! - An image is a function of the records alone: no clock, no order of arrival, no node's own settings.
//! - Image to snapshot records to image is the identity; so is loading a log in any cuts.
//! - A record that does not fit (a change to a topic that is not there) is [`Inconsistent`], never a panic: a log may
//!   come from elsewhere. The controller, which wrote its own, asserts.
//!
//! Sources: KIP-500, KIP-631, KIP-868, KIP-966.

mod ordered_map;
mod topics;
mod cluster;
mod configurations;
mod features;
mod producer_ids;
mod acls;
mod scram;
mod quotas;
mod delegation_tokens;
mod image;
mod changes;
mod replay;
mod delta;
mod loader;
mod snapshot;

pub use acls::{AccessControlEntry, AclsImage};
pub use changes::{MetadataChanges, Part, TopicChange};
pub(crate) use cluster::is_reserved_directory;
pub use cluster::{
    BrokerRegistration, ClusterImage, ControllerRegistration, Endpoint, VersionRange,
};
pub use configurations::{ConfigEntries, ConfigResource, ConfigResourceType, ConfigurationsImage};
pub use delegation_tokens::{DelegationToken, DelegationTokensImage};
pub use delta::MetadataDelta;
pub use features::{FeaturesImage, MetadataVersion};
pub use image::{MetadataImage, Provenance};
pub use loader::{CommittedBatch, LoadError, MetadataLoader, Published};
pub use ordered_map::OrderedMap;
pub use producer_ids::ProducerIdsImage;
pub use quotas::{QuotaEntity, QuotasImage};
pub use replay::Inconsistent;
pub use scram::{ScramCredential, ScramImage};
pub(crate) use snapshot::config_record;
pub use topics::{PartitionEpoch, PartitionRegistration, TopicImage, TopicsImage};

pub use crate::protocol::internal_records::metadata::LeaderRecoveryState;
