//! What a history adds up to.

use std::collections::{BTreeMap, BTreeSet};

use ottla::model::TopicPartition;

use crate::{Event, Polled, RecordId, Verdict};

/// What became of something a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate<T> {
    /// Nobody has said, perhaps because the client died: it may have happened or not.
    Unknown,
    /// It was acknowledged.
    Acknowledged(T),
    /// It was refused before anything was done.
    Failed,
}

impl<T> Fate<T> {
    /// What was acknowledged.
    #[must_use]
    pub const fn acknowledged(&self) -> Option<&T> {
        match self {
            Self::Acknowledged(value) => Some(value),
            Self::Unknown | Self::Failed => None,
        }
    }
}

/// A record that was handed to a producer.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Where to.
    pub partition: TopicPartition,
    /// One life of one producer; what it sends to a partition must be stored in the order of record numbers.
    pub producer: u64,
    /// What became of it: the offset, when the broker knew it.
    pub fate: Fate<Option<i64>>,
}

/// Commits of one group in one partition, whose offsets only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commits {
    /// The largest that was acknowledged.
    pub acknowledged: Option<i64>,
    /// The largest that was tried.
    pub tried: i64,
    /// The least that the next answer may say: what was acknowledged before somebody asked, or found before.
    pub floor: Option<i64>,
}

/// What somebody was told about a group's offset, and between what it had to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose offset.
    pub group: String,
    /// Where.
    pub partition: TopicPartition,
    /// What was found.
    pub offset: Option<i64>,
    /// The least it could be.
    pub at_least: Option<i64>,
    /// The largest that anybody had tried by then.
    pub at_most: i64,
}

/// Deletions of records at the beginning of one partition, further each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trims {
    /// The furthest start that was acknowledged.
    pub acknowledged: i64,
    /// The furthest that was tried.
    pub tried: i64,
}

/// How much a partition keeps at least, once it had as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// `retention.bytes`.
    pub bytes: u64,
    /// What one record takes in the log at most, with all that is around it.
    pub record_bytes_max: u64,
}

/// What became of changes of one topic, made one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicFate {
    /// Whether the last change that was acknowledged made it (or deleted it).
    pub exists: bool,
    /// How many partitions it was last said to have.
    pub partition_count: i32,
    /// Whether a later one may have happened.
    pub is_unsure: bool,
}

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
    /// Where a partition begins.
    #[must_use]
    pub fn start(&self, partition: &TopicPartition) -> i64 {
        self.starts.get(partition).copied().unwrap_or(0)
    }
}

/// Something that must never happen, noticed by somebody while it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Surprise {
    pub(crate) verdict: Verdict,
    pub(crate) partition: Option<TopicPartition>,
    pub(crate) what: String,
}

/// All that clients did and were told.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Records, by number.
    pub sends: BTreeMap<RecordId, Sent>,
    /// What consumers were given, in order.
    pub polls: Vec<Polled>,
    /// Commits by group and partition.
    pub commits: BTreeMap<(String, TopicPartition), Commits>,
    /// How many commits were acknowledged.
    pub commit_count: usize,
    /// What was found of them during the run.
    pub found: Vec<Found>,
    /// Where records were deleted, by partition.
    pub trims: BTreeMap<TopicPartition, Trims>,
    /// Partitions that retention cuts, and what it must leave.
    pub limits: BTreeMap<TopicPartition, Limit>,
    /// Topics that were made and deleted during the run.
    pub topics: BTreeMap<String, TopicFate>,
    /// How many changes of topics were acknowledged.
    pub topic_change_count: usize,
    /// Partitions whose files have rotten bits.
    pub rotten: BTreeSet<TopicPartition>,
    /// Whether requests without a sequence may have taken effect again, long after they were acknowledged.
    pub have_requests_come_late: bool,
    /// What was noticed at once.
    pub(crate) surprises: Vec<Surprise>,
    /// What there was when all was over.
    pub read: FinalRead,
    /// Whether that is everything there was.
    pub is_read_to_the_end: bool,
}

impl Facts {
    /// What all these events add up to.
    #[must_use]
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut facts = Self::default();
        events.into_iter().for_each(|event| facts.take(event));
        facts
    }

    /// Adds one event.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Send { record, producer, partition } => {
                let (producer, partition) = (*producer, partition.clone());
                self.sends.insert(*record, Sent { partition, producer, fate: Fate::Unknown });
            }
            Event::Acknowledged { record, offset } => {
                self.settle(*record, Fate::Acknowledged(*offset));
            }
            Event::Refused { record } => self.settle(*record, Fate::Failed),
            Event::Poll(polled) => self.polls.push(polled.clone()),
            Event::Commit { group, partition, offset } => {
                let commits = self.commits_of(group, partition);
                commits.tried = commits.tried.max(*offset);
            }
            Event::Committed { group, partition, offset } => {
                self.commit_count += 1;
                let commits = self.commits_of(group, partition);
                commits.acknowledged = commits.acknowledged.max(Some(*offset));
            }
            Event::Ask { group } => self.ask(group),
            Event::Found { group, partition, offset } => self.find(group, partition, *offset),
            Event::Trim { partition, before } => {
                let trims = self.trims.entry(partition.clone()).or_default();
                trims.tried = trims.tried.max(*before);
            }
            Event::Trimmed { partition, start } => {
                let trims = self.trims.entry(partition.clone()).or_default();
                trims.acknowledged = trims.acknowledged.max(*start);
            }
            Event::Limit { partition, bytes, record_bytes_max } => {
                let limit = Limit { bytes: *bytes, record_bytes_max: *record_bytes_max };
                self.limits.insert(partition.clone(), limit);
            }
            Event::ChangeTopic { topic } => {
                self.topics.entry(topic.clone()).or_default().is_unsure = true;
            }
            Event::TopicChanged { topic, partitions } => {
                let (exists, partition_count) = (partitions.is_some(), partitions.unwrap_or(0));
                self.topic_change_count += 1;
                let fate = TopicFate { exists, partition_count, is_unsure: false };
                self.topics.insert(topic.clone(), fate);
            }
            Event::Noticed { verdict, partition, what } => {
                self.notice(*verdict, partition.clone(), what.clone());
            }
            Event::Rotten { partition } => drop(self.rotten.insert(partition.clone())),
            Event::RequestsCameLate => self.have_requests_come_late = true,
            Event::BrokerEnded { why } => self.notice(Verdict::BrokerFailed, None, why.clone()),
            Event::Await { what, is_done, seen } => {
                if !is_done {
                    self.notice(what.verdict(), None, seen.clone());
                }
            }
            Event::Read { partition, start, records } => {
                self.read.starts.insert(partition.clone(), *start);
                self.read.records.insert(partition.clone(), records.clone());
            }
            Event::ReadCommit { group, partition, offset } => {
                self.read.commits.insert((group.clone(), partition.clone()), *offset);
            }
            Event::ReadTopic { topic, partitions } => {
                self.read.topics.insert(topic.clone(), *partitions);
            }
            Event::End => self.is_read_to_the_end = true,
        }
    }

    fn commits_of(&mut self, group: &str, partition: &TopicPartition) -> &mut Commits {
        self.commits.entry((group.to_owned(), partition.clone())).or_default()
    }

    /// What is acknowledged by now must be in the answer.
    fn ask(&mut self, group: &str) {
        for (_, commits) in self.commits.iter_mut().filter(|((name, _), _)| name == group) {
            commits.floor = commits.floor.max(commits.acknowledged);
        }
    }

    fn find(&mut self, group: &str, partition: &TopicPartition, offset: Option<i64>) {
        let commits = self.commits_of(group, partition);
        let (at_least, at_most) = (commits.floor, commits.tried);
        commits.floor = commits.floor.max(offset);
        let (group, partition) = (group.to_owned(), partition.clone());
        self.found.push(Found { group, partition, offset, at_least, at_most });
    }

    fn settle(&mut self, record: RecordId, fate: Fate<Option<i64>>) {
        if let Some(sent) = self.sends.get_mut(&record) {
            sent.fate = fate;
        }
    }

    fn notice(&mut self, verdict: Verdict, partition: Option<TopicPartition>, what: String) {
        self.surprises.push(Surprise { verdict, partition, what });
    }

    /// How many records were acknowledged.
    #[must_use]
    pub fn acknowledged_count(&self) -> usize {
        self.sends.values().filter(|sent| sent.fate.acknowledged().is_some()).count()
    }
}
