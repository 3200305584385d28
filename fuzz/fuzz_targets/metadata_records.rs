//! The target `metadata_records` for libFuzzer.
#![no_main]

use fuzz::{memory, metadata_records};

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds(metadata_records::seeds),
    |input: &[u8]| memory::within_bounds(input, metadata_records::check)
);
