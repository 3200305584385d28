//! Sockets: accepting, framing, order.
//!
//! The server has no opinion about Kafka beyond framing, order and which row of the table a request belongs to. Frames are
//! read into one buffer each, which is sliced from there on and never copied; responses are lists of pieces, of which
//! pieces of log segments go out by `sendfile`.

mod memory;
mod connection;
mod dispatch;
mod listener;

pub use listener::{Bound, ConnectionLimits, Server};
