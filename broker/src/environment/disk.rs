use std::future::Future;
use std::io::{self, IoSlice};
use std::path::Path;

/// True when an error says that the process or the system has no file descriptor left: no fault of any disk, and over once
/// files or connections are closed.
#[must_use]
pub fn is_out_of_files(error: &io::Error) -> bool {
    /// Of the system.
    const ENFILE: i32 = 23;
    /// Of the process.
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// What people can do when [`is_out_of_files`].
pub const OUT_OF_FILES: &str = "the limit of open files is reached: raise it (ulimit -n, LimitNOFILE= of systemd, \
    fs.file-max of the system), or have fewer partitions, segments or connections";

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist; no writing.
    Read,
    /// It must exist.
    ReadWrite,
    /// Made when it does not exist.
    Create,
    /// It must not exist.
    CreateNew,
}

/// What a name in a directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The last part of the path.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Length in bytes of a file; 0 for a directory.
    pub length: u64,
}

/// A file system. What survives what is said in the module's essay.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file.
    type File: File;
    /// Held while a lock file is ours; released on drop or death.
    type Lock: Send + Sync + 'static;

    /// Opens a file. A made name is durable only after [`sync_directory`](Self::sync_directory).
    fn open(
        &self,
        path: &Path,
        mode: OpenMode,
    ) -> impl Future<Output = io::Result<Self::File>> + Send;

    /// Makes a directory and those above it; no error when it is there.
    fn create_directory(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// The names in a directory, in order of name; names that are not UTF-8 are left out.
    fn list(&self, path: &Path) -> impl Future<Output = io::Result<Vec<Entry>>> + Send;

    /// Moves a file or directory in one step, replacing a file at the target.
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// Removes a file. Files still open go on working.
    fn remove_file(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// Removes a directory with all that is in it.
    fn remove_directory(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// Takes the exclusive lock file at `path` (made when missing).
    ///
    /// # Errors
    ///
    /// `WouldBlock` when another process holds it.
    fn lock(&self, path: &Path) -> impl Future<Output = io::Result<Self::Lock>> + Send;

    /// Bytes in the file system that holds `path`: (all, free to us).
    fn space(&self, path: &Path) -> impl Future<Output = io::Result<(u64, u64)>> + Send;
}

/// An open file; clones share it. Reads and writes carry their position.
pub trait File: Clone + Send + Sync + 'static {
    /// Reads at most `buffer.len()` bytes; 0 at the end of the file. In production a direct `pread`.
    fn read_at(
        &self,
        buffer: &mut [u8],
        position: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send;

    /// Writes the parts one after the other; may write less than all. In production a direct `pwritev`
    /// into the page cache, never pending.
    fn write_at(
        &self,
        parts: &[IoSlice<'_>],
        position: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send;

    /// Makes written bytes and the length durable (`fdatasync`).
    fn sync_data(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Cuts or extends (with zeros).
    fn set_length(&self, length: u64) -> impl Future<Output = io::Result<()>> + Send;

    /// The length in bytes.
    fn length(&self) -> impl Future<Output = io::Result<u64>> + Send;
}
