//! How the files of a partition's directory are called.

use crate::model::{Offset, TopicPartition};

pub(crate) const LOG: &str = ".log";
pub(crate) const OFFSET_INDEX: &str = ".index";
pub(crate) const TIME_INDEX: &str = ".timeindex";
pub(crate) const TRANSACTION_INDEX: &str = ".txnindex";
pub(crate) const SNAPSHOT: &str = ".snapshot";
/// Kinds of files that belong to one segment.
pub(crate) const OF_SEGMENT: [&str; 4] = [LOG, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX];

/// Waits for its removal.
pub(crate) const DELETED: &str = ".deleted";
/// Made by a cleaner that had not finished.
pub(crate) const CLEANED: &str = ".cleaned";
/// Made by a cleaner that had finished, but not yet renamed everything.
pub(crate) const SWAP: &str = ".swap";

/// `partition.metadata`: the topic's id.
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";

/// The file of kind `suffix` at `offset`: 20 digits and the suffix.
pub(crate) fn at(offset: Offset, suffix: &str) -> String {
    format!("{:020}{suffix}", offset.value())
}

/// The offset in a file name that ends with `suffix`; `None` for other names.
pub(crate) fn offset_of(name: &str, suffix: &str) -> Option<Offset> {
    let digits = name.strip_suffix(suffix)?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Offset::from_wire(digits.parse().ok()?)
}

/// What a subdirectory of a log directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DirectoryName {
    /// A partition's log.
    Partition(TopicPartition),
    /// A log that was deleted and waits for its removal.
    Deleted,
    /// A replica that was not ours any more, or one that was moving between directories: kept, not opened.
    Aside,
    /// Something else.
    Unknown,
}

const DELETE_SUFFIX: &str = "-delete";
const STRAY_SUFFIX: &str = "-stray";
const FUTURE_SUFFIX: &str = "-future";

/// Judges the name of a subdirectory.
pub(crate) fn directory(name: &str) -> DirectoryName {
    for (suffix, kind) in [
        (DELETE_SUFFIX, DirectoryName::Deleted),
        (STRAY_SUFFIX, DirectoryName::Aside),
        (FUTURE_SUFFIX, DirectoryName::Aside),
    ] {
        if let Some(rest) = name.strip_suffix(suffix)
            && let Some((_, unique)) = rest.rsplit_once('.')
            && unique.len() == 32
            && unique.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return kind;
        }
    }
    let Some((topic, partition)) = name.rsplit_once('-') else { return DirectoryName::Unknown };
    let is_topic = !topic.is_empty()
        && topic.len() <= 249
        && topic != "."
        && topic != ".."
        && topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    match partition.parse::<i32>() {
        // Written back it must be the same name: `a-01` and `a-1` may not be one partition.
        Ok(index) if is_topic && index >= 0 && index.to_string() == partition => {
            DirectoryName::Partition(TopicPartition::new(topic, index))
        }
        _ => DirectoryName::Unknown,
    }
}

/// The name of a directory that is put away, at most 255 characters long.
pub(crate) fn put_away(partition: &TopicPartition, unique: u128, is_stray: bool) -> String {
    let suffix = format!(".{unique:032x}{}", if is_stray { STRAY_SUFFIX } else { DELETE_SUFFIX });
    let mut name = partition.to_string();
    // Topic names are ASCII, judged where they enter; `truncate` must not meet anything else.
    while name.len() > 255 - suffix.len() {
        name.pop();
    }
    name + &suffix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let name = at(Offset::new(42), OFFSET_INDEX);
        assert_eq!(name, "00000000000000000042.index");
        assert_eq!(offset_of(&name, OFFSET_INDEX), Some(Offset::new(42)));
        assert_eq!(offset_of(&name, TIME_INDEX), None);
        assert_eq!(offset_of("42.log", LOG), None);
        assert_eq!(offset_of("+0000000000000000042.log", LOG), None);
        assert_eq!(offset_of("99999999999999999999.log", LOG), None);
    }

    #[test]
    fn directories_are_told_apart() {
        let check = |name: &str, expected| assert_eq!(directory(name), expected, "{name}");
        check("a-b.c_d-7", DirectoryName::Partition(TopicPartition::new("a-b.c_d", 7)));
        check("a-07", DirectoryName::Unknown);
        check("a--1", DirectoryName::Partition(TopicPartition::new("a-", 1)));
        check("-1", DirectoryName::Unknown);
        check("lost+found", DirectoryName::Unknown);
        let deleted = put_away(&TopicPartition::new("a".repeat(249).as_str(), 1_000), 5, false);
        assert_eq!(deleted.len(), 255);
        check(&deleted, DirectoryName::Deleted);
        check(&put_away(&TopicPartition::new("a", 0), 5, true), DirectoryName::Aside);
    }
}
