//! The target `response` for libFuzzer.
#![no_main]

use fuzz::{memory, response};

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds(response::seeds),
    |input: &[u8]| memory::within_bounds(input, response::check)
);
