//! A file is a row of bytes: whatever is done to it, in any order, it must agree with a vector of the same.

use std::io::IoSlice;
use std::path::Path;

use crate::environment::{Disk, File, FileExt, OpenMode};

/// One thing done to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileStep {
    /// Writes all bytes, in two parts.
    Write {
        /// Where they go.
        position: u16,
        /// What is written.
        bytes: Vec<u8>,
    },
    /// Cuts or extends.
    SetLength(u16),
    /// Reads as far as there is something.
    Read {
        /// From where.
        position: u16,
        /// How many bytes at most.
        length: u16,
    },
    /// Makes it durable.
    Sync,
    /// Gives it another name, opens it under that, and lets go of the old opening.
    Rename,
}

/// Does the steps to a fresh file in `directory`, and compares it with a vector after each. Leaves nothing behind.
///
/// # Panics
///
/// When the file and the vector differ.
pub async fn replay<D: Disk>(disk: &D, directory: &Path, steps: &[FileStep]) {
    let mut paths = (directory.join("model-a"), directory.join("model-b"));
    let mut file = disk.open(&paths.0, OpenMode::CreateNew).await.expect("the name is free");
    let mut model: Vec<u8> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        match step {
            FileStep::Write { position, bytes } => {
                let (first, second) = bytes.split_at(bytes.len() / 3);
                let parts = [IoSlice::new(first), IoSlice::new(second)];
                file.write_all_at(&parts, u64::from(*position)).await.expect("written");
                let start = usize::from(*position);
                let end = start + bytes.len();
                if !bytes.is_empty() {
                    model.resize(model.len().max(end), 0);
                    model[start..end].copy_from_slice(bytes);
                }
            }
            FileStep::SetLength(length) => {
                file.set_length(u64::from(*length)).await.expect("cut or extended");
                model.resize(usize::from(*length), 0);
            }
            FileStep::Read { position, length } => {
                let mut buffer = vec![0xaa; usize::from(*length)];
                let position = u64::from(*position);
                let read = file.read_full_at(&mut buffer, position).await.expect("read");
                let start = usize::try_from(position).map_or(model.len(), |at| at.min(model.len()));
                let expected = &model[start..(start + buffer.len()).min(model.len())];
                assert!(&buffer[..read] == expected, "step {number} reads other bytes");
            }
            FileStep::Sync => file.sync_data().await.expect("synced"),
            FileStep::Rename => {
                disk.rename(&paths.0, &paths.1).await.expect("renamed");
                paths = (paths.1, paths.0);
                file = disk.open(&paths.0, OpenMode::ReadWrite).await.expect("it is there");
            }
        }
        assert_eq!(
            file.length().await.ok(),
            Some(model.len() as u64),
            "length after step {number}"
        );
    }
    assert!(super::contents(&file).await == model, "other bytes at the end");
    drop(file);
    disk.remove_file(&paths.0).await.expect("removed");
}
