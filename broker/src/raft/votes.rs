use std::collections::BTreeMap;

use super::voters::VoterSet;
use crate::model::NodeId;

/// The answers in one election; our own vote is ours from the start.
///
/// Invariant: never won and lost at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Votes {
    answers: BTreeMap<NodeId, Option<bool>>,
    majority: usize,
}

impl Votes {
    pub(super) fn new(voters: &VoterSet, local: NodeId) -> Self {
        let answers = voters.ids().map(|id| (id, (id == local).then_some(true))).collect();
        Self { answers, majority: voters.majority() }
    }

    /// Notes an answer; false when it does not come from a voter. A vote once given stays given.
    pub(super) fn record(&mut self, from: NodeId, is_granted: bool) -> bool {
        match self.answers.get_mut(&from) {
            Some(answer) => {
                *answer = Some(is_granted || *answer == Some(true));
                true
            }
            None => false,
        }
    }

    pub(super) fn is_won(&self) -> bool {
        self.count(Some(true)) >= self.majority
    }

    pub(super) fn is_lost(&self) -> bool {
        self.count(Some(true)) + self.count(None) < self.majority
    }

    /// Who has not answered.
    pub(super) fn open(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.answers.iter().filter(|(_, answer)| answer.is_none()).map(|(id, _)| *id)
    }

    /// Who voted for us, by ascending node id.
    pub(super) fn granting(&self) -> Vec<NodeId> {
        let granted = self.answers.iter().filter(|(_, answer)| **answer == Some(true));
        granted.map(|(id, _)| *id).collect()
    }

    fn count(&self, answer: Option<bool>) -> usize {
        self.answers.values().filter(|given| **given == answer).count()
    }
}
