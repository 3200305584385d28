//! The target `frame` for libFuzzer.
#![no_main]

use fuzz::{frame, memory};

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds(frame::seeds),
    |input: &[u8]| memory::within_bounds(input, frame::check)
);
