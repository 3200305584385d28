//! The simulated disk of a machine. It outlives the process, and keeps of unsynced work what a real one might.
//!
//! A process crash loses nothing: the page cache belongs to the kernel. A power loss decides for each unsynced sector
//! whether it is kept, lost or torn, and for each unsynced name whether it is there; see [`image`] and [`names`], and the
//! promises in [`ottla::environment`].

mod file;
mod image;
mod names;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla::environment::{Disk, Entry, EntryKind, OpenMode};
use tokio::sync::oneshot;

pub use file::SimFile;
pub use image::SECTOR_BYTES;

use self::image::FileImage;
use self::names::{Node, NodeId, Tree};
use crate::events::{Damage, DiskOperation, Event, Recorder};
use crate::machine::MachineId;
use crate::random::Random;
use crate::timeline::Timeline;

/// What the kernel says when a process has too many files open.
const EMFILE: i32 = 24;

/// How healthy a disk is. The default is a healthy one.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskFaults {
    /// Bytes on the device.
    pub capacity: u64,
    /// How long a sync takes, in microseconds.
    pub sync_us: Range<u64>,
    /// How often anything else takes time too.
    pub delay: f64,
    /// How much, in microseconds.
    pub delay_us: Range<u64>,
    /// How often a sync stalls.
    pub stall: f64,
    /// For how long, in milliseconds.
    pub stall_ms: Range<u64>,
    /// How often a write takes less than it was given.
    pub short_write: f64,
    /// How often a read fails.
    pub read_error: f64,
    /// How often a write fails.
    pub write_error: f64,
    /// How often a sync fails; everything looks clean afterwards.
    pub sync_error: f64,
    /// How often a sync says that it is done, and has done nothing.
    pub lying_sync: f64,
    /// How often a file cannot be opened because the process has no descriptor left.
    pub no_descriptor: f64,
    /// How often one bit is wrong in what a read gives.
    pub read_bit_flip: f64,
    /// How often one sector of a sync lands on the place of another.
    pub misdirected_write: f64,
}

impl Default for DiskFaults {
    fn default() -> Self {
        Self {
            capacity: 1 << 40,
            sync_us: 50..2_000,
            delay: 0.05,
            delay_us: 1..20,
            stall: 0.0,
            stall_ms: 100..5_000,
            short_write: 0.02,
            read_error: 0.0,
            write_error: 0.0,
            sync_error: 0.0,
            lying_sync: 0.0,
            no_descriptor: 0.0,
            read_bit_flip: 0.0,
            misdirected_write: 0.0,
        }
    }
}

/// The disk of one machine; clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    machine: MachineId,
    timeline: Arc<Timeline>,
    events: Arc<Recorder>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tree: Tree,
    /// Who holds the lock of a file: a number that is never used again.
    locks: BTreeMap<NodeId, u64>,
    next_lock: u64,
    /// Counts the processes that have used the disk: what an earlier one lets go of late changes nothing.
    process: u64,
    faults: DiskFaults,
    random: Random,
    awaited: Option<Awaited>,
}

/// Somebody waits until an operation, or any, has been done so many times more.
#[derive(Debug)]
struct Awaited {
    operation: Option<DiskOperation>,
    left: u64,
    done: oneshot::Sender<()>,
}

/// An exclusive lock of a simulated file.
#[derive(Debug)]
pub struct SimLock {
    disk: SimDisk,
    node: NodeId,
    number: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        // A process that has crashed has lost its locks before this runs, and another may have taken them.
        if state.locks.get(&self.node) == Some(&self.number) {
            state.locks.remove(&self.node);
        }
    }
}

impl SimDisk {
    pub(crate) fn new(
        machine: MachineId,
        timeline: Arc<Timeline>,
        events: Arc<Recorder>,
        random: Random,
    ) -> Self {
        let state = State {
            tree: Tree::new(),
            locks: BTreeMap::new(),
            next_lock: 1,
            process: 0,
            faults: DiskFaults::default(),
            random,
            awaited: None,
        };
        Self { shared: Arc::new(Shared { machine, timeline, events, state: Mutex::new(state) }) }
    }

    /// Changes how healthy the disk is, from now on.
    pub fn set_faults(&self, change: impl FnOnce(&mut DiskFaults)) {
        change(&mut self.state().faults);
    }

    /// Turns one bit of a file for good, as an old device does.
    ///
    /// # Errors
    ///
    /// When there is no such file.
    pub fn rot(&self, path: &Path, position: u64, bit: u32) -> io::Result<()> {
        let mut state = self.state();
        let node = state.tree.find(path)?;
        state.tree.file(node)?.flip_bit(position, bit);
        self.shared.events.count("bit rotten", 1);
        Ok(())
    }

    /// Ends when this operation, or any, has ended for the `count`th time from now on. One at a time may wait.
    pub async fn nth(&self, operation: Option<DiskOperation>, count: u64) {
        let (done, is_done) = oneshot::channel();
        self.state().awaited = Some(Awaited { operation, left: count.max(1), done });
        // Never, when somebody else waits instead.
        if is_done.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn count_for_who_waits(&self, operation: DiskOperation) {
        let mut state = self.state();
        let is_awaited = |it: &&mut Awaited| it.operation.is_none_or(|one| one == operation);
        let Some(awaited) = state.awaited.as_mut().filter(is_awaited) else { return };
        awaited.left -= 1;
        if awaited.left == 0
            && let Some(awaited) = state.awaited.take()
        {
            // Whoever waited may have given up.
            let _ = awaited.done.send(());
        }
    }

    /// What stands in a file, as processes would read it, without being one: nothing takes time, nothing fails. None when
    /// there is no such file.
    #[must_use]
    pub fn peek(&self, path: &Path, position: u64, length: usize) -> Option<Vec<u8>> {
        let mut state = self.state();
        let node = state.tree.find(path).ok()?;
        let image = state.tree.file(node).ok()?;
        let mut bytes = vec![0; length];
        let read = image.read(&mut bytes, position);
        bytes.truncate(read);
        Some(bytes)
    }

    /// The names in a directory, in the same way.
    #[must_use]
    pub fn peek_names(&self, path: &Path) -> Option<Vec<String>> {
        let state = self.state();
        let node = state.tree.find(path).ok()?;
        Some(state.tree.names(node).ok()?.live.keys().cloned().collect())
    }

    /// Bytes in use on the device.
    #[must_use]
    pub fn allocated(&self) -> u64 {
        self.state().tree.allocated()
    }

    /// The kernel reads anew what it takes for written. After a failed sync or a misdirected write this shows what the
    /// device really holds.
    pub fn drop_clean_pages(&self) {
        for node in self.state().tree.nodes.values_mut() {
            if let Node::File(image) = node {
                image.drop_clean_pages();
            }
        }
    }

    /// The process is dead; its kernel lives on and releases what it held.
    pub(crate) fn process_died(&self) {
        let mut state = self.state();
        state.locks.clear();
        state.process += 1;
        state.tree.open_counts.clear();
        state.tree.forget_unreachable();
    }

    /// The machine has lost power.
    pub(crate) fn power_lost(&self) {
        let mut state = self.state();
        state.locks.clear();
        state.process += 1;
        let State { tree, random, .. } = &mut *state;
        let (names_lost, names_kept) = tree.lose_power(random);
        self.damage(0, Damage::NamesLost, names_lost);
        self.damage(0, Damage::NamesKept, names_kept);
        for (id, node) in &mut tree.nodes {
            if let Node::File(image) = node {
                let damage = image.lose_power(random);
                self.damage(id.0, Damage::SectorsLost, damage.sectors_lost);
                self.damage(id.0, Damage::SectorsTorn, damage.sectors_torn);
                self.damage(id.0, Damage::SectorsKept, damage.sectors_kept);
                self.damage(id.0, Damage::LengthLost, damage.length_lost);
            }
        }
    }

    fn damage(&self, file: u64, damage: Damage, count: u64) {
        if count == 0 {
            return;
        }
        let Shared { machine, timeline, events, .. } = &*self.shared;
        events.record(timeline.now(), Event::Lost { machine: *machine, file, damage, count });
        let name = match damage {
            Damage::SectorsLost => "sector lost",
            Damage::SectorsTorn => "sector torn",
            Damage::SectorsKept => "unsynced sector kept",
            Damage::LengthLost => "length changed by power loss",
            Damage::NamesLost => "change of name lost",
            Damage::NamesKept => "unsynced change of name kept",
        };
        events.count(name, if damage == Damage::LengthLost { 1 } else { count });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the time that an operation takes.
    async fn delay(&self) {
        let delay = {
            let State { faults, random, .. } = &mut *self.state();
            random.chance(faults.delay).then(|| random.between(&faults.delay_us))
        };
        if let Some(micros) = delay {
            self.shared.timeline.sleep(Duration::from_micros(micros)).await;
        }
    }

    /// Takes the time that a sync takes.
    async fn sync_delay(&self) {
        let micros = {
            let State { faults, random, .. } = &mut *self.state();
            let mut micros = random.between(&faults.sync_us);
            if random.chance(faults.stall) {
                self.shared.events.count("sync stalled", 1);
                micros += random.between(&faults.stall_ms) * 1000;
            }
            micros
        };
        self.shared.timeline.sleep(Duration::from_micros(micros)).await;
    }

    /// Tells the recorder how an operation has ended.
    fn record<T>(
        &self,
        operation: DiskOperation,
        (file, position, length): (u64, u64, u64),
        outcome: io::Result<T>,
    ) -> io::Result<T> {
        let Shared { machine, timeline, events, .. } = &*self.shared;
        let error = outcome.as_ref().err().map(io::Error::kind);
        let event = Event::Disk { machine: *machine, operation, file, position, length, error };
        events.record(timeline.now(), event);
        self.count_for_who_waits(operation);
        events.look(timeline.now(), *machine);
        outcome
    }

    /// Tells whoever looks which file has which number.
    fn tell_name(&self, file: u64, path: &Path) {
        let Shared { machine, timeline, events, .. } = &*self.shared;
        if events.is_kept() {
            let path = path.display().to_string();
            events.observe(timeline.now(), Event::Opened { machine: *machine, file, path });
        }
    }

    fn named<T>(&self, operation: DiskOperation, outcome: io::Result<T>) -> io::Result<T> {
        self.record(operation, (0, 0, 0), outcome)
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    async fn open(&self, path: &Path, mode: OpenMode) -> io::Result<SimFile> {
        self.delay().await;
        let is_starved = {
            let State { faults, random, .. } = &mut *self.state();
            random.chance(faults.no_descriptor)
        };
        let opened = if is_starved {
            Err(io::Error::from_raw_os_error(EMFILE))
        } else {
            self.state().open(path, mode)
        };
        let file = opened.as_ref().map_or(0, |node| node.0);
        let node = self.record(DiskOperation::Open, (file, 0, 0), opened)?;
        self.tell_name(file, path);
        let process = self.state().process;
        Ok(SimFile::new(self.clone(), (node, process), mode != OpenMode::Read))
    }

    async fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.delay().await;
        let outcome = self.state().tree.create_directories(path);
        self.named(DiskOperation::CreateDirectory, outcome)
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.delay().await;
        let outcome = self.state().list(path);
        self.named(DiskOperation::List, outcome)
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.delay().await;
        let outcome = self.state().tree.rename(from, to);
        self.named(DiskOperation::Rename, outcome)
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.delay().await;
        let outcome = self.state().tree.remove_file(path);
        self.named(DiskOperation::RemoveFile, outcome)
    }

    async fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.delay().await;
        let outcome = self.state().tree.remove_directory(path);
        self.named(DiskOperation::RemoveDirectory, outcome)
    }

    async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let directory = {
            let state = self.state();
            let found = state.tree.find(path);
            found.and_then(|node| state.tree.names(node).map(|_| node))
        };
        let directory = match directory {
            Ok(directory) => directory,
            Err(error) => return self.named(DiskOperation::SyncDirectory, Err(error)),
        };
        self.sync_delay().await;
        let outcome = {
            let State { tree, faults, random, .. } = &mut *self.state();
            if random.chance(faults.sync_error) {
                self.shared.events.count("directory sync failed", 1);
                Err(io::Error::from_raw_os_error(EIO))
            } else {
                if random.chance(faults.lying_sync) {
                    self.shared.events.count("directory sync lied", 1);
                } else {
                    tree.sync_directory(directory);
                }
                Ok(())
            }
        };
        self.record(DiskOperation::SyncDirectory, (directory.0, 0, 0), outcome)
    }

    async fn lock(&self, path: &Path) -> io::Result<SimLock> {
        self.delay().await;
        let outcome = self.state().lock(path);
        let (node, number) = self.named(DiskOperation::Lock, outcome)?;
        Ok(SimLock { disk: self.clone(), node, number })
    }

    async fn space(&self, path: &Path) -> io::Result<(u64, u64)> {
        let outcome = {
            let state = self.state();
            state.tree.find(path).map(|_| (state.faults.capacity, state.free()))
        };
        self.named(DiskOperation::Space, outcome)
    }
}

impl State {
    fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<NodeId> {
        let (directory, name) = self.tree.parent(path)?;
        let found = self.tree.names(directory)?.live.get(&name).copied();
        let node = match (found, mode) {
            (Some(_), OpenMode::CreateNew) => return Err(ErrorKind::AlreadyExists.into()),
            (Some(node), OpenMode::Read | OpenMode::ReadWrite | OpenMode::Create) => node,
            (None, OpenMode::Read | OpenMode::ReadWrite) => return Err(ErrorKind::NotFound.into()),
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                self.tree.create(directory, name, Node::File(FileImage::default()))
            }
        };
        self.tree.file(node)?;
        *self.tree.open_counts.entry(node).or_default() += 1;
        Ok(node)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let names = self.tree.names(self.tree.find(path)?)?;
        let entry = |(name, node): (&String, &NodeId)| {
            let (kind, length) = match self.tree.nodes.get(node)? {
                Node::File(image) => (EntryKind::File, image.length()),
                Node::Directory(_) => (EntryKind::Directory, 0),
            };
            Some(Entry { name: name.clone(), kind, length })
        };
        Ok(names.live.iter().filter_map(entry).collect())
    }

    fn lock(&mut self, path: &Path) -> io::Result<(NodeId, u64)> {
        let node = self.open(path, OpenMode::Create)?;
        self.close(node, self.process);
        if self.locks.contains_key(&node) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let number = self.next_lock;
        self.next_lock += 1;
        self.locks.insert(node, number);
        Ok((node, number))
    }

    fn close(&mut self, node: NodeId, process: u64) {
        if process != self.process {
            return;
        }
        let Some(count) = self.tree.open_counts.get_mut(&node) else { return };
        *count -= 1;
        if *count == 0 {
            self.tree.open_counts.remove(&node);
        }
    }

    fn free(&self) -> u64 {
        self.faults.capacity.saturating_sub(self.tree.allocated())
    }
}

/// What Linux calls an error of the device.
const EIO: i32 = 5;
