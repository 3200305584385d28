//! A world in memory behind the broker's door: files without a disk, a clock that jumps to the next deadline, tasks that
//! run in turn. Nothing in it fails by itself, so an error comes from the bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ottla::environment::{
    Disk, Entry, EntryKind, File, Instant, Listener, OpenMode, Runtime, Stream,
};
use ottla::model::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More turns than any input needs: then somebody waits for something that never comes.
const TURNS_MAX: usize = 100_000;

/// No file of a test is longer; what wants one believes a number it should not.
const FILE_BYTES_MAX: u64 = 64 << 20;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The world of one input.
#[derive(Clone, Default)]
pub struct World(Arc<State>);

#[derive(Default)]
struct State {
    tasks: Mutex<Vec<Task>>,
    nanos: AtomicU64,
    randoms: AtomicU64,
    disk: MemoryDisk,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `work` to its end, and the tasks it spawns beside it.
    ///
    /// # Panics
    ///
    /// When it never ends.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..TURNS_MAX {
            if let Poll::Ready(output) = work.as_mut().poll(&mut context) {
                // What still runs holds this world: it must not outlive the work.
                lock(&self.0.tasks).clear();
                return output;
            }
            let tasks = std::mem::take(&mut *lock(&self.0.tasks));
            for mut task in tasks {
                if task.as_mut().poll(&mut context).is_pending() {
                    lock(&self.0.tasks).push(task);
                }
            }
        }
        panic!("the work never ends");
    }

    /// Puts a file there as it is, with the directories above it.
    pub fn put(&self, path: impl Into<PathBuf>, bytes: &[u8]) {
        let path = path.into();
        let mut names = lock(&self.0.disk.names);
        names.make_directories(path.parent().unwrap_or(Path::new("/")));
        names.files.insert(path, MemoryFile(Arc::new(Mutex::new(bytes.to_vec()))));
    }
}

impl Runtime for World {
    type File = MemoryFile;
    type Disk = MemoryDisk;
    type Stream = Nowhere;
    type Listener = Nowhere;

    fn now(&self) -> Instant {
        Instant(self.0.nanos.load(Ordering::Relaxed))
    }

    fn wall_clock(&self) -> Timestamp {
        Timestamp(1_700_000_000_000 + i64::try_from(self.now().0 / 1_000_000).unwrap_or(0))
    }

    fn random(&self) -> u64 {
        (self.0.randoms.fetch_add(1, Ordering::Relaxed) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        let world = self.clone();
        let mut is_first = true;
        poll_fn(move |_| {
            if std::mem::take(&mut is_first) {
                return Poll::Pending;
            }
            world.0.nanos.fetch_max(deadline.0, Ordering::Relaxed);
            Poll::Ready(())
        })
    }

    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        lock(&self.0.tasks).push(Box::pin(task));
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        work()
    }

    async fn listen(&self, _address: SocketAddr) -> io::Result<Nowhere> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect(&self, _address: SocketAddr) -> io::Result<Nowhere> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn resolve(&self, _host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn disk(&self) -> &MemoryDisk {
        &self.0.disk
    }
}

/// An open file.
#[derive(Clone)]
pub struct MemoryFile(Arc<Mutex<Vec<u8>>>);

fn place(position: u64) -> usize {
    assert!(position <= FILE_BYTES_MAX, "position {position} is far beyond any file here");
    usize::try_from(position).unwrap_or(usize::MAX)
}

impl File for MemoryFile {
    async fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let bytes = lock(&self.0);
        // Reading far beyond the end is no harm.
        let start = usize::try_from(position).unwrap_or(usize::MAX);
        let found = bytes.get(start..).unwrap_or_default();
        let count = found.len().min(buffer.len());
        buffer[..count].copy_from_slice(&found[..count]);
        Ok(count)
    }

    async fn write_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let mut bytes = lock(&self.0);
        let total: usize = parts.iter().map(|part| part.len()).sum();
        if total == 0 {
            return Ok(0);
        }
        let mut at = place(position);
        if bytes.len() < at + total {
            bytes.resize(at + total, 0);
        }
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Ok(total)
    }

    async fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    async fn set_length(&self, length: u64) -> io::Result<()> {
        lock(&self.0).resize(place(length), 0);
        Ok(())
    }

    async fn length(&self) -> io::Result<u64> {
        u64::try_from(lock(&self.0).len()).map_err(io::Error::other)
    }
}

/// The file system.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    names: Arc<Mutex<Names>>,
}

#[derive(Default)]
struct Names {
    files: BTreeMap<PathBuf, MemoryFile>,
    directories: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
}

impl Names {
    fn is_directory(&self, path: &Path) -> bool {
        path.parent().is_none() || self.directories.contains(path)
    }

    fn make_directories(&mut self, path: &Path) {
        for path in path.ancestors().filter(|path| path.parent().is_some()) {
            self.directories.insert(path.to_owned());
        }
    }

    fn parent_of(&self, path: &Path) -> io::Result<()> {
        let is_there = path.parent().is_some_and(|parent| self.is_directory(parent));
        if is_there { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn move_directory(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.files.contains_key(to) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let moved = |path: &PathBuf| path.strip_prefix(from).ok().map(|rest| to.join(rest));
        let directories = std::mem::take(&mut self.directories);
        self.directories =
            directories.into_iter().map(|path| moved(&path).unwrap_or(path)).collect();
        let files = std::mem::take(&mut self.files);
        self.files =
            files.into_iter().map(|(path, file)| (moved(&path).unwrap_or(path), file)).collect();
        Ok(())
    }
}

/// Held while a lock file is ours.
pub struct MemoryLock {
    path: PathBuf,
    names: Arc<Mutex<Names>>,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        lock(&self.names).locked.remove(&self.path);
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;
    type Lock = MemoryLock;

    async fn open(&self, path: &Path, mode: OpenMode) -> io::Result<MemoryFile> {
        let mut names = lock(&self.names);
        if names.is_directory(path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        names.parent_of(path)?;
        let found = names.files.get(path).cloned();
        match (mode, found) {
            (OpenMode::Read | OpenMode::ReadWrite, None) => Err(io::ErrorKind::NotFound.into()),
            (OpenMode::CreateNew, Some(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            (_, Some(file)) => Ok(file),
            (OpenMode::Create | OpenMode::CreateNew, None) => {
                let file = MemoryFile(Arc::default());
                names.files.insert(path.to_owned(), file.clone());
                Ok(file)
            }
        }
    }

    async fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut names = lock(&self.names);
        if path.ancestors().any(|path| names.files.contains_key(path)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        names.make_directories(path);
        Ok(())
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let names = lock(&self.names);
        if names.files.contains_key(path) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if !names.is_directory(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name = |child: &Path| {
            let name = child.file_name().filter(|_| child.parent() == Some(path))?;
            name.to_str().map(str::to_owned)
        };
        let directories = names.directories.iter().filter_map(|child| {
            Some(Entry { name: name(child)?, kind: EntryKind::Directory, length: 0 })
        });
        let mut entries: Vec<Entry> = directories.collect();
        for (child, file) in &names.files {
            let length = u64::try_from(lock(&file.0).len()).map_err(io::Error::other)?;
            entries.extend(name(child).map(|name| Entry { name, kind: EntryKind::File, length }));
        }
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = lock(&self.names);
        names.parent_of(to)?;
        if names.is_directory(from) {
            return names.move_directory(from, to);
        }
        if names.is_directory(to) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let file = names.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.files.insert(to.to_owned(), file);
        Ok(())
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        let removed = lock(&self.names).files.remove(path);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    async fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let mut names = lock(&self.names);
        if !names.directories.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        names.files.retain(|file, _| !file.starts_with(path));
        names.directories.retain(|directory| !directory.starts_with(path));
        Ok(())
    }

    async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let is_there = lock(&self.names).is_directory(path);
        if is_there { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    async fn lock(&self, path: &Path) -> io::Result<MemoryLock> {
        self.open(path, OpenMode::Create).await?;
        let is_free = lock(&self.names).locked.insert(path.to_owned());
        if !is_free {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(MemoryLock { path: path.to_owned(), names: Arc::clone(&self.names) })
    }

    async fn space(&self, _path: &Path) -> io::Result<(u64, u64)> {
        Ok((1 << 40, 1 << 39))
    }
}

/// The network of this world: there is none, and no value of this type.
pub enum Nowhere {}

impl Listener for Nowhere {
    type Stream = Self;

    async fn accept(&mut self) -> io::Result<Self> {
        match *self {}
    }

    fn local_address(&self) -> SocketAddr {
        match *self {}
    }
}

impl Stream for Nowhere {
    type File = MemoryFile;

    async fn send_file(&mut self, _: &MemoryFile, _: u64, _: u64) -> io::Result<()> {
        match *self {}
    }

    fn peer_address(&self) -> SocketAddr {
        match *self {}
    }

    fn local_address(&self) -> SocketAddr {
        match *self {}
    }
}

impl AsyncRead for Nowhere {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match *self {}
    }
}

impl AsyncWrite for Nowhere {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use ottla::environment::contract;

    use super::*;

    #[test]
    fn files_and_names_are_as_the_door_promises() {
        let world = World::new();
        world.run(async {
            world.disk().create_directory(Path::new("/d")).await.expect("it can be made");
            contract::disk(&world, Path::new("/d")).await;
        });
    }
}
