use std::collections::BTreeMap;

use crate::model::{DirectoryId, NodeId, Offset};

/// A replica of the metadata log: a node, and the directory that holds its copy. Source: KIP-853.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaKey {
    /// The node.
    pub id: NodeId,
    /// The directory; `None` in a static quorum and from peers that do not say.
    pub directory_id: Option<DirectoryId>,
}

impl ReplicaKey {
    /// Puts the two together; the all-zero directory is "none".
    #[must_use]
    pub fn new(id: NodeId, directory_id: DirectoryId) -> Self {
        Self { id, directory_id: (directory_id != DirectoryId::ZERO).then_some(directory_id) }
    }
}

/// The versions of the quorum (`kraft.version`) that this program knows, from lowest to highest.
pub const KRAFT_VERSIONS: (i16, i16) = (0, 1);

/// Where a listener of a voter can be reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The listener's name.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// One member of a [`VoterSet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Node and directory.
    pub key: ReplicaKey,
    /// Its controller listeners.
    pub endpoints: Vec<Endpoint>,
    /// The lowest `kraft.version` it supports.
    pub kraft_version_min: i16,
    /// The highest `kraft.version` it supports.
    pub kraft_version_max: i16,
}

/// Those who elect leaders and whose copies count for the high watermark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoterSet(BTreeMap<NodeId, Voter>);

impl VoterSet {
    /// The set of these voters; of two with one node id the later stays.
    #[must_use]
    pub fn new(voters: impl IntoIterator<Item = Voter>) -> Self {
        Self(voters.into_iter().map(|voter| (voter.key.id, voter)).collect())
    }

    /// These voters and another one; one with its node id makes room for it.
    #[must_use]
    pub fn with(&self, voter: Voter) -> Self {
        let mut voters = self.0.clone();
        voters.insert(voter.key.id, voter);
        Self(voters)
    }

    /// These voters without that node.
    #[must_use]
    pub fn without(&self, id: NodeId) -> Self {
        let mut voters = self.0.clone();
        voters.remove(&id);
        Self(voters)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when nobody may vote.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of them decide.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// Their node ids, ascending.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.0.keys().copied()
    }

    /// The voters, by ascending node id.
    pub fn iter(&self) -> impl Iterator<Item = &Voter> + '_ {
        self.0.values()
    }

    /// The voter with this node id.
    #[must_use]
    pub fn voter(&self, id: NodeId) -> Option<&Voter> {
        self.0.get(&id)
    }

    /// True when `key` is a voter. A voter without directory id (static quorum) is its node id, whatever the directory.
    #[must_use]
    pub fn contains(&self, key: &ReplicaKey) -> bool {
        self.0.get(&key.id).is_some_and(|voter| match voter.key.directory_id {
            Some(directory_id) => key.directory_id == Some(directory_id),
            None => true,
        })
    }

    /// True when `key` alone is the quorum.
    #[must_use]
    pub fn is_only_voter(&self, key: &ReplicaKey) -> bool {
        self.0.len() == 1 && self.contains(key)
    }

    /// Where a voter can be reached; empty when it is not one.
    #[must_use]
    pub fn endpoints(&self, id: NodeId) -> &[Endpoint] {
        self.0.get(&id).map_or(&[], |voter| &voter.endpoints)
    }
}

/// A control record that changes who votes, found in the log; it counts as soon as it is appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoterChange {
    /// `kraft.version` from here on.
    KRaftVersion(i16),
    /// The voters from here on.
    Voters(VoterSet),
}

/// The voter sets along the log: which one holds after any truncation.
///
/// Invariant: the last set is that of the highest offset; before the first change the base (configuration or snapshot) holds.
#[derive(Clone, Debug, Default)]
pub struct VoterHistory {
    base_voters: VoterSet,
    base_kraft_version: i16,
    voters: BTreeMap<Offset, VoterSet>,
    kraft_versions: BTreeMap<Offset, i16>,
}

impl VoterHistory {
    /// A history that begins with what the configuration or a snapshot says.
    #[must_use]
    pub const fn new(voters: VoterSet, kraft_version: i16) -> Self {
        Self {
            base_voters: voters,
            base_kraft_version: kraft_version,
            voters: BTreeMap::new(),
            kraft_versions: BTreeMap::new(),
        }
    }

    /// Who votes where neither log nor snapshot say so.
    pub(super) const fn base(&self) -> &VoterSet {
        &self.base_voters
    }

    /// Takes in a change found at `offset`.
    pub fn add(&mut self, offset: Offset, change: VoterChange) {
        match change {
            VoterChange::KRaftVersion(version) => {
                self.kraft_versions.insert(offset, version);
            }
            VoterChange::Voters(voters) => {
                self.voters.insert(offset, voters);
            }
        }
    }

    /// Forgets changes at and above `end`.
    pub fn truncate(&mut self, end: Offset) {
        drop(self.voters.split_off(&end));
        drop(self.kraft_versions.split_off(&end));
    }

    /// Who votes now.
    #[must_use]
    pub fn last(&self) -> &VoterSet {
        self.voters.last_key_value().map_or(&self.base_voters, |(_, voters)| voters)
    }

    /// Who voted before the last change in the log.
    #[must_use]
    pub fn before_last(&self) -> Option<&VoterSet> {
        let mut known = self.voters.values().rev();
        known.next()?;
        Some(known.next().unwrap_or(&self.base_voters))
    }

    /// Where the log says who votes now; `None` when only configuration or snapshot do.
    #[must_use]
    pub fn last_offset(&self) -> Option<Offset> {
        self.voters.last_key_value().map(|(offset, _)| *offset)
    }

    /// The `kraft.version` now: 0 for a static quorum, 1 for one with directory ids.
    #[must_use]
    pub fn kraft_version(&self) -> i16 {
        self.kraft_versions
            .last_key_value()
            .map_or(self.base_kraft_version, |(_, version)| *version)
    }

    /// Who votes once the log is read up to `end` (exclusive), and with which `kraft.version`; for snapshots.
    #[must_use]
    pub fn at(&self, end: Offset) -> (&VoterSet, i16) {
        let voters = self.voters.range(..end).next_back();
        let version = self.kraft_versions.range(..end).next_back();
        (
            voters.map_or(&self.base_voters, |(_, voters)| voters),
            version.map_or(self.base_kraft_version, |(_, version)| *version),
        )
    }

    /// True when the log itself says who votes, not just what it was formatted with.
    #[must_use]
    pub fn is_in_log(&self) -> bool {
        !self.voters.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn voter(id: i32, directory: Option<u128>) -> Voter {
        Voter {
            key: ReplicaKey {
                id: NodeId(id),
                directory_id: directory.map(|bits| DirectoryId(Uuid::from_u128(bits))),
            },
            endpoints: Vec::new(),
            kraft_version_min: 0,
            kraft_version_max: 1,
        }
    }

    #[test]
    fn a_voter_with_another_directory_is_not_a_voter() {
        let set = VoterSet::new([voter(1, Some(7)), voter(2, None)]);
        assert!(set.contains(&voter(1, Some(7)).key));
        assert!(!set.contains(&voter(1, Some(8)).key));
        assert!(!set.contains(&voter(1, None).key));
        assert!(set.contains(&voter(2, Some(9)).key));
        assert!(!set.contains(&voter(3, None).key));
    }

    #[test]
    fn a_majority_is_more_than_half() {
        let majority = |count| VoterSet::new((1..=count).map(|id| voter(id, None))).majority();
        assert_eq!([1, 2, 3, 4, 5].map(majority), [1, 2, 2, 3, 3]);
    }

    #[test]
    fn truncation_brings_the_earlier_voters_back() {
        let mut history = VoterHistory::new(VoterSet::new([voter(1, None)]), 0);
        assert!(!history.is_in_log());
        history.add(Offset::new(1), VoterChange::KRaftVersion(1));
        history.add(Offset::new(2), VoterChange::Voters(VoterSet::new([voter(1, Some(7))])));
        history.add(Offset::new(9), VoterChange::Voters(VoterSet::new([])));
        assert!(history.last().is_empty());
        history.truncate(Offset::new(9));
        assert_eq!(history.last().len(), 1);
        assert_eq!(history.at(Offset::new(2)).1, 1);
        assert!(history.at(Offset::new(2)).0.contains(&voter(1, Some(8)).key));
        history.truncate(Offset::ZERO);
        assert_eq!(history.kraft_version(), 0);
        assert!(history.last().contains(&voter(1, None).key));
    }
}
