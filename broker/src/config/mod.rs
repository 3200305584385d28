//! Configuration under Kafka's own names.
//!
//! A table ([`node_keys`], [`topic_keys`], [`group_keys`]) says what keys there are: name, type, default, allowed
//! values, how they may change, and what they mean. [`Settings`] puts the layers of a node together (defaults, file,
//! overrides, then what the cluster says) and remembers where each value comes from. Typed views ([`NodeConfig`],
//! [`TopicConfig`], [`GroupConfig`]) are what the program reads: fields, never strings. [`NodeLayers`] describes all of
//! it to clients.
//!
//! Every key of Kafka 4.4 is known. Some have no effect here (threads, Java classes, tiered storage): they are
//! [`Support::Accepted`]. A key that is not known stops the start with its line and the name that was probably meant,
//! where Kafka only warns: a misspelt limit is no limit.
//!
//! # Invariants
//!
//! - A value in [`Settings`] is of its key's type and allowed by the table.
//! - A [`NodeConfig`] has been checked as a whole.
//! - This module reads no file: it is given texts.
//!
//! Sources: Kafka 4.4's own definitions; KIP-226 (dynamic layers), KIP-569 (descriptions), KIP-848 (groups).

mod definitions;
mod value;
mod error;
mod properties;
mod settings;
mod listener;
mod topic;
mod group;
mod sections;
mod coordinators;
mod node;
mod describe;

pub use coordinators::{
    GroupCoordinatorConfig, MigrationPolicy, OffsetsConfig, RebalanceProtocols, SecurityConfig,
    TransactionConfig,
};
pub use definitions::{
    Allowed, DefaultValue, Definition, Kind, Support, Update, Visibility, group_key, group_keys,
    is_removed_key, node_key, node_keys, topic_key, topic_keys,
};
pub use describe::{ConfigSource, DescribedConfig, NodeLayers, Synonym};
pub use error::{Error, Place};
pub use group::{GroupConfig, node_synonym_of_group_key};
pub use listener::{HostPort, ListenerAddress, SecurityProtocol, StaticVoter};
pub use node::{NodeConfig, Roles};
pub use properties::{Property, read_properties};
pub use sections::{
    CleanerConfig, LifecycleConfig, LogManagerConfig, MetadataLogConfig, QuorumConfig,
    ReplicationConfig, SocketConfig, TopicCreationConfig,
};
pub use settings::{DynamicSettings, Origin, Settings};
pub use topic::{CleanupPolicy, CompressionType, TopicConfig, node_synonym_of_topic_key};
pub use value::Value;
