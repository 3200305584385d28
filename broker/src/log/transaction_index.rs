//! Aborted transactions of a segment, for readers that want committed records only: 34 bytes per entry.

use std::io::{self, IoSlice};
use std::path::Path;

use super::producer_state::EndedTransaction;
use crate::environment::{Disk, File, FileExt, OpenMode};
use crate::model::{Offset, ProducerId};

/// One aborted transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
    /// Its abort marker.
    pub last_offset: Offset,
    /// Everything below was decided when the marker was written.
    pub last_stable_offset: Offset,
}

const VERSION: i16 = 0;
const ENTRY_BYTES: usize = 34;
/// Entries read in one go.
const BLOCK_ENTRIES: usize = 512;

impl AbortedTransaction {
    pub(crate) fn of(ended: &EndedTransaction) -> Self {
        Self {
            producer: ended.producer,
            first_offset: ended.first_offset,
            last_offset: ended.last_offset,
            last_stable_offset: ended.last_stable_offset,
        }
    }

    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
        bytes[2..10].copy_from_slice(&self.producer.0.to_be_bytes());
        bytes[10..18].copy_from_slice(&self.first_offset.value().to_be_bytes());
        bytes[18..26].copy_from_slice(&self.last_offset.value().to_be_bytes());
        bytes[26..].copy_from_slice(&self.last_stable_offset.value().to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let long = |at: usize| Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let version = i16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
        let entry = Self {
            producer: ProducerId(long(2)?),
            first_offset: Offset::from_wire(long(10)?)?,
            last_offset: Offset::from_wire(long(18)?)?,
            last_stable_offset: Offset::from_wire(long(26)?)?,
        };
        (version == VERSION && entry.first_offset <= entry.last_offset).then_some(entry)
    }
}

/// Adds entries at the end of the file; made when missing. An entry that was cut is written over.
pub(crate) async fn append<D: Disk>(
    disk: &D,
    path: &Path,
    entries: &[AbortedTransaction],
) -> io::Result<()> {
    let file = disk.open(path, OpenMode::Create).await?;
    let end = file.length().await?;
    let bytes: Vec<u8> = entries.iter().flat_map(AbortedTransaction::encode).collect();
    file.write_all_at(&[IoSlice::new(&bytes)], end - end % ENTRY_BYTES as u64).await
}

/// Reads the entries up to the first that makes no sense; none when there is no file.
pub(crate) async fn read<D: Disk>(disk: &D, path: &Path) -> io::Result<Vec<AbortedTransaction>> {
    let file = match disk.open(path, OpenMode::Read).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let mut found = Vec::new();
    let mut block = vec![0; ENTRY_BYTES * BLOCK_ENTRIES];
    let mut position = 0;
    loop {
        let read = file.read_full_at(&mut block, position).await?;
        for bytes in block.get(..read).unwrap_or_default().chunks_exact(ENTRY_BYTES) {
            match AbortedTransaction::decode(bytes) {
                Some(entry) => found.push(entry),
                None => return Ok(found),
            }
        }
        if read < block.len() {
            return Ok(found);
        }
        position += read as u64;
    }
}

/// Forgets transactions whose marker is at `end` or later.
pub(crate) async fn truncate<D: Disk>(disk: &D, path: &Path, end: Offset) -> io::Result<()> {
    let entries = read(disk, path).await?;
    let kept = entries.iter().take_while(|entry| entry.last_offset < end).count();
    if kept == entries.len() {
        return Ok(());
    }
    disk.open(path, OpenMode::ReadWrite).await?.set_length((kept * ENTRY_BYTES) as u64).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_kafkas_bytes() {
        let entry = AbortedTransaction {
            producer: ProducerId(0),
            first_offset: Offset::new(6),
            last_offset: Offset::new(11),
            last_stable_offset: Offset::new(12),
        };
        let mut expected = vec![0, 0];
        for field in [0_i64, 6, 11, 12] {
            expected.extend_from_slice(&field.to_be_bytes());
        }
        assert_eq!(entry.encode().as_slice(), expected);
        assert_eq!(AbortedTransaction::decode(&expected), Some(entry));
        expected[1] = 1;
        assert_eq!(AbortedTransaction::decode(&expected), None);
    }
}
