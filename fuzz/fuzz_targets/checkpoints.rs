//! The target `checkpoints` for libFuzzer.
#![no_main]

use fuzz::{checkpoints, memory};

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds(checkpoints::seeds),
    |input: &[u8]| memory::within_bounds(input, checkpoints::check)
);
