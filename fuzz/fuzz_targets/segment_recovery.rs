//! The target `segment_recovery` for libFuzzer.
#![no_main]

use fuzz::{memory, segment_recovery};

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds(segment_recovery::seeds),
    |input: &[u8]| memory::within_bounds(input, segment_recovery::check)
);
