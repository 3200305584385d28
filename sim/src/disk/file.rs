//! An open file of a simulated disk, and what can go wrong with it.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use ottla::environment::File;

use super::image::SyncOutcome;
use super::names::NodeId;
use super::{EIO, SimDisk, State};
use crate::events::{Digest, DiskOperation};

/// An open file; clones share it.
#[derive(Clone, Debug)]
pub struct SimFile {
    open: Arc<Open>,
}

#[derive(Debug)]
struct Open {
    disk: SimDisk,
    node: NodeId,
    /// Which process has opened it.
    process: u64,
    is_writable: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.disk.state().close(self.node, self.process);
    }
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, (node, process): (NodeId, u64), is_writable: bool) -> Self {
        Self { open: Arc::new(Open { disk, node, process, is_writable }) }
    }

    fn record<T>(
        &self,
        operation: DiskOperation,
        position: u64,
        length: u64,
        outcome: io::Result<T>,
    ) -> io::Result<T> {
        self.open.disk.record(operation, (self.open.node.0, position, length), outcome)
    }

    fn count(&self, what: &'static str) {
        self.open.disk.shared.events.count(what, 1);
    }

    fn read_now(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let State { tree, faults, random, .. } = &mut *self.open.disk.state();
        if random.chance(faults.read_error) {
            self.count("read failed");
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let count = tree.file(self.open.node)?.read(buffer, position);
        if count > 0 && random.chance(faults.read_bit_flip) {
            self.count("bit flipped on read");
            let at = random.index(count);
            buffer[at] ^= 1 << random.below(8);
        }
        Ok(count)
    }

    fn write_now(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        if !self.open.is_writable {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let State { tree, faults, random, .. } = &mut *self.open.disk.state();
        if random.chance(faults.write_error) {
            self.count("write failed");
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let mut count = bytes.len();
        if count > 1 && random.chance(faults.short_write) {
            self.count("write cut short");
            count = 1 + random.index(count - 1);
        }
        let end = position.checked_add(count as u64).ok_or(ErrorKind::FileTooLarge)?;
        if end > LENGTH_MAX {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let needed = tree.file(self.open.node)?.allocation_for(position, count as u64);
        if needed > 0 {
            let free = faults.capacity.saturating_sub(tree.allocated());
            if needed > free {
                self.count("disk full");
                return Err(ErrorKind::StorageFull.into());
            }
        }
        tree.file(self.open.node)?.write(&bytes[..count], position);
        Ok(count)
    }

    async fn sync_now(&self) -> io::Result<()> {
        let work = self.open.disk.state().tree.file(self.open.node)?.begin_sync();
        self.open.disk.sync_delay().await;
        let State { tree, faults, random, .. } = &mut *self.open.disk.state();
        let image = tree.file(self.open.node)?;
        if random.chance(faults.lying_sync) {
            self.count("sync lied");
            return Ok(());
        }
        if random.chance(faults.sync_error) {
            self.count("sync failed");
            image.end_sync(work, SyncOutcome::Failed, random);
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let outcome = if work.sector_count() > 0 && random.chance(faults.misdirected_write) {
            self.count("write misdirected");
            SyncOutcome::Misdirected
        } else {
            SyncOutcome::Complete
        };
        image.end_sync(work, outcome, random);
        Ok(())
    }
}

impl File for SimFile {
    async fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.open.disk.delay().await;
        let outcome = self.read_now(buffer, position);
        let count = outcome.as_ref().map_or(0, |count| *count as u64);
        self.record(DiskOperation::Read, position, count, outcome)
    }

    async fn write_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.open.disk.delay().await;
        let outcome = self.write_now(&bytes, position);
        let count = outcome.as_ref().map_or(0, |count| *count as u64);
        self.open.disk.shared.events.fold(Digest::of(&bytes));
        self.record(DiskOperation::Write, position, count, outcome)
    }

    async fn sync_data(&self) -> io::Result<()> {
        let outcome = self.sync_now().await;
        self.record(DiskOperation::SyncData, 0, 0, outcome)
    }

    async fn set_length(&self, length: u64) -> io::Result<()> {
        self.open.disk.delay().await;
        let outcome = if !self.open.is_writable {
            Err(ErrorKind::InvalidInput.into())
        } else if length > LENGTH_MAX {
            Err(ErrorKind::FileTooLarge.into())
        } else {
            let mut state = self.open.disk.state();
            state.tree.file(self.open.node).map(|image| image.set_length(length))
        };
        self.record(DiskOperation::SetLength, length, 0, outcome)
    }

    async fn length(&self) -> io::Result<u64> {
        let outcome = self.open.disk.state().tree.file(self.open.node).map(|image| image.length());
        self.record(DiskOperation::Length, 0, 0, outcome)
    }
}

/// Longest file of ext4.
const LENGTH_MAX: u64 = 16 << 40;
