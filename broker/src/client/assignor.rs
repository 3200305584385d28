use std::collections::{BTreeMap, BTreeSet};

use crate::model::{PartitionIndex, TopicName, TopicPartition};

/// How the leader of a classic group shares partitions out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Neighbouring partitions of each topic go to one member.
    Range,
    /// Partitions are dealt one by one.
    RoundRobin,
}

/// Who takes part, by member id, and in which topics.
pub(super) type Subscriptions = BTreeMap<String, BTreeSet<TopicName>>;

/// Who gets what.
pub(super) type Assignments = BTreeMap<String, Vec<TopicPartition>>;

impl Assignor {
    /// All of them, the preferred first.
    pub const ALL: [Self; 2] = [Self::Range, Self::RoundRobin];

    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// Shares out `counts` partitions of each topic; topics without partitions are left out.
    pub(super) fn assign(
        self,
        members: &Subscriptions,
        counts: &BTreeMap<TopicName, i32>,
    ) -> Assignments {
        let mut assignments: Assignments =
            members.keys().map(|member| (member.clone(), Vec::new())).collect();
        match self {
            Self::Range => range(members, counts, &mut assignments),
            Self::RoundRobin => round_robin(members, counts, &mut assignments),
        }
        assignments
    }
}

fn range(
    members: &Subscriptions,
    counts: &BTreeMap<TopicName, i32>,
    assignments: &mut Assignments,
) {
    for (topic, count) in counts {
        let takers: Vec<&String> =
            members.iter().filter(|(_, topics)| topics.contains(topic)).map(|(id, _)| id).collect();
        let Ok(taker_count) = i32::try_from(takers.len()) else { continue };
        let mut first = 0;
        for (place, taker) in (0..taker_count).zip(takers) {
            let share = count / taker_count + i32::from(place < count % taker_count);
            let partitions = (first..first + share).map(|index| partition(topic, index));
            assignments.entry(taker.clone()).or_default().extend(partitions);
            first += share;
        }
    }
}

fn round_robin(
    members: &Subscriptions,
    counts: &BTreeMap<TopicName, i32>,
    assignments: &mut Assignments,
) {
    let mut turn = 0;
    let ids: Vec<&String> = members.keys().collect();
    for (topic, count) in counts {
        if !members.values().any(|topics| topics.contains(topic)) {
            continue;
        }
        for index in 0..*count {
            while !members[ids[turn % ids.len()]].contains(topic) {
                turn += 1;
            }
            assignments
                .entry(ids[turn % ids.len()].clone())
                .or_default()
                .push(partition(topic, index));
            turn += 1;
        }
    }
}

fn partition(topic: &TopicName, index: i32) -> TopicPartition {
    TopicPartition { topic: topic.clone(), partition: PartitionIndex(index) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        assignor: Assignor,
        members: &[(&str, &[&str])],
        counts: &[(&str, i32)],
        expected: &[(&str, &str)],
    ) {
        let members = members
            .iter()
            .map(|(id, topics)| {
                ((*id).to_owned(), topics.iter().map(|t| TopicName::from(*t)).collect())
            })
            .collect();
        let counts =
            counts.iter().map(|(topic, count)| (TopicName::from(*topic), *count)).collect();
        let assigned = assignor.assign(&members, &counts);
        let shown: Vec<(String, String)> = assigned
            .into_iter()
            .map(|(id, partitions)| {
                let partitions: Vec<String> = partitions.iter().map(ToString::to_string).collect();
                (id, partitions.join(" "))
            })
            .collect();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(id, list)| ((*id).to_owned(), (*list).to_owned())).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn range_gives_neighbours_and_the_first_members_one_more() {
        check(
            Assignor::Range,
            &[("x", &["a", "b"]), ("y", &["a", "b"])],
            &[("a", 3), ("b", 3)],
            &[("x", "a-0 a-1 b-0 b-1"), ("y", "a-2 b-2")],
        );
    }

    #[test]
    fn round_robin_deals_over_topics() {
        check(
            Assignor::RoundRobin,
            &[("x", &["a", "b"]), ("y", &["a", "b"])],
            &[("a", 3), ("b", 3)],
            &[("x", "a-0 a-2 b-1"), ("y", "a-1 b-0 b-2")],
        );
    }

    #[test]
    fn round_robin_passes_over_members_that_do_not_subscribe() {
        check(
            Assignor::RoundRobin,
            &[("x", &["a"]), ("y", &["b"]), ("z", &[])],
            &[("a", 2), ("b", 1), ("c", 5)],
            &[("x", "a-0 a-1"), ("y", "b-0"), ("z", "")],
        );
    }

    #[test]
    fn more_members_than_partitions_leaves_some_without() {
        let members: &[(&str, &[&str])] = &[("x", &["a"]), ("y", &["a"])];
        check(Assignor::Range, members, &[("a", 1)], &[("x", "a-0"), ("y", "")]);
    }
}
