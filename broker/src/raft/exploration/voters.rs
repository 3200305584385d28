//! Worlds in which voters come and go.

use super::{World, id_of, index_of, key_of, offset_of};
use crate::model::{ClusterId, ErrorCode, LeaderEpoch, Offset, OffsetAndEpoch};
use crate::raft::{
    AddVoterRequest, Endpoint, Message, RemoveVoterRequest, Request, Response, Role, Settings,
    Voter, VoterChange, VoterHistory, VoterSet,
};

const LISTENER: &str = "CONTROLLER";

fn endpoints_of(node: usize) -> Vec<Endpoint> {
    vec![Endpoint { name: LISTENER.to_owned(), host: format!("node{node}"), port: 1 }]
}

pub(super) fn voter_of(node: usize) -> Voter {
    Voter {
        key: key_of(node),
        endpoints: endpoints_of(node),
        kraft_version_min: 0,
        kraft_version_max: 1,
    }
}

/// Of a controller that may vote one day, and knows everybody's address.
pub(super) fn settings_of(node: usize, count: usize) -> Settings {
    Settings {
        bootstrap: (0..count).filter(|other| *other != node).map(id_of).collect(),
        listener_name: LISTENER.to_owned(),
        endpoints: endpoints_of(node),
        ..Settings::new(ClusterId::from("explored"), key_of(node))
    }
}

impl World {
    /// The first one, two or three vote; the others know nothing.
    pub(super) fn format_some(&mut self, count: usize) {
        let voting = 1 + self.random.below(count.min(3));
        self.format(voting);
    }

    pub(super) fn format(&mut self, voting: usize) {
        self.initial = VoterSet::new((0..voting).map(voter_of));
        for node in &mut self.nodes[..voting] {
            node.snapshots = vec![OffsetAndEpoch::default()];
        }
    }

    /// Who votes, as the disk of a node says.
    pub(super) fn history_of(&self, node: usize) -> VoterHistory {
        let state = &self.nodes[node];
        let said = self.committed[..state.start.min(self.committed.len())].iter();
        let in_snapshot = said.rev().find_map(|(_, value)| self.changes.get(value));
        let is_formatted = !self.is_dynamic || self.initial.contains(&key_of(node));
        let mut history = match in_snapshot {
            Some(voters) => VoterHistory::new(voters.clone(), 1),
            None if is_formatted => VoterHistory::new(self.initial.clone(), 1),
            None => VoterHistory::new(VoterSet::default(), 0),
        };
        for (index, (_, value)) in state.log.iter().enumerate().skip(state.start) {
            for (offset, change) in self.changes_at(offset_of(index), *value) {
                history.add(offset, change);
            }
        }
        history
    }

    pub(super) fn changes_at(&self, offset: Offset, value: u64) -> Vec<(Offset, VoterChange)> {
        let said = self.changes.get(&value);
        said.map_or(Vec::new(), |voters| {
            let voters = VoterChange::Voters(voters.clone());
            vec![(offset, VoterChange::KRaftVersion(1)), (offset, voters)]
        })
    }

    pub(super) fn append_voters(&mut self, node: usize, epoch: LeaderEpoch, voters: VoterSet) {
        self.changes.insert(self.next_value, voters);
        self.nodes[node].log.push((epoch, self.next_value));
        // A leader is patient with voters that are new.
        self.nodes[node].heard = self.now_of(node);
        self.next_value += 1;
        self.check_changes(node);
    }

    /// No log ever has two changes of the voters that are not committed.
    pub(super) fn check_changes(&self, node: usize) {
        let log = &self.nodes[node].log;
        let open = log.iter().skip(self.committed.len());
        let count = open.filter(|(_, value)| self.changes.contains_key(value)).count();
        assert!(count <= 1, "{count} changes of the voters are not committed on node {node}");
    }

    /// How many of those who vote, as `node` knows it, do so; and how many there are.
    pub(super) fn count_voters(
        &self,
        node: usize,
        does: impl Fn(&usize) -> bool,
    ) -> (usize, usize) {
        let machine = self.nodes[node].machine.as_ref().unwrap();
        let voters = machine.voters();
        let nodes = (0..self.nodes.len()).filter(|node| voters.contains(&key_of(*node)));
        (nodes.filter(does).count(), voters.len())
    }

    /// Somebody asks this node to let another vote, or not to.
    pub(super) fn change_voters(&mut self, node: usize) {
        let who = self.random.below(self.nodes.len());
        self.change_voter(node, who);
    }

    /// Somebody asks this node, if it leads, to let `who` vote, or not to.
    pub(super) fn change_voter(&mut self, node: usize, who: usize) {
        let Some(machine) = &self.nodes[node].machine else { return };
        if machine.role() != Role::Leader {
            return;
        }
        let (cluster_id, voter) = (None, key_of(who));
        let request = if machine.voters().contains(&voter) {
            Request::RemoveVoter(RemoveVoterRequest { cluster_id, voter })
        } else {
            Request::AddVoter(AddVoterRequest {
                cluster_id,
                voter,
                endpoints: endpoints_of(who),
                acknowledge_when_committed: true,
            })
        };
        let token = self.next_token(node);
        self.nodes[node].asked.insert(token);
        self.step(node, Message::Request(token, request));
    }

    /// A change is told of as done only when it is committed.
    pub(super) fn check_answer(&mut self, node: usize, response: &Response) {
        let (Response::AddVoter(answer) | Response::RemoveVoter(answer)) = response else {
            panic!("an answer to something else: {response:?}");
        };
        if answer.error != ErrorCode::None {
            return;
        }
        let machine = self.nodes[node].machine.as_ref().unwrap();
        let changed = index_of(machine.history().last_offset().unwrap());
        let entry = self.nodes[node].log[changed];
        assert_eq!(self.committed.get(changed), Some(&entry), "a change is told of too early");
        self.changes_made += 1;
    }
}
