//! What clients do.

pub mod produce_consume;

pub use produce_consume::{Clients, Habits};
