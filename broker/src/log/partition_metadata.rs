//! `partition.metadata`: which topic a directory belongs to, so that a topic made again under the same name never gets
//! the old one's records. Source: KIP-516.

use std::io;
use std::path::Path;

use super::{Fault, checkpoint, file_names};
use crate::environment::Runtime;
use crate::model::TopicId;

/// Reads the file and compares.
///
/// # Errors
///
/// [`Fault`] when the disk fails, or the file names another topic than `expected`.
pub(crate) async fn check<R: Runtime>(
    runtime: &R,
    directory: &Path,
    expected: Option<TopicId>,
) -> Result<Option<TopicId>, Fault> {
    let path = directory.join(file_names::PARTITION_METADATA);
    let found = read(runtime, &path).await.map_err(Fault::of("read", &path))?;
    match (found, expected) {
        (Some(found), Some(expected)) if found != expected => {
            let error = io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the directory belongs to topic id {found}, not {expected}"),
            );
            Err(Fault::of("agree on", &path)(error))
        }
        _ => Ok(found),
    }
}

/// Reads the file; writes it when it is missing and the id is known. Its name is synced with the log's first flush: lost before,
/// it is written again.
///
/// # Errors
///
/// [`Fault`] when the disk fails, or the file names another topic than `expected`.
pub(crate) async fn agree<R: Runtime>(
    runtime: &R,
    directory: &Path,
    expected: Option<TopicId>,
) -> Result<Option<TopicId>, Fault> {
    let found = check(runtime, directory, expected).await?;
    let (None, Some(expected)) = (found, expected) else { return Ok(found) };
    let path = directory.join(file_names::PARTITION_METADATA);
    let text = format!("version: 0\ntopic_id: {expected}");
    let written = checkpoint::replace_unsynced(runtime, &path, text.as_bytes()).await;
    written.map_err(Fault::of("write", &path))?;
    Ok(Some(expected))
}

/// The topic id in the file. A file that cannot be understood counts as missing: the image says whose partition it is.
pub(crate) async fn read<R: Runtime>(runtime: &R, path: &Path) -> io::Result<Option<TopicId>> {
    let text = match checkpoint::read_text(runtime, path).await {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        text => text?,
    };
    Ok(text.as_deref().and_then(parse))
}

fn parse(text: &str) -> Option<TopicId> {
    let mut lines = text.lines();
    let version = lines.next()?.strip_prefix("version:")?.trim();
    let id = lines.next()?.strip_prefix("topic_id:")?.trim();
    if version == "0" { TopicId::from_text(id) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_version_zero_with_an_id_is_understood() {
        let text = "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAZQ";
        assert_eq!(text.len(), 43);
        assert_eq!(parse(text).map(|id| id.to_string()).as_deref(), Some("AAAAAAAAAAAAAAAAAAAAZQ"));
        for text in ["", "version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAZQ", "version: 0\ntopic_id: x"]
        {
            assert_eq!(parse(text), None);
        }
    }
}
