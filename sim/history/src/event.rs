//! One line of a history.

use std::fmt;

use ottla::model::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::Verdict;

/// Names one record of a run. Of two records of one producer the one that was sent later has the larger number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordId(pub u64);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}", self.0)
    }
}

/// A record that a consumer was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Polled {
    /// One life of one consumer.
    pub consumer: u64,
    /// From where.
    #[serde(with = "place")]
    pub partition: TopicPartition,
    /// Its offset.
    pub offset: i64,
    /// Which; `None` for bytes that nobody sent.
    pub record: Option<RecordId>,
    /// Which of this consumer's polls gave it.
    pub poll: u64,
    /// Whether this consumer reads the partition from one end to the other: a member of a group begins anew whenever it
    /// is assigned.
    pub is_in_one_run: bool,
}

/// What must happen within bounded time once all faults are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// The cluster serves.
    Service,
    /// A producer gets rid of what it holds.
    Producer,
    /// A group comes to rest.
    Group,
}

impl Awaited {
    /// What it is called when it does not happen.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Service => Verdict::Stuck,
            Self::Producer => Verdict::StuckProducer,
            Self::Group => Verdict::StuckGroup,
        }
    }
}

/// What somebody did, or noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// A record is handed to a producer: one life of one, which sends to each partition in the order of record numbers.
    Send {
        /// Which record.
        record: RecordId,
        /// Which life of which producer.
        producer: u64,
        /// Where to.
        #[serde(with = "place")]
        partition: TopicPartition,
    },
    /// The record is written. One without this event and the next has an unknown fate.
    Acknowledged {
        /// Which record.
        record: RecordId,
        /// Where, when the broker knew it.
        offset: Option<i64>,
    },
    /// The record was certainly not written.
    Refused {
        /// Which record.
        record: RecordId,
    },
    /// A consumer was given a record.
    Poll(Polled),
    /// An offset is about to be committed.
    Commit {
        /// Whose.
        group: String,
        /// Where.
        #[serde(with = "place")]
        partition: TopicPartition,
        /// What; it only grows.
        offset: i64,
    },
    /// It is committed.
    Committed {
        /// Whose.
        group: String,
        /// Where.
        #[serde(with = "place")]
        partition: TopicPartition,
        /// What.
        offset: i64,
    },
    /// Somebody is about to ask where a group stands.
    Ask {
        /// Which group.
        group: String,
    },
    /// What the answer said of one partition.
    Found {
        /// Which group.
        group: String,
        /// Where.
        #[serde(with = "place")]
        partition: TopicPartition,
        /// What; `None` when nothing is committed.
        offset: Option<i64>,
    },
    /// Records before an offset are about to be deleted.
    Trim {
        /// Where.
        #[serde(with = "place")]
        partition: TopicPartition,
        /// Before which offset.
        before: i64,
    },
    /// They are.
    Trimmed {
        /// Where.
        #[serde(with = "place")]
        partition: TopicPartition,
        /// The first offset there is.
        start: i64,
    },
    /// Retention may cut this partition.
    Limit {
        /// Which partition.
        #[serde(with = "place")]
        partition: TopicPartition,
        /// `retention.bytes`.
        bytes: u64,
        /// What one record takes in the log at most, with all that is around it.
        record_bytes_max: u64,
    },
    /// A topic is about to be made, grown or deleted.
    ChangeTopic {
        /// Its name.
        topic: String,
    },
    /// It is.
    TopicChanged {
        /// Its name.
        topic: String,
        /// How many partitions it has; `None` when it is deleted.
        partitions: Option<i32>,
    },
    /// A client saw at once what must never happen.
    Noticed {
        /// What it was.
        verdict: Verdict,
        /// Where, when it was in one partition.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "place::optional")]
        partition: Option<TopicPartition>,
        /// What was seen.
        what: String,
    },
    /// Bits of a partition's files have turned: what it held may be lost.
    Rotten {
        /// Which partition.
        #[serde(with = "place")]
        partition: TopicPartition,
    },
    /// Requests may have arrived long after their clients gave them up and repeated them on other connections.
    ///
    /// A broker cannot tell such a request from a new one, unless it has a producer's sequence: it does again what was done,
    /// and undone, since. Apache Kafka does the same.
    RequestsCameLate,
    /// A broker ended by itself, without a reason that anybody knows of.
    BrokerEnded {
        /// What it said.
        why: String,
    },
    /// Something that had to happen in time did, or did not.
    Await {
        /// What.
        what: Awaited,
        /// Whether it did.
        is_done: bool,
        /// Of whom, and what was seen instead.
        seen: String,
    },
    /// The records of one partition, read when all was over.
    Read {
        /// Which partition.
        #[serde(with = "place")]
        partition: TopicPartition,
        /// Where it begins.
        start: i64,
        /// Offset and record of each, in the order in which they were read.
        records: Vec<(i64, Option<RecordId>)>,
    },
    /// What a group has committed when all is over.
    ReadCommit {
        /// Which group.
        group: String,
        /// Where.
        #[serde(with = "place")]
        partition: TopicPartition,
        /// What.
        offset: i64,
    },
    /// A topic that is there when all is over.
    ReadTopic {
        /// Its name.
        topic: String,
        /// How many partitions it has.
        partitions: i32,
    },
    /// Everything has been read. Without this event what is not in the last reading may still come.
    End,
}

/// As Kafka's tools print it.
#[must_use]
pub fn show(partition: &TopicPartition) -> String {
    partition.to_string()
}

/// Partitions as text: `orders-0`.
mod place {
    use ottla::model::TopicPartition;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        place: &TopicPartition,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(place)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<TopicPartition, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| D::Error::custom(format!("'{text}' is no partition")))
    }

    fn parse(text: &str) -> Option<TopicPartition> {
        let (topic, index) = text.rsplit_once('-')?;
        Some(TopicPartition::new(topic, index.parse().ok()?))
    }

    pub(super) mod optional {
        use super::{Deserialize, Deserializer, Serializer, TopicPartition, parse};

        #[expect(clippy::ref_option, reason = "what serde asks for")]
        pub(in super::super) fn serialize<S: Serializer>(
            place: &Option<TopicPartition>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match place {
                Some(place) => to.collect_str(place),
                None => to.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<TopicPartition>, D::Error> {
            Ok(Option::<String>::deserialize(from)?.and_then(|text| parse(&text)))
        }
    }
}
