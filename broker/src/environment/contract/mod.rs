//! What every implementation of the door must do, as functions both of them are judged by.
//!
//! They run on the production implementation (`proptests/tests/runtime_contract.rs`) and on the simulated one
//! (`sim/tests/contract.rs`), so that nothing above the door can tell the two apart in a healthy world. What happens
//! when the world fails is said in [`environment`](super), and only the simulator can show it.
//!
//! The functions panic when a promise is not kept; they use nothing but the traits.

mod clock_and_tasks;
mod files;
mod model;
mod names;
mod network;

use std::io::{self, IoSlice};
use std::path::Path;

pub use model::{FileStep, replay};

use super::{Disk, File, FileExt, OpenMode, Runtime};

/// Judges everything; leaves nothing behind in `directory`, which must exist and be empty.
///
/// # Panics
///
/// When a promise of the door is not kept.
pub async fn all<R: Runtime>(runtime: &R, directory: &Path) {
    clock_and_tasks(runtime).await;
    disk(runtime, directory).await;
    network(runtime, directory).await;
}

/// Judges clocks, randomness, tasks, time-outs and the stopper.
///
/// # Panics
///
/// When a promise of the door is not kept.
pub async fn clock_and_tasks<R: Runtime>(runtime: &R) {
    clock_and_tasks::now_never_goes_back(runtime).await;
    clock_and_tasks::sleep_ends_at_its_deadline_and_not_before(runtime).await;
    clock_and_tasks::deadlines_end_in_their_own_order(runtime).await;
    clock_and_tasks::timeout_gives_up_and_lets_through(runtime).await;
    clock_and_tasks::spawned_tasks_run_beside_their_maker(runtime).await;
    clock_and_tasks::compute_gives_its_answer(runtime).await;
    clock_and_tasks::random_numbers_differ(runtime);
    clock_and_tasks::stopper_is_heard_before_and_after(runtime).await;
}

/// Judges files, names and directories.
///
/// # Panics
///
/// When a promise of the door is not kept.
pub async fn disk<R: Runtime>(runtime: &R, directory: &Path) {
    let disk = runtime.disk();
    files::written_bytes_are_read_back(disk, directory).await;
    files::reads_end_with_the_file(disk, directory).await;
    files::writes_take_parts_in_order(disk, directory).await;
    files::writes_behind_the_end_leave_zeros(disk, directory).await;
    files::length_is_cut_and_extended_with_zeros(disk, directory).await;
    files::clones_and_second_openings_share_the_file(disk, directory).await;
    files::synced_files_are_as_they_were(disk, directory).await;
    names::modes_of_opening_are_kept(disk, directory).await;
    names::rename_replaces_in_one_step(disk, directory).await;
    names::renamed_directories_take_their_files_along(disk, directory).await;
    names::removed_files_live_on_while_open(disk, directory).await;
    names::removed_directories_take_everything_along(disk, directory).await;
    names::lists_are_in_order_of_name(disk, directory).await;
    names::missing_names_are_not_found(disk, directory).await;
    names::locks_exclude_until_they_are_dropped(disk, directory).await;
    names::space_is_told(disk, directory).await;
    let left = disk.list(directory).await.expect("the directory is there");
    assert!(left.is_empty(), "something was left behind: {left:?}");
}

/// Judges connections and listeners; `directory` holds the file that is sent.
///
/// # Panics
///
/// When a promise of the door is not kept.
pub async fn network<R: Runtime>(runtime: &R, directory: &Path) {
    network::both_ends_know_each_other(runtime).await;
    network::bytes_arrive_in_order_both_ways(runtime).await;
    network::half_close_is_seen_after_all_bytes(runtime).await;
    network::dropped_stream_is_seen_by_the_peer(runtime).await;
    network::writer_waits_for_a_peer_that_does_not_read(runtime).await;
    network::ranges_of_files_are_sent(runtime, directory).await;
    network::nobody_listening_is_refused(runtime).await;
    network::a_port_is_taken_once_and_free_again(runtime).await;
    network::names_are_resolved(runtime).await;
}

/// A fresh file with these bytes.
async fn file_with<D: Disk>(disk: &D, path: &Path, bytes: &[u8]) -> D::File {
    let file = disk.open(path, OpenMode::CreateNew).await.expect("the name is free");
    file.write_all_at(&[IoSlice::new(bytes)], 0).await.expect("the disk takes the bytes");
    file
}

/// All bytes of the file.
async fn contents<F: File>(file: &F) -> Vec<u8> {
    file.read_all(1 << 20).await.expect("the file is read")
}

/// The kind of error, when it was one.
fn error_kind<T>(outcome: io::Result<T>) -> Option<io::ErrorKind> {
    outcome.err().map(|error| error.kind())
}

/// Bytes that tell where they stood.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| index.wrapping_mul(31).wrapping_add(index >> 8).to_le_bytes()[0])
        .collect()
}
