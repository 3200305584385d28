//! What the offset index and the time index have in common: sorted entries of one size in a file.
//!
//! The index of the active segment is kept in memory and its file is pre-allocated, as Kafka does; the index of a sealed
//! segment is searched in its file. Nothing in a file is believed: an entry that makes no sense is as if it were absent,
//! and the reader scans from further up.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::environment::{Disk, File, FileExt, OpenMode};

/// One entry of an index file.
pub(crate) trait Entry: Copy + Debug + PartialEq + Send + Sync + 'static {
    /// Its size in the file.
    const BYTES: usize;

    /// Appends its bytes.
    fn encode(&self, bytes: &mut Vec<u8>);

    /// Reads it back; `None` when no index of ours holds such an entry.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// True when `self` may stand directly before `next`.
    fn precedes(&self, next: &Self) -> bool;
}

/// An index file of one segment.
pub(crate) struct Index<F, E> {
    state: Mutex<State<F, E>>,
}

struct State<F, E> {
    /// All entries, while the segment is active.
    entries: Option<Vec<E>>,
    /// How many there are in the file, as far as it is known to agree with `entries`.
    written: usize,
    /// Entries the pre-allocated file has room for.
    room: usize,
    file: Option<F>,
}

/// Entries read in one go at the end of a search.
const BLOCK_ENTRIES: usize = 256;

impl<F: File, E: Entry> Index<F, E> {
    /// The index of a sealed segment, with a file of this length.
    pub(crate) fn sealed(length: u64) -> Self {
        let written = usize::try_from(length).unwrap_or(usize::MAX) / E::BYTES;
        Self { state: Mutex::new(State { entries: None, written, room: written, file: None }) }
    }

    /// The index of an active segment, pre-allocated; `entries` are written anew.
    pub(crate) async fn active<D: Disk<File = F>>(
        disk: &D,
        path: &Path,
        index_bytes: u64,
        entries: Vec<E>,
    ) -> io::Result<Self> {
        let file = disk.open(path, OpenMode::Create).await?;
        let room =
            (usize::try_from(index_bytes).unwrap_or(usize::MAX) / E::BYTES).max(entries.len());
        let index = Self {
            state: Mutex::new(State {
                entries: Some(entries),
                written: 0,
                room,
                file: Some(file.clone()),
            }),
        };
        file.set_length(0).await?;
        file.set_length((room * E::BYTES) as u64).await?;
        match index.write_pending().await {
            // The entries are in memory; a log must open, and be cut, on a full disk.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
            result => result?,
        }
        Ok(index)
    }

    /// True when no entry fits any more.
    pub(crate) fn is_full(&self, spare: usize) -> bool {
        let state = self.lock();
        state.entries.as_ref().map_or(state.written, Vec::len) + spare >= state.room
    }

    /// Adds an entry in memory; [`write_pending`](Self::write_pending) puts it into the file.
    pub(crate) fn push(&self, entry: E) {
        if let Some(entries) = self.lock().entries.as_mut() {
            entries.push(entry);
        }
    }

    /// The last entry of an active index.
    pub(crate) fn last_in_memory(&self) -> Option<E> {
        self.lock().entries.as_ref().and_then(|entries| entries.last().copied())
    }

    /// Writes what was pushed since the last time. When it fails, or is dropped, the next call begins at the same place.
    pub(crate) async fn write_pending(&self) -> io::Result<()> {
        let Some((file, bytes, position, upto)) = self.pending() else { return Ok(()) };
        file.write_all_at(&[IoSlice::new(&bytes)], position).await?;
        let mut state = self.lock();
        let length = state.entries.as_ref().map_or(state.written, Vec::len);
        state.written = upto.min(length);
        Ok(())
    }

    /// How many entries are in memory only.
    pub(crate) fn pending_count(&self) -> usize {
        let state = self.lock();
        state.entries.as_ref().map_or(0, |entries| entries.len().saturating_sub(state.written))
    }

    fn pending(&self) -> Option<(F, Vec<u8>, u64, usize)> {
        let state = self.lock();
        let entries = state.entries.as_ref()?;
        let new = entries.get(state.written..).filter(|new| !new.is_empty())?;
        let mut bytes = Vec::with_capacity(new.len() * E::BYTES);
        for entry in new {
            entry.encode(&mut bytes);
        }
        Some((state.file.clone()?, bytes, (state.written * E::BYTES) as u64, entries.len()))
    }

    /// Writes what is pending and cuts the file to its entries; they leave memory.
    pub(crate) async fn seal(&self) -> io::Result<()> {
        self.write_pending().await?;
        let (file, written) = {
            let state = self.lock();
            (state.file.clone(), state.written)
        };
        if let Some(file) = file {
            file.set_length((written * E::BYTES) as u64).await?;
        }
        let mut state = self.lock();
        state.entries = None;
        state.room = state.written;
        Ok(())
    }

    /// Syncs the file, opened when it is not, and closes it when the segment is sealed.
    pub(crate) async fn sync<D: Disk<File = F>>(&self, disk: &D, path: &Path) -> io::Result<()> {
        self.file(disk, path).await?.sync_data().await?;
        let mut state = self.lock();
        if state.entries.is_none() {
            state.file = None;
        }
        Ok(())
    }

    /// The last entry `holds` is true for; entries it is true for come first.
    pub(crate) async fn floor<D: Disk<File = F>>(
        &self,
        disk: &D,
        path: &Path,
        holds: impl Fn(&E) -> bool + Send + Sync,
    ) -> io::Result<Option<E>> {
        let count = {
            let state = self.lock();
            if let Some(entries) = &state.entries {
                let point = entries.partition_point(&holds);
                return Ok(point.checked_sub(1).and_then(|at| entries.get(at)).copied());
            }
            state.written
        };
        if count == 0 {
            return Ok(None);
        }
        let file = match self.file(disk, path).await {
            // Deleted under a reader that still holds the segment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        search(&file, count, &holds).await
    }

    /// All entries, from memory or from the file as far as they make sense.
    pub(crate) async fn entries<D: Disk<File = F>>(
        &self,
        disk: &D,
        path: &Path,
    ) -> io::Result<Vec<E>> {
        let count = {
            let state = self.lock();
            if let Some(entries) = &state.entries {
                return Ok(entries.clone());
            }
            state.written
        };
        Ok(read_entries(&self.file(disk, path).await?, count).await?.0)
    }

    /// The last entry.
    pub(crate) async fn last<D: Disk<File = F>>(
        &self,
        disk: &D,
        path: &Path,
    ) -> io::Result<Option<E>> {
        self.floor(disk, path, |_| true).await
    }

    async fn file<D: Disk<File = F>>(&self, disk: &D, path: &Path) -> io::Result<F> {
        if let Some(file) = &self.lock().file {
            return Ok(file.clone());
        }
        let file = disk.open(path, OpenMode::ReadWrite).await?;
        self.lock().file = Some(file.clone());
        Ok(file)
    }

    fn lock(&self) -> MutexGuard<'_, State<F, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bisects down to one block and reads that.
async fn search<F: File, E: Entry>(
    file: &F,
    count: usize,
    holds: &(impl Fn(&E) -> bool + Send + Sync),
) -> io::Result<Option<E>> {
    let (mut low, mut high) = (0, count);
    let mut bytes = vec![0; E::BYTES * (BLOCK_ENTRIES + 1)];
    while high - low > BLOCK_ENTRIES {
        let middle = low + (high - low) / 2;
        let Some(one) = bytes.get_mut(..E::BYTES) else { break };
        let read = file.read_full_at(one, (middle * E::BYTES) as u64).await?;
        match E::decode(one).filter(|_| read == E::BYTES) {
            Some(entry) if holds(&entry) => low = middle + 1,
            Some(_) => high = middle,
            None => return Ok(None),
        }
    }
    let first = low.saturating_sub(1);
    let block = bytes.get_mut(..(high - first) * E::BYTES).unwrap_or_default();
    let read = file.read_full_at(block, (first * E::BYTES) as u64).await?;
    let entries = block.get(..read).unwrap_or_default().chunks_exact(E::BYTES);
    Ok(entries.map_while(E::decode).take_while(holds).last())
}

/// Reads an index file from the start up to the first entry that cannot stand there, `count_max` at most. The second
/// value says whether that was the end of the file: whether the file can be trusted as it is.
pub(crate) async fn read_entries<F: File, E: Entry>(
    file: &F,
    count_max: usize,
) -> io::Result<(Vec<E>, bool)> {
    let mut entries: Vec<E> = Vec::new();
    let mut block = vec![0; E::BYTES * 1024];
    let mut position = 0;
    loop {
        let read = file.read_full_at(&mut block, position).await?;
        for bytes in block.get(..read).unwrap_or_default().chunks_exact(E::BYTES) {
            let fits = |entry: &E| entries.last().is_none_or(|last| last.precedes(entry));
            match E::decode(bytes).filter(fits) {
                Some(entry) if entries.len() < count_max => entries.push(entry),
                _ => return Ok((entries, false)),
            }
        }
        if read < block.len() {
            return Ok((entries, read % E::BYTES == 0));
        }
        position += read as u64;
    }
}
