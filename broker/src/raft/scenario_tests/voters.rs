//! Commands about who votes.

use super::{
    Cluster, Endpoint, Message, NodeId, Offset, OffsetAndEpoch, ReplicaKey, Request, Token, Voter,
    VoterChange, VoterHistory, VoterSet, argument, key_of, offset_of,
};
use crate::model::{ClusterId, LeaderEpoch};
use crate::raft::{AddVoterRequest, RemoveVoterRequest, VoterAnswer, VotersWritten};

/// The node as a voter, reached at its usual address.
pub(super) fn voter_of(id: i32) -> Voter {
    Voter {
        key: key_of(id),
        endpoints: endpoints_of(&format!("node{id}")),
        kraft_version_min: 0,
        kraft_version_max: 1,
    }
}

pub(super) fn endpoints_of(host: &str) -> Vec<Endpoint> {
    vec![Endpoint { name: "CONTROLLER".to_owned(), host: host.to_owned(), port: 9093 }]
}

pub(super) fn voters_text(voters: &VoterSet) -> String {
    let one = |voter: &Voter| {
        let usual = voter_of(voter.key.id.0);
        let mut text = voter.key.id.to_string();
        if voter.key != usual.key {
            text.push('*');
        }
        if voter.endpoints != usual.endpoints {
            text.push('@');
            text.push_str(&voter.endpoints[0].host);
        }
        text
    };
    format!("{:?}", voters.iter().map(one).collect::<Vec<_>>()).replace('"', "")
}

pub(super) fn describe_voter_request(request: &Request) -> Option<String> {
    Some(match request {
        Request::AddVoter(add) => format!("add voter {}", add.voter.id),
        Request::RemoveVoter(remove) => format!("remove voter {}", remove.voter.id),
        Request::UpdateVoter(update) => {
            format!("update voter {}", voters_text(&VoterSet::new([update.voter.clone()])))
        }
        Request::Versions(_) => "versions?".to_owned(),
        Request::Vote(_)
        | Request::BeginQuorumEpoch(_)
        | Request::EndQuorumEpoch(_)
        | Request::Fetch(_)
        | Request::FetchSnapshot(_) => return None,
    })
}

pub(super) fn describe_voter_answer(answer: &VoterAnswer) -> String {
    let message = answer.message.as_deref().map_or(String::new(), |text| format!(": {text}"));
    format!("{}{message}", answer.error.name())
}

impl Cluster {
    /// Who votes, as the log of a node says.
    pub(super) fn history_of(&self, id: i32) -> VoterHistory {
        let node = &self.nodes[&id];
        let base = node.snapshots.last().and_then(|id| self.snapshot_voters.get(id));
        let formatted = (!node.is_newcomer).then_some((&self.voters, self.kraft_version));
        let none = VoterSet::default();
        let (voters, version) = base.map(|voters| (voters, 1)).or(formatted).unwrap_or((&none, 0));
        let mut history = VoterHistory::new(voters.clone(), version);
        for (index, epoch) in node.log.iter().enumerate().skip(node.start) {
            for change in self.changes_at(offset_of(index), *epoch) {
                history.add(offset_of(index), change);
            }
        }
        history
    }

    pub(super) fn changes_at(&self, offset: Offset, epoch: LeaderEpoch) -> Vec<VoterChange> {
        let written = self.changes.get(&OffsetAndEpoch { offset, epoch });
        written.map_or(Vec::new(), |voters| {
            vec![VoterChange::KRaftVersion(1), VoterChange::Voters(voters.clone())]
        })
    }

    pub(super) fn append_voters(&mut self, id: i32, written: VotersWritten) {
        let VotersWritten { place, voters } = written;
        self.nodes.get_mut(&id).unwrap().log.push(place.epoch);
        let text = voters_text(&voters);
        self.line(&format!("{id} appends voters {text} at {}@{}", place.offset, place.epoch));
        self.changes.insert(place, voters);
    }

    /// Somebody asks `to` for a change of the voters.
    pub(super) fn ask_for_change(&mut self, words: &[&str]) {
        let to: i32 = words[1].parse().unwrap();
        let number = |name| argument(words, name).map(|text| text.parse::<i32>().unwrap());
        let id = number("voter").unwrap();
        let directory_id = number("directory").map_or(key_of(id), key_of).directory_id;
        let voter = ReplicaKey { id: NodeId(id), directory_id };
        let cluster_id = Some(ClusterId::from(argument(words, "cluster").unwrap_or("scenario")));
        let request = if words[0] == "add" {
            Request::AddVoter(AddVoterRequest {
                cluster_id,
                voter,
                endpoints: endpoints_of(&format!("node{id}")),
                acknowledge_when_committed: !words.contains(&"at_once"),
            })
        } else {
            Request::RemoveVoter(RemoveVoterRequest { cluster_id, voter })
        };
        let token: Token = self.next_token(None);
        self.act(to, |machine, now| machine.step(now, Message::Request(token, request)));
    }

    pub(super) fn tell_voters(&mut self) {
        let ids: Vec<i32> = self.nodes.keys().copied().collect();
        for id in ids {
            let node = &self.nodes[&id];
            let Some(machine) = &node.machine else { continue };
            let votes = if machine.is_voter() { "votes" } else { "looks on" };
            let voters = voters_text(machine.voters());
            self.line(&format!("{id} {votes}, knows {voters}"));
        }
    }

    /// The disk is lost; the node is formatted anew, with this directory.
    pub(super) fn wipe(&mut self, words: &[&str]) {
        let id: i32 = words[1].parse().unwrap();
        self.crash(id);
        let directory: i32 = argument(words, "directory").unwrap().parse().unwrap();
        let node = self.nodes.get_mut(&id).unwrap();
        node.key.directory_id = key_of(directory).directory_id;
        node.log.clear();
        (node.start, node.flushed) = (0, 0);
        node.snapshots.clear();
        node.election = super::ElectionState::default();
        node.is_newcomer = true;
    }
}
