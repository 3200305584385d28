//! The target `request` for libFuzzer.
#![no_main]

use fuzz::{memory, request};

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds(request::seeds),
    |input: &[u8]| memory::within_bounds(input, request::check)
);
