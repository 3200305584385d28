//! Seeds that failed once, each with its story. Another build is another world, so a seed is no proof that its story does
//! not come back: that is for the small test that each story names.

mod seeds;

/// 68: a client that set a bookmark began at 1 again after a crash, and called what it found a lost commit. The simulator
/// was wrong; a bookmark's life has a group of its own now.
///
/// 153: the power went while an empty directory was formatted. What was left, `meta.properties.tmp`, made the directory
/// somebody else's for ever. See `directory_with_what_an_interrupted_format_left_is_ours` in `node/storage.rs`.
///
/// 246: the same a moment later: the first snapshot, with the voters, was half written, and counted as a formatted metadata
/// log. See `formatting_that_a_power_loss_interrupted_is_done_again` in `raft/driver_tests.rs`.
///
/// 17: the broker was killed while it formatted its directory; the next one found it formatted and went on. Nobody had made
/// the directory's own name durable, so a power cut much later took everything. See
/// `directory_whose_formatting_was_interrupted_survives_a_power_loss` in `sim/tests/log.rs`.
///
/// 27: a member waited for ever for a connection that one of its own fetches was dialling, which nobody polled meanwhile. See
/// `caller_that_is_not_polled_keeps_nobody_from_connecting` in `client/router.rs`.
///
/// 32: records that `DeleteRecords` had deleted were back after a power cut: their start was written down within a minute.
/// Now it is durable when it is answered.
///
/// 171: a sync failed, and the broker ended. The next one found the records in the page cache, synced them, was told that
/// all was well, and acknowledged them; but Linux tries no page again after an error, and the next power cut took
/// them. See `what_a_failed_sync_left_in_the_cache_is_written_again` in `sim/tests/log.rs`.
///
/// 8, 11, 20: the high watermark followed the recovery point, which is checkpointed rarely, instead of what had been
/// synced. A broker that came back from a power cut had a high watermark behind what it had acknowledged, so readers
/// did not see acknowledged records until the next one was written.
///
/// 1685: a write failed while the logs were opened, so the only directory was offline before anything watched for that; the
/// start waited for ever to be unfenced. See `a_start_whose_only_disk_fails_ends_and_says_which` in `broker/tests/wire/running.rs`.
///
/// 30021: retention deleted what the last client had just been told was the beginning, before it had read it. The simulator
/// was wrong; it begins again where the log begins by then.
///
/// 80393, 80669: the broker was killed when the first snapshot, with the voters, had got its name; the next one found it, went
/// on, and lost power before anybody had made that name durable. What was left was a metadata log in which nobody votes: the
/// broker waited for a quorum for ever. See `voters_that_an_interrupted_format_wrote_survive_a_power_loss` in
/// `sim/tests/metadata_directory.rs`.
const SEEDS: [u64; 14] = [8, 11, 17, 20, 27, 32, 68, 153, 171, 246, 1685, 30021, 80393, 80669];

#[test]
fn seeds_that_failed_once_hold() {
    let options = ["--nodes", "1"];
    seeds::expect_all_hold(&seeds::run(&SEEDS, &options), &options);
}

/// The same in worlds of three nodes.
///
/// 46: a producer's second batch was taken by a new leader while the first was still with the old one: a broker takes any number
/// from a producer that it does not know. The first goes alone now. See
/// `first_batch_of_an_epoch_goes_alone_until_the_partition_knows_the_producer` in `client/producer/sequencer.rs`.
///
/// 4, 79: a client that had one connection, to a broker that had lost the others, asked nobody else, for ever. Now and then it does.
///
/// 8: the disk of a node failed while it started; it waited for ever to be let in by a controller who saw that it had no directory.
///
/// 29: records that `DeleteRecords` had deleted were back after all three brokers had lost power: followers said where their logs
/// begin before that was durable.
///
/// 5047, 5075: a follower of the metadata quorum put a fetched snapshot in place: it cut its log before it said that there is a
/// newer snapshot. Who read the committed log meanwhile was led back to the older one, and a controller that is told that what
/// is committed is not ends. And a world of five nodes, 4: with a fetch time-out as short as a leader may be silent, followers
/// stood for election twice a second for ever; see `quiet_leader_is_not_missed.txt` among the scenarios of the quorum.
///
/// 5274: the coordinator gave up on a write before it had asked for a sync, its broker lost the leadership and got it back, and
/// then waited for ever for that record to be committed while it loaded: no sync, no high watermark. What nobody waits for is
/// synced all the same now.
///
/// 5160: the simulator was wrong: two blows that overlapped put back what the other had made of the disk, so it failed for ever.
///
/// 80099: the simulator was wrong: a follower had kept a record of its own before the leader's log start, where nobody can read.
/// (80911, 460 s long, is not run again: it wanted a follower in sync whose leader's records a bit had spoilt.)
const SEEDS_OF_CLUSTERS: [u64; 10] = [4, 8, 29, 46, 79, 5047, 5075, 5160, 5274, 80099];

#[test]
fn clusters_that_failed_once_hold() {
    let options = ["--nodes", "3"];
    seeds::expect_all_hold(&seeds::run(&SEEDS_OF_CLUSTERS, &options), &options);
}

/// The same in worlds of five nodes.
///
/// 50003: a power cut took all that one of three replicas of `__consumer_offsets` had not synced of a segment, but not the name
/// of the next. As the topic is a compacted one, the start took the hole for compaction's: the replica said that it had all,
/// led again later, and commits that everybody had were gone. A compacted log is synced with each roll now: half of the seeds of
/// `what_opens_again_was_true_once_and_nothing_flushed_is_missing` in `sim/tests/log.rs` have one.
const SEEDS_OF_FIVE: [u64; 1] = [50003];

#[test]
fn clusters_of_five_that_failed_once_hold() {
    let options = ["--nodes", "5"];
    seeds::expect_all_hold(&seeds::run(&SEEDS_OF_FIVE, &options), &options);
}
