//! Hostile bytes for every decoder of the broker, and for its recovery: any bytes give a value or an error, never a
//! panic, in memory that follows their length.
//!
//! Each target is a module here: `check` judges one input, `seeds` are inputs to begin with. The files in
//! `fuzz_targets/` only hand them to libFuzzer. `run` builds and runs all of them.

pub mod memory;
pub mod input;
pub mod world;
pub mod frame;
pub mod request;
pub mod response;
pub mod record_batch;
pub mod segment_recovery;
pub mod checkpoints;
pub mod metadata_records;
pub mod snapshot;

/// The variable that names a directory to write seeds to.
const SEEDS: &str = "FUZZ_SEEDS";

/// Writes the seeds of a target into the directory that `FUZZ_SEEDS` names, and ends the process; does nothing without.
///
/// # Panics
///
/// When the directory cannot be written to.
pub fn write_seeds(seeds: fn() -> Vec<Vec<u8>>) {
    let Some(directory) = std::env::var_os(SEEDS) else { return };
    let directory = std::path::PathBuf::from(directory);
    std::fs::create_dir_all(&directory).expect("the directory for seeds can be made");
    for (number, seed) in seeds().iter().enumerate() {
        let written = std::fs::write(directory.join(format!("seed-{number:04}")), seed);
        written.expect("a seed can be written");
    }
    std::process::exit(0);
}

#[cfg(test)]
mod tests {
    use crate::memory::within_bounds;

    fn bear(seeds: Vec<Vec<u8>>, check: fn(&[u8])) {
        within_bounds(&[], check);
        for seed in seeds {
            within_bounds(&seed, check);
            within_bounds(&seed[..seed.len() / 2], check);
        }
    }

    #[test]
    fn every_target_bears_its_seeds_whole_and_cut() {
        bear(super::frame::seeds(), super::frame::check);
        bear(super::request::seeds(), super::request::check);
        bear(super::response::seeds(), super::response::check);
        bear(super::record_batch::seeds(), super::record_batch::check);
        bear(super::segment_recovery::seeds(), super::segment_recovery::check);
        bear(super::checkpoints::seeds(), super::checkpoints::check);
        bear(super::metadata_records::seeds(), super::metadata_records::check);
        bear(super::snapshot::seeds(), super::snapshot::check);
    }
}
