//! What a simulated disk keeps, and what it may lose: both must happen, or the simulation is kinder than the world.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ottla::environment::{Disk, File, FileExt, OpenMode, Runtime};
use sim::disk::{SECTOR_BYTES, SimDisk, SimFile};
use sim::{MachineId, Settings, World, simulate};

const SEEDS: std::ops::RangeInclusive<u64> = 1..=60;

/// Runs it in a world of each seed, and gathers what it gives.
fn over_seeds<T, F>(scenario: fn(Arc<World>, MachineId) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let run = |seed| {
        let outcome = simulate(Settings::new(seed), move |world| {
            let machine = world.add_machine("a");
            scenario(world, machine)
        });
        outcome.result.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"))
    };
    SEEDS.map(run).collect()
}

async fn make(disk: &SimDisk, path: &str, bytes: &[u8]) -> SimFile {
    let file = disk.open(Path::new(path), OpenMode::Create).await.expect("opened");
    write(&file, bytes, 0).await;
    file
}

async fn write(file: &SimFile, bytes: &[u8], position: u64) {
    file.write_all_at(&[IoSlice::new(bytes)], position).await.expect("written");
}

/// A file that is durable with its name.
async fn make_durable(disk: &SimDisk, path: &str, bytes: &[u8]) -> SimFile {
    let file = make(disk, path, bytes).await;
    file.sync_data().await.expect("synced");
    disk.sync_directory(Path::new("/")).await.expect("synced");
    file
}

/// The bytes of a file, or `None` when it is not there.
async fn read(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    match disk.open(Path::new(path), OpenMode::Read).await {
        Ok(file) => Some(file.read_all(1 << 30).await.expect("read")),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{path}: {error}"),
    }
}

/// The machine loses power and comes back.
fn power_cycle(world: &Arc<World>, machine: MachineId) -> SimDisk {
    world.power_loss(machine);
    world.puppet(machine).disk().clone()
}

#[test]
fn power_loss_keeps_what_was_synced() {
    over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        let file = make_durable(&disk, "/file", &[1; 3000]).await;
        write(&file, &[2; 700], 1000).await;
        write(&file, &[3; 10], 5000).await;
        file.sync_data().await.expect("synced");
        let disk = power_cycle(&world, machine);
        let mut expected = vec![1; 3000];
        expected[1000..1700].fill(2);
        expected.resize(5000, 0);
        expected.extend([3; 10]);
        assert!(read(&disk, "/file").await == Some(expected), "synced bytes were lost");
    });
}

#[test]
fn power_loss_treats_each_unsynced_sector_by_itself() {
    let seen = over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        let file = make_durable(&disk, "/file", &[1; 4 * 512]).await;
        write(&file, &[2; 4 * 512], 0).await;
        let disk = power_cycle(&world, machine);
        let bytes = read(&disk, "/file").await.expect("the name is durable");
        assert_eq!(bytes.len(), 4 * 512);
        let fate = |sector: &[u8]| match sector.iter().filter(|byte| **byte == 2).count() {
            0 => "lost",
            512 => "kept",
            new => {
                assert!(
                    sector.is_sorted() || sector.is_sorted_by(|a, b| a >= b),
                    "torn more than once"
                );
                assert!(new < 512 && sector.iter().all(|byte| [1, 2].contains(byte)));
                "torn"
            }
        };
        bytes.chunks(512).map(fate).collect::<Vec<_>>()
    });
    let fates: BTreeSet<_> = seen.iter().flatten().copied().collect();
    assert_eq!(fates, BTreeSet::from(["kept", "lost", "torn"]));
    assert!(seen.iter().any(|fates| fates[0] != fates[1]), "sectors of one write share their fate");
}

#[test]
fn power_loss_keeps_or_loses_a_change_of_length() {
    let lengths: BTreeSet<_> = over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        let file = make_durable(&disk, "/file", &[1; 1000]).await;
        write(&file, &[2; 4000], 1000).await;
        let disk = power_cycle(&world, machine);
        let bytes = read(&disk, "/file").await.expect("the name is durable");
        assert!(bytes[..1000] == [1; 1000], "synced bytes were lost");
        assert!(bytes[1000..].iter().all(|byte| [0, 2].contains(byte)));
        bytes.len()
    })
    .into_iter()
    .collect();
    assert!(lengths.contains(&1000) && lengths.contains(&5000), "{lengths:?}");
    assert!(lengths.iter().any(|length| (1001..5000).contains(length)), "{lengths:?}");
}

#[test]
fn power_loss_may_bring_back_what_was_cut_off() {
    let lengths: BTreeSet<_> = over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        let file = make_durable(&disk, "/file", &[1; 3000]).await;
        file.set_length(100).await.expect("cut");
        let disk = power_cycle(&world, machine);
        let bytes = read(&disk, "/file").await.expect("the name is durable");
        assert!(bytes[..100] == [1; 100], "what was not cut off was lost");
        assert!(bytes.len() == 100 || bytes[512..] == [1; 3000 - 512], "other bytes came back");
        bytes.len()
    })
    .into_iter()
    .collect();
    assert_eq!(lengths, BTreeSet::from([100, 3000]));
}

#[test]
fn synced_cut_stays_and_never_shows_old_bytes_again() {
    over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        let file = make_durable(&disk, "/file", &[1; 3000]).await;
        file.set_length(100).await.expect("cut");
        file.sync_data().await.expect("synced");
        let disk = power_cycle(&world, machine);
        assert!(read(&disk, "/file").await == Some(vec![1; 100]));
        let file = disk.open(Path::new("/file"), OpenMode::ReadWrite).await.expect("it is there");
        file.set_length(2000).await.expect("extended");
        file.sync_data().await.expect("synced");
        let disk = power_cycle(&world, machine);
        let mut expected = vec![1; 100];
        expected.resize(2000, 0);
        assert!(read(&disk, "/file").await == Some(expected));
    });
}

#[test]
fn sync_covers_what_was_written_before_it_began_and_nothing_later() {
    let seen: BTreeSet<_> = over_seeds(|world, machine| async move {
        let runtime = world.puppet(machine);
        let disk = runtime.disk().clone();
        let file = make_durable(&disk, "/file", b"").await;
        write(&file, b"first", 0).await;
        // The second write hits the same sector while the sync of the first is under way.
        let (synced, ()) = tokio::join!(file.sync_data(), async {
            world.sleep(Duration::from_micros(30)).await;
            write(&file, b"second", 5).await;
        });
        synced.expect("synced");
        let disk = power_cycle(&world, machine);
        let mut bytes = read(&disk, "/file").await.expect("the name is durable");
        assert_eq!(&bytes[..5], b"first", "lost although it was synced");
        bytes.drain(..5);
        bytes
    })
    .into_iter()
    .collect();
    assert!(seen.contains(&b""[..]) && seen.contains(&b"second"[..]), "{seen:?}");
}

#[test]
fn names_are_durable_only_after_their_directory_was_synced() {
    let seen: BTreeSet<_> = over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        make(&disk, "/file", b"bytes").await.sync_data().await.expect("synced");
        let disk = power_cycle(&world, machine);
        read(&disk, "/file").await
    })
    .into_iter()
    .collect();
    assert_eq!(seen, BTreeSet::from([None, Some(b"bytes".to_vec())]));

    // And the directory's own name after its parent was.
    let seen: BTreeSet<_> = over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        disk.create_directory(Path::new("/topic")).await.expect("made");
        make(&disk, "/topic/file", b"bytes").await.sync_data().await.expect("synced");
        disk.sync_directory(Path::new("/topic")).await.expect("synced");
        let disk = power_cycle(&world, machine);
        read(&disk, "/topic/file").await
    })
    .into_iter()
    .collect();
    assert_eq!(seen, BTreeSet::from([None, Some(b"bytes".to_vec())]));
}

#[test]
fn rename_is_all_or_nothing_until_its_directory_is_synced() {
    let seen: BTreeSet<_> = over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        make_durable(&disk, "/state", b"old").await;
        make(&disk, "/state.tmp", b"new").await.sync_data().await.expect("synced");
        disk.rename(Path::new("/state.tmp"), Path::new("/state")).await.expect("renamed");
        let disk = power_cycle(&world, machine);
        (read(&disk, "/state").await, read(&disk, "/state.tmp").await)
    })
    .into_iter()
    .collect();
    let (old, new) = (Some(b"old".to_vec()), Some(b"new".to_vec()));
    let expected = [(old.clone(), None), (old, new.clone()), (new, None)];
    assert_eq!(seen, BTreeSet::from(expected));

    over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        make_durable(&disk, "/state", b"old").await;
        make(&disk, "/state.tmp", b"new").await.sync_data().await.expect("synced");
        disk.rename(Path::new("/state.tmp"), Path::new("/state")).await.expect("renamed");
        disk.sync_directory(Path::new("/")).await.expect("synced");
        let disk = power_cycle(&world, machine);
        assert_eq!(read(&disk, "/state").await.as_deref(), Some(&b"new"[..]));
        assert_eq!(read(&disk, "/state.tmp").await, None);
    });
}

#[test]
fn rename_without_syncing_the_file_may_leave_it_empty() {
    let seen: BTreeSet<_> = over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        make_durable(&disk, "/state", b"old").await;
        make(&disk, "/state.tmp", b"new").await;
        disk.rename(Path::new("/state.tmp"), Path::new("/state")).await.expect("renamed");
        disk.sync_directory(Path::new("/")).await.expect("synced");
        let disk = power_cycle(&world, machine);
        read(&disk, "/state").await
    })
    .into_iter()
    .collect();
    assert!(seen.contains(&Some(Vec::new())), "the classic mistake goes unpunished: {seen:?}");
}

#[test]
fn removed_names_may_come_back_until_their_directory_is_synced() {
    let seen: BTreeSet<_> = over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        disk.create_directory(Path::new("/topic")).await.expect("made");
        make(&disk, "/topic/file", b"bytes").await.sync_data().await.expect("synced");
        disk.sync_directory(Path::new("/topic")).await.expect("synced");
        disk.sync_directory(Path::new("/")).await.expect("synced");
        disk.remove_directory(Path::new("/topic")).await.expect("removed");
        let disk = power_cycle(&world, machine);
        let directory_is_there = disk.list(Path::new("/topic")).await.is_ok();
        let file_is_there = read(&disk, "/topic/file").await.is_some();
        disk.create_directory(Path::new("/topic")).await.expect("made");
        disk.remove_directory(Path::new("/topic")).await.expect("removed");
        disk.sync_directory(Path::new("/")).await.expect("synced");
        let disk = power_cycle(&world, machine);
        assert!(disk.list(Path::new("/topic")).await.is_err(), "back although it was synced");
        (directory_is_there, file_is_there)
    })
    .into_iter()
    .collect();
    assert_eq!(seen, BTreeSet::from([(false, false), (true, false), (true, true)]));
}

#[test]
fn process_crash_keeps_everything_and_releases_locks() {
    over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        make(&disk, "/file", &[1; 3000]).await;
        make(&disk, "/other", b"x").await;
        disk.rename(Path::new("/other"), Path::new("/renamed")).await.expect("renamed");
        let lock = disk.lock(Path::new("/.lock")).await.expect("free");
        world.crash(machine);
        let disk = world.puppet(machine).disk().clone();
        assert!(read(&disk, "/file").await == Some(vec![1; 3000]));
        assert_eq!(read(&disk, "/renamed").await.as_deref(), Some(&b"x"[..]));
        let taken = disk.lock(Path::new("/.lock")).await.expect("the dead hold no locks");
        // What is left of the dead process goes away late, and takes nothing from the living.
        drop(lock);
        assert!(disk.lock(Path::new("/.lock")).await.is_err());
        drop(taken);
    });
}

#[test]
fn failed_sync_makes_lost_sectors_look_clean() {
    let seen: BTreeSet<_> = over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        let file = make_durable(&disk, "/file", &[1; 512]).await;
        write(&file, &[2; 512], 0).await;
        disk.set_faults(|faults| faults.sync_error = 1.0);
        assert!(file.sync_data().await.is_err());
        disk.set_faults(|faults| faults.sync_error = 0.0);
        // The retry lies: nothing is dirty any more.
        file.sync_data().await.expect("there is nothing to do");
        assert!(read(&disk, "/file").await == Some(vec![2; 512]), "the cache still has it");
        let disk = power_cycle(&world, machine);
        read(&disk, "/file").await.map(|bytes| bytes[0])
    })
    .into_iter()
    .collect();
    assert_eq!(seen, BTreeSet::from([Some(1), Some(2)]));
}

#[test]
fn dropped_pages_show_what_a_failed_sync_has_lost() {
    let seen: BTreeSet<_> = over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        let file = make_durable(&disk, "/file", &[1; 1024]).await;
        write(&file, &[2; 512], 0).await;
        disk.set_faults(|faults| faults.sync_error = 1.0);
        assert!(file.sync_data().await.is_err());
        write(&file, &[3; 512], 512).await;
        disk.drop_clean_pages();
        let bytes = read(&disk, "/file").await.expect("it is there");
        assert!(bytes[512..] == [3; 512], "dirty pages are never dropped");
        bytes[0]
    })
    .into_iter()
    .collect();
    assert_eq!(seen, BTreeSet::from([1, 2]));
}

#[test]
fn lying_sync_makes_nothing_durable() {
    let seen: BTreeSet<_> = over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        let file = make_durable(&disk, "/file", &[1; 512]).await;
        write(&file, &[2; 512], 0).await;
        disk.set_faults(|faults| faults.lying_sync = 1.0);
        file.sync_data().await.expect("a lie");
        let disk = power_cycle(&world, machine);
        read(&disk, "/file").await.map(|bytes| bytes[0])
    })
    .into_iter()
    .collect();
    assert_eq!(seen, BTreeSet::from([Some(1), Some(2)]));
}

#[test]
fn misdirected_write_loses_one_sector_and_spoils_another() {
    let spoilt = over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        let file = make_durable(&disk, "/file", &[1; 8 * 512]).await;
        write(&file, &[2; 512], 0).await;
        disk.set_faults(|faults| faults.misdirected_write = 1.0);
        file.sync_data().await.expect("nobody has noticed");
        assert!(read(&disk, "/file").await.expect("it is there")[..512] == [2; 512]);
        let disk = power_cycle(&world, machine);
        let bytes = read(&disk, "/file").await.expect("it is there");
        let written: Vec<_> = bytes.chunks(512).map(|sector| sector == [2; 512]).collect();
        assert_eq!(written.iter().filter(|is_there| **is_there).count(), 1);
        !written[0]
    });
    assert!(spoilt.contains(&true));
}

#[test]
fn reads_can_fail_and_flip_bits_and_files_can_rot() {
    over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        let file = make_durable(&disk, "/file", &[0; 2000]).await;
        disk.set_faults(|faults| faults.read_error = 1.0);
        assert!(file.read_at(&mut [0; 10], 0).await.is_err());
        disk.set_faults(|faults| (faults.read_error, faults.read_bit_flip) = (0.0, 1.0));
        let ones = |bytes: &[u8]| bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
        let mut buffer = [0; 2000];
        file.read_exact_at(&mut buffer, 0).await.expect("read");
        assert_eq!(ones(&buffer), 1);
        disk.set_faults(|faults| faults.read_bit_flip = 0.0);
        assert_eq!(ones(&read(&disk, "/file").await.expect("it is there")), 0, "that was the bus");
        disk.rot(Path::new("/file"), 700, 3).expect("it is there");
        let disk = power_cycle(&world, machine);
        let bytes = read(&disk, "/file").await.expect("it is there");
        assert_eq!((ones(&bytes), bytes[700]), (1, 8), "this is the device");
    });
}

#[test]
fn full_disk_refuses_until_something_is_removed() {
    over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        disk.set_faults(|faults| faults.capacity = 64 << 10);
        make(&disk, "/large", &[1; 48 << 10]).await;
        let file = make(&disk, "/small", b"x").await;
        let more = file.write_all_at(&[IoSlice::new(&[2; 32 << 10])], 0).await;
        assert_eq!(more.map_err(|error| error.kind()), Err(ErrorKind::StorageFull));
        write(&file, b"y", 0).await;
        let (all, free) = disk.space(Path::new("/")).await.expect("told");
        assert!(all == 64 << 10 && free < 16 << 10, "{free}");
        disk.remove_file(Path::new("/large")).await.expect("removed");
        write(&file, &[2; 32 << 10], 0).await;
        // A hole takes no room.
        file.set_length(1 << 30).await.expect("extended");
        write(&file, b"end", 1 << 29).await;
    });
}

#[test]
fn writes_are_cut_short_at_times() {
    let counts: BTreeSet<_> = over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        disk.set_faults(|faults| faults.short_write = 0.5);
        let file = disk.open(Path::new("/file"), OpenMode::Create).await.expect("opened");
        file.write_at(&[IoSlice::new(b"four"), IoSlice::new(b"more")], 0).await.expect("written")
    })
    .into_iter()
    .collect();
    assert!(counts.contains(&8) && counts.len() > 4 && !counts.contains(&0), "{counts:?}");
}

#[test]
fn slow_disk_stalls_syncs_and_nothing_else() {
    over_seeds(|world, machine| async move {
        let disk = world.puppet(machine).disk().clone();
        disk.set_faults(|faults| {
            (faults.stall, faults.stall_ms) = (1.0, 3_000..3_001);
        });
        let before = world.now();
        let file = make(&disk, "/file", &[1; 1000]).await;
        assert!(world.now().since(before) < Duration::from_millis(1));
        file.sync_data().await.expect("synced");
        assert!(world.now().since(before) >= Duration::from_secs(3));
    });
}

#[test]
fn large_files_cost_what_was_written() {
    let outcome = simulate(Settings::new(1), |world| async move {
        let machine = world.add_machine("a");
        let disk = world.puppet(machine).disk().clone();
        let file = make_durable(&disk, "/log", b"").await;
        // As much as a busy log: a mebibyte at a time, synced each time.
        let piece = vec![7; 1 << 20];
        for index in 0..64_u64 {
            write(&file, &piece, index << 20).await;
            file.sync_data().await.expect("synced");
        }
        let disk = power_cycle(&world, machine);
        let file = disk.open(Path::new("/log"), OpenMode::Read).await.expect("it is there");
        assert_eq!(file.length().await.ok(), Some(64 << 20));
        assert_eq!((64 << 20) % SECTOR_BYTES, 0);
    });
    outcome.result.expect("all of it is durable");
}
