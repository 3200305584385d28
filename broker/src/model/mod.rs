//! The words of the domain: values without behaviour or I/O.
//!
//! Only words used by three modules or more live here; any other type lives with its verb.

mod identifiers;
mod offset;
mod time;
mod size;
mod error_code;

pub use error_code::ErrorCode;
pub use identifiers::{
    BrokerEpoch, ClusterId, DirectoryId, GroupId, MemberId, NodeId, PartitionIndex, ProducerEpoch,
    ProducerId, TopicId, TopicName, TopicPartition, uuid_from_text, uuid_to_text,
};
pub use offset::{LeaderEpoch, Offset, OffsetAndEpoch};
pub use size::ByteCount;
pub use time::Timestamp;
