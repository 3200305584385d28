//! Sockets: accepting, framing, order.
//!
//! The server has no opinion about Kafka beyond framing, order and which row of the table a request belongs to. Frames are
//! read into one buffer each, which is sliced from there on and never copied; responses are lists of pieces, of which
//! pieces of log segments go out by `sendfile`.

mod memory;
mod admission;
mod connection;
mod dispatch;
mod listener;
#[cfg(test)]
mod fixture;

pub use admission::{Admission, AdmissionLimits};
pub(crate) use connection::DRAIN_MAX;
pub use listener::{Bound, ConnectionLimits, Server};
