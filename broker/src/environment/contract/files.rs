use std::io::{ErrorKind, IoSlice};
use std::path::Path;

use super::{contents, error_kind, file_with, pattern};
use crate::environment::{Disk, File, FileExt, OpenMode};

pub(super) async fn written_bytes_are_read_back<D: Disk>(disk: &D, directory: &Path) {
    let path = directory.join("written");
    let bytes = pattern(5000);
    let file = file_with(disk, &path, &bytes).await;
    assert_eq!(contents(&file).await, bytes);

    // Over the middle, across the borders of sectors and of pages.
    file.write_all_at(&[IoSlice::new(&[0xee; 1000])], 3500).await.expect("written");
    let mut expected = bytes;
    expected[3500..4500].fill(0xee);
    assert_eq!(contents(&file).await, expected);
    assert_eq!(file.length().await.ok(), Some(5000), "overwriting changed the length");
    disk.remove_file(&path).await.expect("removed");
}

pub(super) async fn reads_end_with_the_file<D: Disk>(disk: &D, directory: &Path) {
    let path = directory.join("short");
    let file = file_with(disk, &path, b"0123456789").await;
    let mut buffer = [0; 8];
    assert_eq!(file.read_full_at(&mut buffer, 6).await.ok(), Some(4));
    assert_eq!(&buffer[..4], b"6789");
    assert_eq!(file.read_at(&mut buffer, 10).await.ok(), Some(0), "at the end there is nothing");
    assert_eq!(file.read_at(&mut buffer, 1 << 40).await.ok(), Some(0), "nor behind it");
    assert_eq!(file.read_at(&mut [], 3).await.ok(), Some(0));
    assert_eq!(
        error_kind(file.read_exact_at(&mut buffer, 6).await),
        Some(ErrorKind::UnexpectedEof)
    );
    file.read_exact_at(&mut buffer, 2).await.expect("eight bytes are there");
    assert_eq!(&buffer, b"23456789");
    assert_eq!(error_kind(file.read_all(9).await), Some(ErrorKind::InvalidData));
    disk.remove_file(&path).await.expect("removed");
}

pub(super) async fn writes_take_parts_in_order<D: Disk>(disk: &D, directory: &Path) {
    let path = directory.join("vectored");
    let file = disk.open(&path, OpenMode::CreateNew).await.expect("made");
    let parts = [&b"one "[..], b"", b"two ", b"three"];
    file.write_all_at(&parts.map(IoSlice::new), 0).await.expect("written");
    assert_eq!(contents(&file).await, b"one two three");

    // More parts than a system takes at once.
    let bytes = pattern(3000);
    let parts: Vec<IoSlice<'_>> = bytes.chunks(1).map(IoSlice::new).collect();
    file.write_all_at(&parts, 4).await.expect("written");
    assert_eq!(contents(&file).await, [b"one ", &bytes[..]].concat());

    assert_eq!(file.write_at(&[], 0).await.ok(), Some(0));
    assert_eq!(file.write_at(&[IoSlice::new(b"")], 1 << 30).await.ok(), Some(0));
    assert_eq!(file.length().await.ok(), Some(3004), "an empty write extended the file");
    disk.remove_file(&path).await.expect("removed");
}

pub(super) async fn writes_behind_the_end_leave_zeros<D: Disk>(disk: &D, directory: &Path) {
    let path = directory.join("hole");
    let file = file_with(disk, &path, b"abc").await;
    file.write_all_at(&[IoSlice::new(b"z")], 2000).await.expect("written");
    let mut expected = vec![0; 2001];
    expected[..3].copy_from_slice(b"abc");
    expected[2000] = b'z';
    assert_eq!(contents(&file).await, expected);
    disk.remove_file(&path).await.expect("removed");
}

pub(super) async fn length_is_cut_and_extended_with_zeros<D: Disk>(disk: &D, directory: &Path) {
    let path = directory.join("length");
    let file = file_with(disk, &path, &[7; 1500]).await;
    file.set_length(700).await.expect("cut");
    assert_eq!(file.length().await.ok(), Some(700));
    file.set_length(1200).await.expect("extended");
    let mut expected = vec![7; 700];
    expected.resize(1200, 0);
    assert_eq!(contents(&file).await, expected, "what was cut off came back");
    file.set_length(0).await.expect("emptied");
    assert_eq!(contents(&file).await, b"");
    disk.remove_file(&path).await.expect("removed");
}

pub(super) async fn clones_and_second_openings_share_the_file<D: Disk>(disk: &D, directory: &Path) {
    let path = directory.join("shared");
    let file = file_with(disk, &path, b"first").await;
    let (clone, second) =
        (file.clone(), disk.open(&path, OpenMode::Read).await.expect("it is there"));
    file.write_all_at(&[IoSlice::new(b"w")], 0).await.expect("written");
    assert_eq!(contents(&clone).await, b"wirst");
    assert_eq!(contents(&second).await, b"wirst");
    drop(file);
    assert_eq!(contents(&clone).await, b"wirst", "a clone does not outlive the first");
    disk.remove_file(&path).await.expect("removed");
}

pub(super) async fn synced_files_are_as_they_were<D: Disk>(disk: &D, directory: &Path) {
    let path = directory.join("synced");
    let bytes = pattern(3000);
    let file = file_with(disk, &path, &bytes).await;
    file.sync_data().await.expect("synced");
    file.sync_data().await.expect("synced again, with nothing to do");
    disk.sync_directory(directory).await.expect("names synced");
    assert_eq!(contents(&file).await, bytes);
    disk.remove_file(&path).await.expect("removed");
}
