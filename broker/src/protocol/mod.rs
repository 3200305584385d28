//! Everything of the wire that the codec package (`kafka-protocol`) does not give.
//!
//! The package knows the structures of requests and responses and believes every count it reads; Kafka's framing,
//! its table of APIs, its rules for unknown versions and the records that it stores are not its business. They are
//! ours, here:
//!
//! - [`api_table`]: one row per API that is served;
//! - [`frame`]: the length prefix, and reading bodies without believing it;
//! - [`envelope`]: header and body, in and out, for both ends of a connection;
//! - [`schema`], [`schema_walk`]: what makes decoding bytes of strangers safe;
//! - [`internal_records`]: records of `__cluster_metadata` and `__consumer_offsets`.
//!
//! Invariants: any bytes give a value or an error, never a panic; memory stays within a small multiple of what was
//! received; the codec decodes nothing that was not walked first.
//!
//! Source: the protocol guide of Apache Kafka; KIP-35 (negotiation), KIP-482 (flexible versions), KIP-511.

mod api_table;
mod frame;
pub mod schema;
pub mod schema_walk;
mod envelope;
pub mod internal_records;

pub use api_table::{API_TABLE, ApiRow, ListenerRole, Listeners, api_row, api_row_by_number};
pub use envelope::{
    DecodeError, EncodeError, HeaderError, Incoming, RequestHeader, decode_body, decode_response,
    decode_walked, encode_request, encode_response, peek_correlation_id, read_request_header,
    unsupported_api_versions,
};
pub use frame::{FrameError, FrameReader, LENGTH_PREFIX_BYTES, ReadTarget, frame_length};
pub use kafka_protocol::messages::ApiKey;
