//! The target `record_batch` for libFuzzer.
#![no_main]

use fuzz::{memory, record_batch};

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds(record_batch::seeds),
    |input: &[u8]| memory::within_bounds(input, record_batch::check)
);
