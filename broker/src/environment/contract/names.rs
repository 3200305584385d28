use std::io::{ErrorKind, IoSlice};
use std::path::Path;

use super::{contents, error_kind, file_with};
use crate::environment::{Disk, Entry, EntryKind, FileExt, OpenMode};

pub(super) async fn modes_of_opening_are_kept<D: Disk>(disk: &D, directory: &Path) {
    let path = directory.join("modes");
    for mode in [OpenMode::Read, OpenMode::ReadWrite] {
        assert_eq!(error_kind(disk.open(&path, mode).await), Some(ErrorKind::NotFound), "{mode:?}");
    }
    let file = disk.open(&path, OpenMode::Create).await.expect("made");
    file.write_all_at(&[IoSlice::new(b"kept")], 0).await.expect("written");
    assert_eq!(
        error_kind(disk.open(&path, OpenMode::CreateNew).await),
        Some(ErrorKind::AlreadyExists)
    );
    for mode in [OpenMode::Read, OpenMode::ReadWrite, OpenMode::Create] {
        let again = disk.open(&path, mode).await.expect("it is there");
        assert_eq!(contents(&again).await, b"kept", "{mode:?} does not empty the file");
    }
    let reader = disk.open(&path, OpenMode::Read).await.expect("it is there");
    assert!(
        reader.write_all_at(&[IoSlice::new(b"x")], 0).await.is_err(),
        "opened for reading, but takes bytes"
    );
    disk.remove_file(&path).await.expect("removed");
}

pub(super) async fn rename_replaces_in_one_step<D: Disk>(disk: &D, directory: &Path) {
    let (from, to) = (directory.join("new"), directory.join("old"));
    let old = file_with(disk, &to, b"old").await;
    let new = file_with(disk, &from, b"new").await;
    disk.rename(&from, &to).await.expect("renamed");
    assert_eq!(error_kind(disk.open(&from, OpenMode::Read).await), Some(ErrorKind::NotFound));
    let found = disk.open(&to, OpenMode::Read).await.expect("it is there");
    assert_eq!(contents(&found).await, b"new");
    assert_eq!(contents(&old).await, b"old", "the replaced file lives on while open");
    new.write_all_at(&[IoSlice::new(b"N")], 0).await.expect("an open file does not mind its name");
    assert_eq!(contents(&found).await, b"New");
    disk.rename(&to, &to).await.expect("onto itself: nothing happens");
    assert_eq!(contents(&found).await, b"New");
    disk.remove_file(&to).await.expect("removed");
}

pub(super) async fn renamed_directories_take_their_files_along<D: Disk>(
    disk: &D,
    directory: &Path,
) {
    let (from, to) = (directory.join("topic-0"), directory.join("topic-0.delete"));
    disk.create_directory(&from.join("inner")).await.expect("made");
    let file = file_with(disk, &from.join("inner/segment"), b"1").await;
    disk.rename(&from, &to).await.expect("renamed");
    assert_eq!(error_kind(disk.list(&from).await), Some(ErrorKind::NotFound));
    file.write_all_at(&[IoSlice::new(b"2")], 1).await.expect("written");
    let found = disk.open(&to.join("inner/segment"), OpenMode::Read).await.expect("it is there");
    assert_eq!(contents(&found).await, b"12");
    disk.remove_directory(&to).await.expect("removed");
}

pub(super) async fn removed_files_live_on_while_open<D: Disk>(disk: &D, directory: &Path) {
    let path = directory.join("removed");
    let file = file_with(disk, &path, b"still").await;
    disk.remove_file(&path).await.expect("removed");
    assert_eq!(error_kind(disk.open(&path, OpenMode::Read).await), Some(ErrorKind::NotFound));
    file.write_all_at(&[IoSlice::new(b" here")], 5).await.expect("written");
    assert_eq!(contents(&file).await, b"still here");
    let other = file_with(disk, &path, b"other").await;
    assert_eq!(contents(&file).await, b"still here", "a new file of the same name is another one");
    drop(other);
    disk.remove_file(&path).await.expect("removed");
}

pub(super) async fn removed_directories_take_everything_along<D: Disk>(disk: &D, directory: &Path) {
    let path = directory.join("tree");
    disk.create_directory(&path.join("a/b")).await.expect("made");
    disk.create_directory(&path.join("a/b")).await.expect("it is no error when it is there");
    let file = file_with(disk, &path.join("a/b/file"), b"x").await;
    assert!(disk.remove_file(&path.join("a")).await.is_err(), "a directory is no file");
    disk.remove_directory(&path).await.expect("removed");
    assert_eq!(error_kind(disk.list(&path).await), Some(ErrorKind::NotFound));
    assert_eq!(contents(&file).await, b"x");
}

pub(super) async fn lists_are_in_order_of_name<D: Disk>(disk: &D, directory: &Path) {
    let path = directory.join("listed");
    disk.create_directory(&path).await.expect("made");
    assert_eq!(disk.list(&path).await.ok(), Some(Vec::new()));
    for (name, length) in [("b", 3), ("a.log", 0), ("c", 600), ("B", 1)] {
        drop(file_with(disk, &path.join(name), &vec![1; length]).await);
    }
    disk.create_directory(&path.join("aa/below")).await.expect("made");
    let file = |name: &str, length| Entry { name: name.into(), kind: EntryKind::File, length };
    let expected = vec![
        file("B", 1),
        file("a.log", 0),
        Entry { name: "aa".into(), kind: EntryKind::Directory, length: 0 },
        file("b", 3),
        file("c", 600),
    ];
    assert_eq!(disk.list(&path).await.ok(), Some(expected));
    disk.remove_directory(&path).await.expect("removed");
}

pub(super) async fn missing_names_are_not_found<D: Disk>(disk: &D, directory: &Path) {
    let (missing, below) = (directory.join("missing"), directory.join("missing/file"));
    let not_found = Some(ErrorKind::NotFound);
    assert_eq!(error_kind(disk.list(&missing).await), not_found);
    assert_eq!(error_kind(disk.remove_file(&missing).await), not_found);
    assert_eq!(error_kind(disk.remove_directory(&missing).await), not_found);
    assert_eq!(error_kind(disk.rename(&missing, &directory.join("target")).await), not_found);
    assert_eq!(error_kind(disk.sync_directory(&missing).await), not_found);
    assert_eq!(error_kind(disk.open(&below, OpenMode::Create).await), not_found);
    assert_eq!(error_kind(disk.lock(&below).await), not_found);
    let file = file_with(disk, &missing, b"now a file").await;
    assert_eq!(
        error_kind(disk.open(&below, OpenMode::Create).await),
        Some(ErrorKind::NotADirectory)
    );
    drop(file);
    disk.remove_file(&missing).await.expect("removed");
}

pub(super) async fn locks_exclude_until_they_are_dropped<D: Disk>(disk: &D, directory: &Path) {
    let path = directory.join(".lock");
    let lock = disk.lock(&path).await.expect("nobody holds it");
    assert_eq!(error_kind(disk.lock(&path).await), Some(ErrorKind::WouldBlock));
    drop(lock);
    let lock = disk.lock(&path).await.expect("nobody holds it any more");
    drop(lock);
    disk.remove_file(&path).await.expect("a lock is a file");
}

pub(super) async fn space_is_told<D: Disk>(disk: &D, directory: &Path) {
    let (all, free) = disk.space(directory).await.expect("told");
    assert!(all > 0 && free <= all, "{free} free of {all}");
}
