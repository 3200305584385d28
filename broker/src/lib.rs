//! Ottla: Apache Kafka, whole, as one binary that is proven by simulation.
//!
//! Modules stand in reading order, which is also the order of dependency: each may use only those above it
//! (the exact table is `tests/layering.rs`). A request travels downwards from `server` to `log` and its response
//! back up; state moves only by replaying records (see `state_machine`).
//!
//! ```text
//!  socket ── frame ── header ── table row ── handler ── partition ── log ── disk
//!    ▲       server/  protocol/              api/       replication/  log/  environment/
//!    └─────── in order ◄─── response ◄───────┴── waits (until the high watermark passes)
//! ```

pub mod model;
pub mod environment;
pub mod record;
pub mod protocol;
pub mod config;
pub mod state_machine;
pub mod log;
pub mod client;
pub mod metadata;
pub mod raft;
pub mod controller;
pub mod replication;
pub mod coordinator;
pub mod api;
pub mod server;
pub mod node;
pub mod cli;

#[cfg(test)]
mod scenario;
