//! The only door to the outer world: clock, randomness, tasks, network and disk.
//!
//! Everything above is generic over one [`Runtime`]. Production (`tokio/`) implements it on real tokio and real files,
//! `sim/` on madsim with its own network and disk; the same functions in [`contract`] judge both.
//!
//! # What an implementation promises
//!
//! **Time.** [`Runtime::now`] never goes back. [`Runtime::wall_clock`] may jump either way; nothing may rely on it
//! for order or time-outs.
//!
//! **Tasks.** A spawned task runs until it ends or its node dies. When a process dies its tasks simply stop: nothing may
//! rely on `Drop` for I/O.
//!
//! **Network.** A [`Stream`] delivers bytes in order, in pieces of any size, or fails; it may also stay silent for ever,
//! so a read from a peer needs a deadline. Bytes accepted by a write may never arrive.
//!
//! **Disk.** After the *process* dies, every completed write is kept. After *power* is lost:
//! - bytes written and then covered by a completed [`File::sync_data`] are kept, with the file's length;
//! - every other written sector (512 bytes) is kept, lost or torn, each by itself, in no order; the same holds for a change
//!   of length (a part that was extended but not written may read as zeros, a part cut off may be back);
//! - a created, renamed or removed name is kept only after a completed [`Disk::sync_directory`] of its directory;
//!   before that the old state, or the new one, may be found;
//! - after [`File::sync_data`] has failed, nothing written before may be believed, and a second call that succeeds proves
//!   nothing: whoever sees the error takes the log directory offline.
//!
//! A write may be short, like `pwrite`; [`FileExt::write_all_at`] goes on. Reads may see any mix of old and new bytes of a
//! write that has not completed.

mod runtime;
mod net;
mod disk;
mod select;
mod ext;
pub mod contract;
pub mod tokio;

pub use disk::{Disk, Entry, EntryKind, File, OUT_OF_FILES, OpenMode, is_out_of_files};
pub use ext::{Elapsed, FileExt, Stop, Stopper, timeout};
pub use net::{Listener, Stream};
pub use runtime::{Instant, Runtime};
pub use select::select;
