//! What must be true of a history when all faults are over, each with a name that others use for its breach.
//!
//! The names are those of the checker library `jepsen.tests.kafka` where it has one, so that verdicts can be compared
//! word for word. A checker sees only what clients saw: the history, and one reading of everything at the end.

mod acknowledged_records_survive;
mod committed_offsets_survive;
mod log_starts_are_as_asked;
mod no_duplicates;
mod offsets_are_consistent;
mod order_is_kept;
mod polls_go_forward;
mod retention_keeps_its_limit;
mod rot_is_never_served;
mod topics_survive;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ottla::model::TopicPartition;

use crate::history::{Facts, RecordId};

/// Everything a cluster holds when it is left alone, as clients read it.
#[derive(Clone, Debug, Default)]
pub struct FinalRead {
    /// The records of each partition, from its beginning, with their offsets.
    pub records: BTreeMap<TopicPartition, Vec<(i64, Option<RecordId>)>>,
    /// What groups have committed.
    pub commits: BTreeMap<(String, TopicPartition), i64>,
    /// Where each partition begins; at 0 when it is not here.
    pub starts: BTreeMap<TopicPartition, i64>,
    /// All topics, and how many partitions they have.
    pub topics: BTreeMap<String, i32>,
}

impl FinalRead {
    fn start(&self, partition: &TopicPartition) -> i64 {
        self.starts.get(partition).copied().unwrap_or(0)
    }
}

/// One breach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// What kind.
    pub name: &'static str,
    /// What was seen.
    pub what: String,
}

impl Anomaly {
    fn new(name: &'static str, what: String) -> Self {
        Self { name, what }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.what)
    }
}

/// What looks for breaches of one promise.
#[derive(Debug)]
pub struct Checker {
    /// What it is called, on the command line too.
    pub name: &'static str,
    check: fn(&Facts, &FinalRead) -> Vec<Anomaly>,
}

/// All of them but [`ROT`].
pub const CHECKERS: &[Checker] = &[
    Checker { name: "noticed_by_clients", check: noticed_by_clients },
    Checker { name: "acknowledged_records_survive", check: acknowledged_records_survive::check },
    Checker { name: "offsets_are_consistent", check: offsets_are_consistent::check },
    Checker { name: "polls_go_forward", check: polls_go_forward::check },
    Checker { name: "no_duplicates", check: no_duplicates::check },
    Checker { name: "order_is_kept", check: order_is_kept::check },
    Checker { name: "committed_offsets_survive", check: committed_offsets_survive::check },
    Checker { name: "log_starts_are_as_asked", check: log_starts_are_as_asked::check },
    Checker { name: "retention_keeps_its_limit", check: retention_keeps_its_limit::check },
    Checker { name: "topics_survive", check: topics_survive::check },
];

/// The one that is asked of partitions with rotten files, instead of all others.
pub const ROT: &str = "rot_is_never_served";

/// What did not happen in time, or happened by itself: seen while the world runs, which ends with it.
pub const NOT_IN_TIME: &[&str] = &["stuck", "stuck-producer", "stuck-group", "broker-failed"];

/// What a checker found.
pub type Found = (&'static str, Anomaly);

/// Asks all checkers but those that are named. Of partitions whose files are rotten only that is asked which can be had.
#[must_use]
pub fn check(
    facts: &Facts,
    read: &FinalRead,
    rotten: &BTreeSet<TopicPartition>,
    without: &BTreeSet<String>,
) -> Vec<Found> {
    let ask = |facts: &Facts, read: &FinalRead| -> Vec<Found> {
        let asked = CHECKERS.iter().filter(|checker| !without.contains(checker.name));
        let found = |checker: &Checker| {
            let name = checker.name;
            (checker.check)(facts, read).into_iter().map(move |anomaly| (name, anomaly))
        };
        asked.flat_map(found).collect()
    };
    if rotten.is_empty() {
        return ask(facts, read);
    }
    let mut anomalies = Vec::new();
    if !without.contains(ROT) {
        let found = rot_is_never_served::check(facts, read, rotten);
        anomalies.extend(found.into_iter().map(|anomaly| (ROT, anomaly)));
    }
    let (mut facts, mut read) = (facts.clone(), read.clone());
    facts.sends.retain(|_, sent| !rotten.contains(&sent.partition));
    facts.polls.retain(|polled| !rotten.contains(&polled.partition));
    facts.trims.retain(|partition, _| !rotten.contains(partition));
    facts.limits.retain(|partition, _| !rotten.contains(partition));
    facts.commits.retain(|(_, partition), _| !rotten.contains(partition));
    // Who met a reader's error does not say where.
    facts.surprises.retain(|surprise| {
        surprise.partition.as_ref().is_some_and(|partition| !rotten.contains(partition))
    });
    read.records.retain(|partition, _| !rotten.contains(partition));
    anomalies.extend(ask(&facts, &read));
    anomalies
}

fn noticed_by_clients(facts: &Facts, _: &FinalRead) -> Vec<Anomaly> {
    let noticed = facts.surprises.iter();
    noticed.map(|surprise| Anomaly::new(surprise.anomaly, surprise.what.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Commits, Fate, Polled, Sent, TopicFate};

    /// A history of records 1, 2, 3… sent to one partition by one producer, each with the offset it was acknowledged at.
    pub(super) fn sent(fates: &[Fate<Option<i64>>]) -> Facts {
        let mut facts = Facts::default();
        for (number, fate) in (1..).zip(fates) {
            let sent = Sent { partition: partition(), producer: 1, fate: fate.clone() };
            facts.sends.insert(RecordId(number), sent);
        }
        facts
    }

    fn acked(offset: i64) -> Fate<Option<i64>> {
        Fate::Acknowledged(Some(offset))
    }

    fn partition() -> TopicPartition {
        TopicPartition::new("orders", 0)
    }

    fn read(records: &[(i64, u64)]) -> FinalRead {
        let records = records.iter().map(|(offset, id)| (*offset, Some(RecordId(*id))));
        FinalRead {
            records: BTreeMap::from([(partition(), records.collect())]),
            ..FinalRead::default()
        }
    }

    #[track_caller]
    fn finds(facts: &Facts, read: &FinalRead, names: &[&str]) {
        let anomalies = check(facts, read, &BTreeSet::new(), &BTreeSet::new());
        let found: Vec<_> = anomalies.iter().map(|(_, anomaly)| anomaly.name).collect();
        assert_eq!(found, names, "{anomalies:?}");
    }

    #[test]
    fn a_history_in_which_all_is_well_is_let_pass() {
        let facts = sent(&[acked(0), Fate::Unknown, acked(1), Fate::Unknown, Fate::Failed]);
        finds(&facts, &read(&[(0, 1), (1, 3), (2, 4)]), &[]);
        finds(&sent(&[]), &FinalRead::default(), &[]);
    }

    #[test]
    fn lost_records_are_told_from_those_that_nobody_can_see_yet() {
        let facts = sent(&[acked(0), acked(1)]);
        finds(&facts, &read(&[(0, 1)]), &["unseen"]);
        let facts = sent(&[acked(0), acked(1), Fate::Unknown]);
        finds(&facts, &read(&[(0, 1), (1, 3)]), &["lost-write", "inconsistent-offsets"]);
        let facts = sent(&[Fate::Acknowledged(None), acked(1)]);
        finds(&facts, &read(&[(1, 2)]), &["lost-write", "hole"]);
    }

    #[test]
    fn records_at_other_offsets_twice_or_in_another_order_are_found() {
        let facts = sent(&[acked(0), acked(1)]);
        finds(
            &facts,
            &read(&[(0, 2), (1, 1)]),
            &["inconsistent-offsets", "inconsistent-offsets", "nonmonotonic-send"],
        );
        finds(&facts, &read(&[(0, 1), (1, 2), (2, 1)]), &["duplicate", "nonmonotonic-send"]);
        finds(&facts, &read(&[(0, 1), (1, 2), (3, 9)]), &["hole", "foreign-record"]);
    }

    #[test]
    fn refused_records_are_not_there_and_read_records_stay() {
        let mut facts = sent(&[Fate::Failed, Fate::Unknown]);
        finds(&facts, &read(&[(0, 1)]), &["G1a"]);
        let polled = |offset, record| Polled {
            consumer: 1,
            poll: 1,
            partition: partition(),
            offset,
            record: Some(RecordId(record)),
            is_in_one_run: true,
        };
        facts.polls = vec![polled(0, 2)];
        finds(&facts, &read(&[(0, 2)]), &[]);
        finds(&facts, &read(&[]), &["unseen-again"]);
        facts.polls = vec![polled(0, 2), polled(0, 2)];
        finds(&facts, &read(&[(0, 2)]), &["int-nonmonotonic-poll"]);
        facts.polls = vec![polled(2, 2)];
        finds(&facts, &read(&[(0, 1), (1, 2)]), &["G1a", "unseen-again"]);
    }

    #[test]
    fn commits_and_topics_survive() {
        let mut facts = sent(&[]);
        let key = ("group".to_owned(), partition());
        facts.commits.insert(key.clone(), Commits { acknowledged: Some(5), tried: 7 });
        let mut read = FinalRead::default();
        finds(&facts, &read, &["lost-commit"]);
        for (found, names) in
            [(4, &["lost-commit"][..]), (5, &[]), (7, &[]), (8, &["foreign-commit"])]
        {
            read.commits.insert(key.clone(), found);
            finds(&facts, &read, names);
        }
        read.commits.insert(key, 5);
        let fate = |exists, is_unsure| TopicFate { exists, partition_count: 2, is_unsure };
        facts.topics.insert("made".into(), fate(true, false));
        facts.topics.insert("deleted".into(), fate(false, false));
        facts.topics.insert("who knows".into(), fate(true, true));
        finds(&facts, &read, &["lost-topic"]);
        read.topics = BTreeMap::from([("made".into(), 2), ("deleted".into(), 2)]);
        finds(&facts, &read, &["risen-topic"]);
        read.topics = BTreeMap::from([("made".into(), 1)]);
        finds(&facts, &read, &["lost-growth"]);
    }

    #[test]
    fn of_rotten_partitions_only_foreign_bytes_are_asked_for() {
        let rotten = BTreeSet::from([partition()]);
        let facts = sent(&[acked(0), acked(1)]);
        let without = BTreeSet::new();
        assert_eq!(check(&facts, &read(&[(1, 2)]), &rotten, &without), []);
        let found = check(&facts, &read(&[(1, 9)]), &rotten, &without);
        assert_eq!(
            found.iter().map(|(by, found)| (*by, found.name)).collect::<Vec<_>>(),
            [(ROT, "corrupt")]
        );
    }

    #[test]
    fn checker_that_is_left_out_finds_nothing_and_hides_nothing_else() {
        let facts = sent(&[acked(0), acked(1), Fate::Unknown]);
        let read = read(&[(0, 1), (1, 3)]);
        let found = |without: &[&str]| -> Vec<_> {
            let without = without.iter().map(|name| (*name).to_owned()).collect();
            let found = check(&facts, &read, &BTreeSet::new(), &without);
            found.into_iter().map(|(by, _)| by).collect()
        };
        let all = ["acknowledged_records_survive", "offsets_are_consistent"];
        assert_eq!(found(&[]), all);
        assert_eq!(found(&all[..1]), all[1..]);
        assert_eq!(found(&all), Vec::<&str>::new());
    }

    #[test]
    fn records_that_were_deleted_are_not_missed() {
        let mut facts = sent(&[acked(0), acked(1)]);
        let trims = crate::history::Trims { acknowledged: 1, tried: 1 };
        facts.trims.insert(partition(), trims);
        let mut read = read(&[(1, 2)]);
        read.starts.insert(partition(), 1);
        finds(&facts, &read, &[]);
    }
}
