//! Decisions about the cluster: made by one node, the active controller, which is the leader of the metadata quorum.
//!
//! A request *decides* against the newest image, uncommitted records included: it gives records and an outcome, and
//! changes nothing. The records are appended to the metadata log; only then are they replayed into the working image;
//! the outcome is parked until they are committed. When leadership is lost the working image is dropped and what was
//! parked fails with `NOT_CONTROLLER`: it may or may not come true, and the one who asked finds out from the next
//! controller. An outcome without records waits, too, while anything it may have seen is not yet committed.
//!
//! Kafka keeps *timelines* for this, maps that can be read at and reverted to an older offset. Images are immutable
//! values that share what they have in common, so the committed state and the working state are simply two of them.
//!
//! [`QuorumController`] is one task with one bounded queue, reached through a [`Handle`]. It is fed with what is
//! committed and with changes of leadership, in the order in which the quorum tells them. All decisions are in
//! functions without clock, randomness or I/O: `topics.rs` (create, grow), `topics/deletion.rs`, `placement.rs` (where replicas go),
//! `cluster.rs` and `broker_heartbeat.rs` (who is in, who is fenced), `partitions.rs` (who is in sync) and
//! `elections.rs` (who leads then), `leader_elections.rs` (who should lead), `reassignments.rs` and `directories.rs` (where replicas lie), `configurations.rs`, `producer_ids.rs`, `features.rs`.
//!
//! # Invariants
//!
//! - Deciding takes `&self`: nothing but replaying records moves what is in the log.
//! - A broker is fenced when its session ends: nothing was heard for `broker.session.timeout.ms`, or the connection over
//!   which it was heard last is gone and no other one has come. Fencing one that lives costs a moment, and never a record.
//! - What is kept beside the log (when a broker was heard, `heartbeats.rs`) is lost with leadership; a new controller
//!   gives every broker a whole session before it judges.
//! - The records of a request that must not be half done are one batch.
//! - A broker's epoch is the offset at which the decision to register it begins, unless the quorum put records of its
//!   own in between: it grows with every registration, which is all that anyone relies on.
//!
//! One thing differs from Apache Kafka: a broker whose own node is the controller is let in at once after its process
//! was killed, without waiting for the end of its former session (`cluster.rs` says why that is safe).
//!
//! Sources: KIP-500, KIP-631, KIP-730, KIP-835, KIP-841, KIP-858, KIP-903, KIP-966.

mod deciding;
mod heartbeats;
mod placement;
mod topic_names;
mod topics;
mod elections;
mod leader_elections;
mod reassignments;
mod partitions;
mod directories;
mod cluster;
mod broker_heartbeat;
mod roll_call;
mod client_metrics;
mod configurations;
mod producer_ids;
mod features;
mod machine;
mod quorum_controller;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod exploration;

pub use broker_heartbeat::{BrokerDisconnected, BrokerHeartbeat, BrokerStanding, BrokerState};
pub use cluster::{RegisterBroker, RegisterController, UnregisterBroker};
pub use configurations::{
    AlterConfigs, AlterConfigsOutcome, ConfigChange, ConfigOperation, ConfigValues,
    IncrementalAlterConfigs,
};
pub use deciding::{Deciding, News, Random, Refusal, Request, Soft};
pub use directories::{AssignReplicas, AssignReplicasOutcome};
pub use features::{KRAFT_VERSION, bootstrap_records, founding_records, supported_features};
pub use heartbeats::ConnectionId;
pub use leader_elections::{ElectLeaders, ElectLeadersOutcome, ElectionKind};
pub use partitions::{
    AlterPartition, AlterPartitionOutcome, AlterPartitionState, AlteredPartition,
};
pub use producer_ids::{AllocateProducerIds, ProducerIdBlock};
pub use quorum_controller::{Error, Handle, MetadataLog, NotAppended, QuorumController};
pub use reassignments::{
    AlterReassignments, AlterReassignmentsOutcome, ListReassignments, Reassignment,
};
pub use roll_call::{BrokerMissing, BrokerSilent, UnheardBroker, UnheardBrokers};
pub use topic_names::check_topic_name;
pub use topics::{
    CreatePartitions, CreateTopics, CreatedTopic, DeleteTopics, DeletedTopic, GrownTopic, NewTopic,
    TopicReference,
};

use std::sync::Arc;

use crate::config::NodeConfig;
use crate::model::ClusterId;
use crate::protocol::internal_records::metadata::MetadataRecord;

/// What a controller must know that is not in the log.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster; brokers of another one are refused.
    pub cluster_id: ClusterId,
    /// This node's configuration.
    pub config: Arc<NodeConfig>,
    /// The records a cluster begins with when this node founds it: what somebody who formatted the directory asked for, or
    /// [`bootstrap_records`].
    pub bootstrap: Vec<MetadataRecord>,
}
