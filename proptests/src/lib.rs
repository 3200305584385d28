//! What properties of the broker's public face are made of.

pub mod author;
