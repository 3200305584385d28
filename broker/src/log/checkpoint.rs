//! Small text files that are replaced as a whole: version 0, a count, then one line per entry.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use crate::environment::{Disk, File, FileExt, OpenMode, Runtime};
use crate::model::{Offset, TopicPartition};

/// `recovery-point-offset-checkpoint` in a log directory.
pub(crate) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// `replication-offset-checkpoint`: high watermarks.
pub(crate) const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// `log-start-offset-checkpoint`.
pub(crate) const LOG_STARTS: &str = "log-start-offset-checkpoint";

/// No checkpoint of ours comes near it; what is larger is not a checkpoint.
const LENGTH_MAX: u64 = 256 << 20;

/// Replaces the file at `path`: written beside it, synced, renamed, and the name synced. After a crash the old content or
/// the new one is there, never a mix.
pub(crate) async fn replace_file<R: Runtime>(
    runtime: &R,
    path: &Path,
    content: &[u8],
) -> io::Result<()> {
    replace_unsynced(runtime, path, content).await?;
    runtime.disk().sync_directory(&parent(path)).await
}

/// As [`replace_file`], but for the name: after a power loss the old file may be found, or none, but never a part of one.
pub(crate) async fn replace_unsynced<R: Runtime>(
    runtime: &R,
    path: &Path,
    content: &[u8],
) -> io::Result<()> {
    let disk = runtime.disk();
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let file = disk.open(&temporary, OpenMode::Create).await?;
    file.set_length(0).await?;
    file.write_all_at(&[IoSlice::new(content)], 0).await?;
    file.sync_data().await?;
    disk.rename(&temporary, path).await
}

/// The directory a path is in.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The whole file as text; `None` when it is not there. Bytes that are not UTF-8 are an `InvalidData` error.
pub(crate) async fn read_text<R: Runtime>(runtime: &R, path: &Path) -> io::Result<Option<String>> {
    match runtime.disk().open(path, OpenMode::Read).await {
        Ok(file) => {
            let bytes = file.read_all(LENGTH_MAX).await?;
            String::from_utf8(bytes)
                .map(Some)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a text file"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Offsets by partition, as the three checkpoints of a log directory hold them.
pub(crate) type Offsets = BTreeMap<TopicPartition, Offset>;

/// Writes a checkpoint of offsets.
pub(crate) async fn write_offsets<R: Runtime>(
    runtime: &R,
    path: &Path,
    offsets: &Offsets,
) -> io::Result<()> {
    replace_file(runtime, path, encode_offsets(offsets).as_bytes()).await
}

/// Reads a checkpoint of offsets. A file that is missing or cannot be understood counts as empty: each of the three has
/// a safe answer for what it does not know.
pub(crate) async fn read_offsets<R: Runtime>(runtime: &R, path: &Path) -> io::Result<Offsets> {
    let text = match read_text(runtime, path).await {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(Offsets::new()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(error) => return Err(error),
    };
    Ok(parse_offsets(&text).unwrap_or_else(|| {
        tracing::warn!(path = %path.display(), "a checkpoint cannot be understood and is ignored");
        Offsets::new()
    }))
}

fn encode_offsets(offsets: &Offsets) -> String {
    let mut text = format!("0\n{}\n", offsets.len());
    for (partition, offset) in offsets {
        let _ = writeln!(text, "{} {} {offset}", partition.topic, partition.partition);
    }
    text
}

fn parse_offsets(text: &str) -> Option<Offsets> {
    let mut offsets = Offsets::new();
    for line in entries(text)? {
        let mut words = line.split_ascii_whitespace();
        let (topic, partition, offset) = (words.next()?, words.next()?, words.next()?);
        let partition: i32 = partition.parse().ok()?;
        let offset = Offset::from_wire(offset.parse().ok()?)?;
        if words.next().is_some() || partition < 0 {
            return None;
        }
        offsets.insert(TopicPartition::new(topic, partition), offset);
    }
    Some(offsets)
}

/// The entry lines of a version-0 checkpoint, when there are as many as it says.
pub(crate) fn entries(text: &str) -> Option<Vec<&str>> {
    let mut lines = text.lines();
    if lines.next()?.trim() != "0" {
        return None;
    }
    let count: usize = lines.next()?.trim().parse().ok()?;
    let entries: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    (entries.len() == count).then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_come_back_as_kafka_writes_them() {
        let text = "0\n2\na 0 17\nb-c.d 12 0\n";
        let offsets = parse_offsets(text).unwrap();
        assert_eq!(offsets[&TopicPartition::new("b-c.d", 12)], Offset::ZERO);
        assert_eq!(encode_offsets(&offsets), text);
    }

    #[test]
    fn a_checkpoint_that_lies_about_itself_is_refused() {
        for text in [
            "",
            "1\n0\n",
            "0\n",
            "0\n2\na 0 17\n",
            "0\nx\n",
            "0\n1\na 0\n",
            "0\n1\na 0 -1\n",
            "0\n1\na 0 1 2\n",
            "0\n1\na -3 1\n",
            "0\n0\na 0 17\n",
            "0\n1\na 0 99999999999999999999\n",
        ] {
            assert_eq!(parse_offsets(text), None, "{text:?}");
        }
    }
}
