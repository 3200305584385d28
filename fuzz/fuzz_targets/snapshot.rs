//! The target `snapshot` for libFuzzer.
#![no_main]

use fuzz::{memory, snapshot};

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds(snapshot::seeds),
    |input: &[u8]| memory::within_bounds(input, snapshot::check)
);
