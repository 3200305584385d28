//! The judge: what clients were told against what is there. No I/O, so that planted faults prove it.

use std::collections::BTreeMap;
use std::fmt;

/// Which record: the producer that wrote it, and its number among that producer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag {
    pub(crate) producer: u32,
    pub(crate) sequence: u32,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// What a producer was told about one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is written; here, if the broker still knew.
    Acknowledged(Option<i64>),
    /// It is not written, for certain.
    Refused,
    /// Nobody can tell.
    Unknown,
}

/// A record as its producer knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) partition: i32,
    pub(crate) fate: Fate,
}

/// A record as a reader found it; without a tag it is none of ours, or damaged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) offset: i64,
    pub(crate) tag: Option<Tag>,
}

/// What a broker must never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Acknowledged and not there.
    Lost { tag: Tag, partition: i32, offset: Option<i64> },
    /// There more than once.
    Duplicate { tag: Tag, first: Place, again: Place },
    /// Acknowledged at another place.
    Misplaced { tag: Tag, partition: i32, offset: Option<i64>, found: Place },
    /// Behind a later record of the same producer.
    Reordered { tag: Tag, behind: Tag, found: Place },
    /// Nobody wrote this, or not so.
    Foreign { found: Place },
    /// Refused for certain, and there.
    Undead { tag: Tag, found: Place },
    /// Offsets are dense where nothing is compacted; here one is missing or comes twice.
    Gap { expected: Place, found: i64 },
    /// A group's offset is less than an acknowledged commit, or less than was read before.
    CommitLost { partition: i32, known: i64, found: Option<i64> },
    /// A group's offset that nobody has committed yet.
    CommitInvented { partition: i32, attempted: i64, found: i64 },
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.producer, self.sequence)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} offset {}", self.partition, self.offset)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { tag, partition, offset } => {
                write!(f, "lost: {tag}, acknowledged in partition {partition} at {offset:?}")
            }
            Self::Duplicate { tag, first, again } => {
                write!(f, "duplicate: {tag} at {first} and at {again}")
            }
            Self::Misplaced { tag, partition, offset, found } => write!(
                f,
                "misplaced: {tag}, sent to partition {partition} and acknowledged at {offset:?}, is at {found}"
            ),
            Self::Reordered { tag, behind, found } => {
                write!(f, "reordered: {tag} at {found} comes after {behind}")
            }
            Self::Foreign { found } => write!(f, "foreign: nobody wrote what is at {found}"),
            Self::Undead { tag, found } => write!(f, "undead: {tag} was refused and is at {found}"),
            Self::Gap { expected, found } => {
                write!(f, "gap: the record after {expected} has offset {found}")
            }
            Self::CommitLost { partition, known, found } => {
                write!(f, "commit lost: partition {partition} was at {known} and is at {found:?}")
            }
            Self::CommitInvented { partition, attempted, found } => write!(
                f,
                "commit invented: partition {partition} is at {found}, and {attempted} is the highest anyone asked for"
            ),
        }
    }
}

/// Judges all records: `sent` by producer and sequence, `seen` by partition in the order they were read, from offset 0.
pub(crate) fn judge_records(sent: &[Vec<Sent>], seen: &BTreeMap<i32, Vec<Seen>>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut places: BTreeMap<Tag, Place> = BTreeMap::new();
    for (partition, records) in seen {
        judge_partition(*partition, records, sent, &mut places, &mut violations);
    }
    for (tag, sent) in every_sent(sent) {
        let Fate::Acknowledged(offset) = sent.fate else { continue };
        if !places.contains_key(&tag) {
            violations.push(Violation::Lost { tag, partition: sent.partition, offset });
        }
    }
    violations
}

fn judge_partition(
    partition: i32,
    records: &[Seen],
    sent: &[Vec<Sent>],
    places: &mut BTreeMap<Tag, Place>,
    violations: &mut Vec<Violation>,
) {
    let mut last_of: BTreeMap<u32, Tag> = BTreeMap::new();
    let mut expected = 0;
    for record in records {
        let found = Place { partition, offset: record.offset };
        if record.offset != expected {
            let expected = Place { partition, offset: expected };
            violations.push(Violation::Gap { expected, found: record.offset });
        }
        expected = record.offset + 1;
        let known = record.tag.and_then(|tag| Some((tag, find(sent, tag)?)));
        let Some((tag, sent)) = known else {
            violations.push(Violation::Foreign { found });
            continue;
        };
        if let Some(first) = places.get(&tag) {
            violations.push(Violation::Duplicate { tag, first: *first, again: found });
            continue;
        }
        places.insert(tag, found);
        violations.extend(judge_place(tag, sent, found));
        match last_of.get(&tag.producer) {
            Some(behind) if behind.sequence > tag.sequence => {
                violations.push(Violation::Reordered { tag, behind: *behind, found });
            }
            Some(_) | None => drop(last_of.insert(tag.producer, tag)),
        }
    }
}

/// One record at the first place it was found at.
fn judge_place(tag: Tag, sent: &Sent, found: Place) -> Option<Violation> {
    let misplaced =
        |offset| Some(Violation::Misplaced { tag, partition: sent.partition, offset, found });
    match sent.fate {
        Fate::Refused => Some(Violation::Undead { tag, found }),
        Fate::Acknowledged(offset) if offset.is_some_and(|offset| offset != found.offset) => {
            misplaced(offset)
        }
        Fate::Acknowledged(offset) if sent.partition != found.partition => misplaced(offset),
        Fate::Unknown if sent.partition != found.partition => misplaced(None),
        Fate::Acknowledged(_) | Fate::Unknown => None,
    }
}

fn find(sent: &[Vec<Sent>], tag: Tag) -> Option<&Sent> {
    let of_producer = sent.get(usize::try_from(tag.producer).ok()?)?;
    of_producer.get(usize::try_from(tag.sequence).ok()?)
}

fn every_sent(sent: &[Vec<Sent>]) -> impl Iterator<Item = (Tag, &Sent)> {
    (0_u32..).zip(sent).flat_map(|(producer, records)| {
        (0_u32..).zip(records).map(move |(sequence, sent)| (Tag { producer, sequence }, sent))
    })
}

/// One thing that happened to a group's offsets, which are committed as the same growing number in all partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitEvent {
    /// A commit is about to be sent.
    Attempted(i64),
    /// It was acknowledged.
    Acknowledged(i64),
    /// Somebody is about to ask for all offsets.
    Asked,
    /// The answer for one partition.
    Answered { partition: i32, offset: Option<i64> },
}

/// Judges offsets of a group: never below what was acknowledged before one asked, never backwards, never invented.
pub(crate) fn judge_commits(events: &[CommitEvent]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let (mut attempted, mut acknowledged, mut asked) = (i64::MIN, None, None);
    let mut known: BTreeMap<i32, i64> = BTreeMap::new();
    for event in events {
        match *event {
            CommitEvent::Attempted(number) => attempted = attempted.max(number),
            CommitEvent::Acknowledged(number) => acknowledged = acknowledged.max(Some(number)),
            CommitEvent::Asked => asked = acknowledged,
            CommitEvent::Answered { partition, offset } => {
                let least = asked.max(known.get(&partition).copied());
                if let Some(least) = least.filter(|_| offset < least) {
                    violations.push(Violation::CommitLost {
                        partition,
                        known: least,
                        found: offset,
                    });
                }
                let Some(found) = offset else { continue };
                if found > attempted {
                    violations.push(Violation::CommitInvented { partition, attempted, found });
                }
                known.insert(partition, found);
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn tag(producer: u32, sequence: u32) -> Tag {
        Tag { producer, sequence }
    }

    const fn place(partition: i32, offset: i64) -> Place {
        Place { partition, offset }
    }

    fn acknowledged(partition: i32, offset: i64) -> Sent {
        Sent { partition, fate: Fate::Acknowledged(Some(offset)) }
    }

    fn with_fate(fate: Fate) -> Sent {
        Sent { partition: 0, fate }
    }

    /// Tags as they are read, one list per partition; offsets are dense.
    fn seen(partitions: &[&[Tag]]) -> BTreeMap<i32, Vec<Seen>> {
        let read = |tags: &&[Tag]| {
            (0..).zip(*tags).map(|(offset, tag)| Seen { offset, tag: Some(*tag) }).collect()
        };
        (0..).zip(partitions.iter().map(read)).collect()
    }

    fn check(sent: &[Vec<Sent>], seen: &BTreeMap<i32, Vec<Seen>>, expected: &[Violation]) {
        assert_eq!(judge_records(sent, seen), expected);
    }

    #[test]
    fn a_faithful_log_is_faultless() {
        let unknown = with_fate(Fate::Unknown);
        let forgotten = with_fate(Fate::Acknowledged(None));
        let sent = [
            vec![
                acknowledged(0, 0),
                acknowledged(1, 0),
                unknown,
                with_fate(Fate::Refused),
                unknown,
            ],
            vec![acknowledged(0, 1), forgotten],
        ];
        let seen = seen(&[&[tag(0, 0), tag(1, 0), tag(0, 2), tag(1, 1)], &[tag(0, 1)]]);
        check(&sent, &seen, &[]);
    }

    #[test]
    fn a_lost_record_is_found() {
        let sent = [vec![acknowledged(0, 0), acknowledged(0, 1)]];
        let lost = Violation::Lost { tag: tag(0, 1), partition: 0, offset: Some(1) };
        check(&sent, &seen(&[&[tag(0, 0)]]), &[lost]);
        let forgotten = [vec![with_fate(Fate::Acknowledged(None))]];
        let lost = Violation::Lost { tag: tag(0, 0), partition: 0, offset: None };
        check(&forgotten, &seen(&[&[]]), &[lost]);
    }

    #[test]
    fn a_duplicate_is_found_also_of_an_unacknowledged_record_and_in_another_partition() {
        let first = place(0, 0);
        for (fate, again) in [
            (Fate::Acknowledged(Some(0)), place(0, 1)),
            (Fate::Unknown, place(0, 1)),
            (Fate::Unknown, place(1, 0)),
        ] {
            let record: &[Tag] = &[tag(0, 0)];
            let seen = if again.partition == 0 {
                seen(&[&[tag(0, 0), tag(0, 0)]])
            } else {
                seen(&[record, record])
            };
            let duplicate = Violation::Duplicate { tag: tag(0, 0), first, again };
            check(&[vec![with_fate(fate)]], &seen, &[duplicate]);
        }
    }

    #[test]
    fn a_reordering_is_found_also_of_unacknowledged_records() {
        let sent = [vec![with_fate(Fate::Unknown), acknowledged(0, 0)]];
        let reordered =
            Violation::Reordered { tag: tag(0, 0), behind: tag(0, 1), found: place(0, 1) };
        check(&sent, &seen(&[&[tag(0, 1), tag(0, 0)]]), &[reordered]);
    }

    #[test]
    fn another_offset_or_partition_than_acknowledged_is_found() {
        let misplaced = |offset, partition, found| Violation::Misplaced {
            tag: tag(0, 0),
            partition,
            offset: Some(offset),
            found,
        };
        let seen = seen(&[&[tag(0, 0)]]);
        check(&[vec![acknowledged(0, 1)]], &seen, &[misplaced(1, 0, place(0, 0))]);
        check(&[vec![acknowledged(1, 0)]], &seen, &[misplaced(0, 1, place(0, 0))]);
    }

    #[test]
    fn foreign_and_undead_records_are_found() {
        let foreign = Violation::Foreign { found: place(0, 0) };
        let unreadable = BTreeMap::from([(0, vec![Seen { offset: 0, tag: None }])]);
        check(&[vec![]], &unreadable, &[foreign]);
        check(&[vec![]], &seen(&[&[tag(0, 0)]]), &[foreign]);
        check(&[vec![]], &seen(&[&[tag(7, 0)]]), &[foreign]);
        let undead = Violation::Undead { tag: tag(0, 0), found: place(0, 0) };
        check(&[vec![with_fate(Fate::Refused)]], &seen(&[&[tag(0, 0)]]), &[undead]);
    }

    #[test]
    fn a_gap_between_offsets_is_found() {
        let record = |offset, tag| Seen { offset, tag: Some(tag) };
        let records = vec![record(0, tag(0, 0)), record(2, tag(0, 1))];
        let sent = [vec![acknowledged(0, 0), acknowledged(0, 2)]];
        let gap = Violation::Gap { expected: place(0, 1), found: 2 };
        check(&sent, &BTreeMap::from([(0, records)]), &[gap]);
    }

    #[test]
    fn a_commit_may_be_ahead_of_its_acknowledgement_and_never_behind() {
        use CommitEvent::{Acknowledged, Answered, Asked, Attempted};
        let answered = |offset| Answered { partition: 0, offset };
        let lost = |known, found| Violation::CommitLost { partition: 0, known, found };
        let check = |events: &[CommitEvent], expected: &[Violation]| {
            assert_eq!(judge_commits(events), expected, "{events:?}");
        };
        check(&[Asked, answered(None), Attempted(1), Asked, answered(None)], &[]);
        check(&[Attempted(1), Asked, answered(Some(1)), Asked, answered(Some(1))], &[]);
        check(&[Attempted(1), Asked, Acknowledged(1), answered(None)], &[]);
        check(&[Attempted(1), Acknowledged(1), Asked, answered(None)], &[lost(1, None)]);
        let one_then_two = [Attempted(1), Acknowledged(1), Attempted(2), Acknowledged(2)];
        let ask = [Asked, answered(Some(1))];
        check(&[one_then_two.as_slice(), &ask].concat(), &[lost(2, Some(1))]);
        check(
            &[Attempted(1), Attempted(2), Asked, answered(Some(2)), Asked, answered(Some(1))],
            &[lost(2, Some(1))],
        );
        let invented = Violation::CommitInvented { partition: 0, attempted: 1, found: 2 };
        check(&[Attempted(1), Asked, answered(Some(2))], &[invented]);
    }
}
