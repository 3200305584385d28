//! Codecs of the records that Kafka stores in its own topics.
//!
//! - [`metadata`]: `__cluster_metadata`, what the controller decides and every node replays;
//! - [`keys`], [`offsets`], [`groups`]: `__consumer_offsets`, what group coordinators keep;
//! - [`consumer_protocol`]: what members of classic groups tell each other, which coordinators look into.
//!
//! Kafka's own tools and nodes read what is written here, so versions and bytes are Kafka's. Bytes read may come
//! from a broken disk or a newer Kafka: any bytes give a value or an [`Error`], and no count is believed. Tagged
//! fields that are not known are skipped, as KIP-482 asks.

mod wire;
pub mod metadata;
pub mod keys;
pub mod offsets;
pub mod groups;
pub mod consumer_protocol;

pub use wire::Error;
