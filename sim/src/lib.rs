//! Deterministic simulation of whole nodes and clusters: one seed, one world, one outcome.
//!
//! The broker runs unchanged on [`SimRuntime`]. Below it, madsim gives the executor (which of the ready tasks runs next is
//! drawn from the seed) and the clock; everything a program can observe is made here:
//!
//! - [`timeline`]: what happens when, in one queue for the whole world
//! - [`random`]: a stream of random numbers for each concern
//! - [`events`]: everything that happens, as a digest and, on request, as a list
//! - [`network`]: TCP over links that can be slow, lossy or cut
//! - [`disk`]: files that a power loss treats as real ones
//! - [`machine`]: machines that crash, lose power, stand still and have clocks of their own
//! - [`world`]: all of it together, and the way in
//!
//! On top of that stands what is tried in such worlds:
//!
//! - [`broker`]: a machine that runs a whole node
//! - [`cluster`]: several of them, and when they are whole
//! - [`workload`]: clients, which write into a [`mod@history`] what they did and were told; the crate `history` judges it
//! - [`nemesis`]: what goes wrong
//! - [`invariants`]: what is looked at from outside while a cluster runs
//! - [`scenario`]: whole stories
//! - [`planted`]: bugs that a broker is given to see whether they are found
//! - [`weave`]: all of them in one program
//! - [`report`]: how a seed went
//! - [`view`]: a run as a picture
//!
//! Nothing in here may depend on the order of a hash map, on an address in memory, on a thread or on a static: the
//! test `replay` runs seeds in two processes and compares their digests.

#[cfg(not(madsim))]
compile_error!(
    "the crate `sim` needs `--cfg madsim`, which .cargo/config.toml sets. An exported RUSTFLAGS replaces that \
     file: unset it, or add `--cfg madsim` to it. Run cargo inside the workspace, too."
);

pub mod random;
pub mod events;
pub mod timeline;
pub mod network;
pub mod disk;
pub mod machine;
mod sites;
pub mod runtime;
pub mod world;
pub mod broker;
pub mod cluster;
mod wholeness;
pub mod history;
pub mod planted;
pub mod weave;
pub mod workload;
pub mod nemesis;
pub mod invariants;
pub mod scenario;
pub mod report;
pub mod view;

pub use machine::MachineId;
pub use report::Report;
pub use runtime::SimRuntime;
pub use world::{Outcome, Settings, World, simulate};
