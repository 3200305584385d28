use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock, statvfs};

use super::{TokioFile, blocking};
use crate::environment::{Disk, Entry, EntryKind, OUT_OF_FILES, OpenMode, is_out_of_files};

/// The file systems of the kernel.
///
/// What touches only names is done on the calling thread; what waits for the device goes to the blocking pool.
///
/// When the process has no descriptor left, [`open`](Disk::open) says so. What needs one for a moment only, to list or to sync a
/// directory, waits until there is one: it would leave renames half done.
#[derive(Clone, Copy, Debug)]
pub struct TokioDisk;

/// An exclusive `flock`; the kernel releases it when this is dropped or the process dies.
#[derive(Debug)]
pub struct TokioLock {
    _file: fs::File,
}

impl Disk for TokioDisk {
    type File = TokioFile;
    type Lock = TokioLock;

    async fn open(&self, path: &Path, mode: OpenMode) -> io::Result<TokioFile> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::ReadWrite => options.write(true),
            OpenMode::Create => options.write(true).create(true).truncate(false),
            OpenMode::CreateNew => options.write(true).create_new(true),
        };
        Ok(TokioFile(Arc::new(options.open(path)?)))
    }

    async fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        with_descriptor(path, || list(path)).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        blocking(move || fs::remove_file(path)).await
    }

    async fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        blocking(move || fs::remove_dir_all(path)).await
    }

    async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let directory = with_descriptor(path, || fs::File::open(path)).await?;
        blocking(move || directory.sync_all()).await
    }

    async fn lock(&self, path: &Path) -> io::Result<TokioLock> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(TokioLock { _file: file })
    }

    async fn space(&self, path: &Path) -> io::Result<(u64, u64)> {
        let space = statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
        Ok((bytes(space.f_blocks), bytes(space.f_bavail)))
    }
}

/// How long to wait before looking for a free descriptor again.
const DESCRIPTOR_WAIT: Duration = Duration::from_millis(20);

/// Does what needs a descriptor for a moment, as soon as there is one.
async fn with_descriptor<T>(path: &Path, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let mut has_waited = false;
    loop {
        match work() {
            Err(error) if is_out_of_files(&error) => {
                if !std::mem::replace(&mut has_waited, true) {
                    tracing::error!(path = %path.display(), %error, advice = OUT_OF_FILES, "waiting for a file descriptor");
                }
                tokio::time::sleep(DESCRIPTOR_WAIT).await;
            }
            result => return result,
        }
    }
}

fn list(path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for found in fs::read_dir(path)? {
        let found = found?;
        let Ok(name) = found.file_name().into_string() else { continue };
        // Links are followed; a name that has just been removed, or leads nowhere, is not there.
        let metadata = match fs::metadata(found.path()) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if metadata.is_file() {
            entries.push(Entry { name, kind: EntryKind::File, length: metadata.len() });
        } else if metadata.is_dir() {
            entries.push(Entry { name, kind: EntryKind::Directory, length: 0 });
        }
    }
    entries.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(entries)
}
