//! Our own Kafka client: what the command line, the simulator and foreign-cluster tests speak to brokers with.
//!
//! It runs on any [`Runtime`](crate::environment::Runtime), so the same producer and consumer that `ottla bench` uses
//! against real brokers run inside the simulation. Wire structs are translated at once; nothing outside this folder sees
//! them.
//!
//! - [`Client`] knows the cluster and finds the right broker: any, the leader of a partition, the coordinator of a group;
//! - [`Producer`] batches, keeps the order of each partition over retries, and is idempotent by default (KIP-98);
//! - [`Consumer`] fetches from partitions it is told; [`GroupConsumer`] is told by a classic group (KIP-62);
//! - [`Admin`] is everything else an operator asks;
//! - [`ControllerChannel`] is how a node asks the active controller.
//!
//! # Invariants
//!
//! - Every wait for a broker has a deadline; every loop of attempts has one too.
//! - A broker's bytes are judged before they are believed: no count in an answer makes this side allocate.
//! - An error says whether the outcome is known ([`Error::is_outcome_unknown`]); checkers rely on it.

mod error;
mod wire;
mod connection;
mod cluster;
mod router;
mod producer;
mod admin;
mod consumer;
mod assignor;
mod group_consumer;
mod controller_channel;

pub use admin::{
    Admin, ClusterDescription, ConfigChange, ConfigEntry, ConfigSource, Each, GroupDescription,
    GroupListing, GroupMember, GroupOffset, IsolationLevel, NewTopic, OffsetSpec, PartitionOffset,
    Resource,
};
pub use assignor::Assignor;
pub use cluster::{Broker, Cluster, MissingTopic, Partition, Topic};
pub(crate) use connection::{Connection, ConnectionSettings};
pub use consumer::{Consumer, ConsumerSettings, Fetched, Start};
pub use controller_channel::{
    ControllerChannel, ControllerChannelSettings, ControllerRequest, FindController,
};
pub use error::{Endpoint, Error};
pub use group_consumer::{GroupConsumer, GroupEvent, GroupSettings};
pub use producer::{
    Acks, Delivered, Message, Producer, ProducerSettings, Receipt, murmur2, partition_of_key,
};
pub use router::{Client, Retry, Settings};
