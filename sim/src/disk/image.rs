//! One file: what the process sees (the page cache) and what the device holds, where the two differ.
//!
//! The contents are kept once, in sparse pages, as the process sees them. For each sector that differs from the device
//! the device's bytes are kept beside it. So a file of megabytes costs its size once, and making it durable costs what
//! has been written since.

use std::collections::BTreeMap;

use crate::random::Random;

/// Bytes that the device writes in one piece.
pub const SECTOR_BYTES: u64 = 512;

const SECTOR: usize = 512;

/// Bytes that are allocated in one piece.
const PAGE: usize = 4096;

type SectorBytes = [u8; SECTOR];

const ZEROS: SectorBytes = [0; SECTOR];

/// One file.
#[derive(Debug, Default)]
pub(super) struct FileImage {
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
    length: u64,
    /// Sectors whose bytes on the device are (or may be) other than those in `pages`.
    differing: BTreeMap<u64, Differing>,
    durable_length: u64,
    /// The length is other than the durable one, and the next sync will see to it.
    is_length_dirty: bool,
    /// The shortest the file has been since the last sync.
    shortest: u64,
    next_sync: u64,
    last_durable_sync: u64,
}

/// A sector whose bytes on the device are others than those the process sees.
#[derive(Debug)]
struct Differing {
    /// What the device holds; `None` for zeros.
    device: Option<Box<SectorBytes>>,
    /// The next sync writes it. Otherwise the kernel wrongly believes that it has been written.
    is_dirty: bool,
}

/// What a sync writes: the state at the moment at which it began.
#[derive(Debug)]
pub(super) struct SyncWork {
    number: u64,
    length: u64,
    sectors: Vec<(u64, Box<SectorBytes>)>,
}

impl SyncWork {
    pub(super) fn sector_count(&self) -> u64 {
        self.sectors.len() as u64
    }
}

/// How a sync ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncOutcome {
    /// Everything reaches the device.
    Complete,
    /// Some of it does; the rest is taken for written (as Linux does after an error).
    Failed,
    /// Everything but one sector, which lands on the place of another one.
    Misdirected,
}

/// What a power loss did to a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PowerDamage {
    pub(super) sectors_lost: u64,
    pub(super) sectors_torn: u64,
    pub(super) sectors_kept: u64,
    pub(super) length_lost: u64,
}

impl FileImage {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Bytes that the file takes on the device.
    pub(super) fn allocated(&self) -> u64 {
        self.pages.len() as u64 * PAGE as u64
    }

    /// How much more would be allocated by a write.
    pub(super) fn allocation_for(&self, position: u64, length: u64) -> u64 {
        let pages = position / PAGE as u64..(position + length).div_ceil(PAGE as u64);
        pages.filter(|page| !self.pages.contains_key(page)).count() as u64 * PAGE as u64
    }

    /// Reads into `buffer`; says how much there was.
    pub(super) fn read(&self, buffer: &mut [u8], position: u64) -> usize {
        let available = self.length.saturating_sub(position).min(buffer.len() as u64);
        let buffer = &mut buffer[..offset(available)];
        for_each_piece(position, buffer.len(), PAGE, |page, within, range| {
            let piece = &mut buffer[range];
            match self.pages.get(&page) {
                Some(bytes) => piece.copy_from_slice(&bytes[within..within + piece.len()]),
                None => piece.fill(0),
            }
        });
        buffer.len()
    }

    /// Writes into the page cache.
    pub(super) fn write(&mut self, bytes: &[u8], position: u64) {
        if bytes.is_empty() {
            return;
        }
        let end = position + bytes.len() as u64;
        self.mark_dirty(position, end);
        self.put(bytes, position);
        if end > self.length {
            self.length = end;
            self.is_length_dirty = true;
        }
    }

    pub(super) fn set_length(&mut self, length: u64) {
        if length == self.length {
            return;
        }
        if length < self.length {
            self.mark_cut_off(length);
            self.shortest = self.shortest.min(length);
            self.zero_from(length);
        }
        self.length = length;
        self.is_length_dirty = true;
    }

    /// Takes down what a sync that begins now has to write.
    pub(super) fn begin_sync(&mut self) -> SyncWork {
        let dirty = self.differing.iter().filter(|(_, differing)| differing.is_dirty);
        let sectors = dirty.map(|(sector, _)| (*sector, self.sector(*sector))).collect();
        self.next_sync += 1;
        SyncWork { number: self.next_sync, length: self.length, sectors }
    }

    /// Makes durable what was taken down. What has been written in between stays dirty.
    pub(super) fn end_sync(&mut self, work: SyncWork, outcome: SyncOutcome, random: &mut Random) {
        if work.number < self.last_durable_sync {
            // One that began later, and so covers all of this, has ended before.
            return;
        }
        self.last_durable_sync = work.number;
        let misdirected =
            (outcome == SyncOutcome::Misdirected).then(|| random.index(work.sectors.len()));
        let mut wrong_place = None;
        for (index, (sector, bytes)) in work.sectors.into_iter().enumerate() {
            let arrives = match outcome {
                SyncOutcome::Complete => true,
                SyncOutcome::Failed => random.chance(0.5),
                SyncOutcome::Misdirected => misdirected != Some(index),
            };
            let has_changed_since = self.sector(sector) != bytes;
            if !arrives {
                if outcome == SyncOutcome::Misdirected {
                    wrong_place = Some(bytes);
                }
                if let Some(differing) = self.differing.get_mut(&sector) {
                    differing.is_dirty = has_changed_since;
                }
            } else if !has_changed_since {
                self.differing.remove(&sector);
            } else if let Some(differing) = self.differing.get_mut(&sector) {
                differing.device = Some(bytes);
            }
        }
        if let Some(bytes) = wrong_place {
            let target = random.below(work.length.div_ceil(SECTOR_BYTES).max(1));
            let is_dirty = self.differing.get(&target).is_some_and(|differing| differing.is_dirty);
            self.differing.insert(target, Differing { device: Some(bytes), is_dirty });
        }
        if outcome == SyncOutcome::Failed {
            self.is_length_dirty = self.length != work.length;
        } else {
            self.durable_length = work.length;
            self.is_length_dirty = self.length != work.length;
            self.shortest = self.length.min(work.length);
        }
    }

    /// The page cache is gone: what the device holds is all there is.
    pub(super) fn lose_power(&mut self, random: &mut Random) -> PowerDamage {
        let length_before = self.length;
        let mut damage = PowerDamage::default();
        let length = self.length_after_power_loss(random);
        for (sector, differing) in std::mem::take(&mut self.differing) {
            let start = sector * SECTOR_BYTES;
            let device = differing.device.map_or([0; SECTOR], |bytes| *bytes);
            // Beyond the end there is nothing but what was cut off.
            let choice =
                if !differing.is_dirty || start >= length_before { 0 } else { random.below(3) };
            match choice {
                0 => {
                    damage.sectors_lost += 1;
                    self.put(&device, start);
                }
                1 => damage.sectors_kept += 1,
                _ => {
                    damage.sectors_torn += 1;
                    let at = 1 + random.index(SECTOR - 1);
                    if random.chance(0.5) {
                        self.put(&device[at..], start + at as u64);
                    } else {
                        self.put(&device[..at], start);
                    }
                }
            }
        }
        // Nothing may be left beyond the end: an extension must read as zeros.
        self.zero_from(length);
        damage.length_lost = length.abs_diff(length_before);
        self.length = length;
        self.durable_length = length;
        self.shortest = length;
        self.is_length_dirty = false;
        damage
    }

    /// The kernel forgets the pages it takes for clean, and reads them from the device when they are asked for again.
    pub(super) fn drop_clean_pages(&mut self) {
        let clean: Vec<u64> =
            self.differing.iter().filter(|(_, d)| !d.is_dirty).map(|(s, _)| *s).collect();
        for sector in clean {
            if let Some(differing) = self.differing.remove(&sector) {
                let device = differing.device.map_or([0; SECTOR], |bytes| *bytes);
                let start = sector * SECTOR_BYTES;
                let end = (start + SECTOR_BYTES).min(self.length);
                if end > start {
                    self.put(&device[..offset(end - start)], start);
                }
            }
        }
    }

    /// Turns one bit, on the device and in the cache.
    pub(super) fn flip_bit(&mut self, position: u64, bit: u32) {
        if position >= self.length {
            return;
        }
        let mut byte = [0];
        self.read(&mut byte, position);
        self.put(&[byte[0] ^ (1 << (bit % 8))], position);
        let (sector, within) = (position / SECTOR_BYTES, offset(position % SECTOR_BYTES));
        if let Some(Differing { device: Some(device), .. }) = self.differing.get_mut(&sector) {
            device[within] ^= 1 << (bit % 8);
        }
    }

    fn length_after_power_loss(&self, random: &mut Random) -> u64 {
        if !self.is_length_dirty {
            return self.durable_length;
        }
        match random.below(3) {
            0 => self.durable_length,
            1 => self.length,
            // On the way the length had every value between.
            _ => {
                let low = self.shortest.min(self.durable_length).min(self.length);
                let high = self.length.max(self.durable_length);
                if self.length < self.durable_length {
                    *random.pick(&[self.shortest.min(self.length), self.length])
                } else {
                    random.between(&(low..high + 1))
                }
            }
        }
    }

    /// Keeps the device's bytes of the sectors that are about to change, where they were the same until now.
    fn mark_dirty(&mut self, start: u64, end: u64) {
        for sector in start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            if let Some(differing) = self.differing.get_mut(&sector) {
                differing.is_dirty = true;
                continue;
            }
            let device = self.sector(sector);
            let device = (*device != ZEROS).then_some(device);
            self.differing.insert(sector, Differing { device, is_dirty: true });
        }
    }

    /// The same for all that a shorter length cuts off. Where nothing was ever written there are zeros on the device and
    /// will be: a file of ten empty megabytes costs nothing.
    fn mark_cut_off(&mut self, length: u64) {
        let pages = self.pages.range(length / PAGE as u64..);
        let written: Vec<u64> = pages.map(|(page, _)| page * PAGE as u64).collect();
        for page in written {
            self.mark_dirty(page.max(length), (page + PAGE as u64).min(self.length));
        }
        for (_, differing) in self.differing.range_mut(length / SECTOR_BYTES..) {
            differing.is_dirty = true;
        }
    }

    /// The bytes of a sector as the process sees them, zeros beyond the end.
    fn sector(&self, sector: u64) -> Box<SectorBytes> {
        let mut bytes = Box::new([0; SECTOR]);
        self.read(&mut bytes[..], sector * SECTOR_BYTES);
        bytes
    }

    fn put(&mut self, bytes: &[u8], position: u64) {
        let pages = &mut self.pages;
        for_each_piece(position, bytes.len(), PAGE, |page, within, range| {
            let target = pages.entry(page).or_insert_with(|| Box::new([0; PAGE]));
            let piece = &bytes[range];
            target[within..within + piece.len()].copy_from_slice(piece);
        });
    }

    fn zero_from(&mut self, start: u64) {
        let cut_off = self.pages.split_off(&start.div_ceil(PAGE as u64));
        drop(cut_off);
        if let Some(page) = self.pages.get_mut(&(start / PAGE as u64)) {
            page[offset(start % PAGE as u64)..].fill(0);
        }
    }
}

/// Cuts a range of the file at multiples of `size`: which block, where in it, which part of the range.
fn for_each_piece(
    position: u64,
    length: usize,
    size: usize,
    mut visit: impl FnMut(u64, usize, std::ops::Range<usize>),
) {
    let mut done = 0;
    while done < length {
        let at = position + done as u64;
        let within = offset(at % size as u64);
        let count = (size - within).min(length - done);
        visit(at / size as u64, within, done..done + count);
        done += count;
    }
}

/// An offset within something that is in memory.
fn offset(bytes: u64) -> usize {
    usize::try_from(bytes).expect("within a buffer")
}
