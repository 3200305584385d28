use super::requests::{GroupDescription, GroupState, ListedGroup, MemberDescription};
use super::{Group, GroupMachine};
use crate::model::GroupId;

/// The type of all groups this coordinator knows.
const CLASSIC: &str = "classic";

impl GroupMachine {
    /// The group as it is now; none when there is no such group.
    pub(super) fn describe(&self, id: &GroupId) -> Option<GroupDescription> {
        self.groups.get(id).map(Group::describe)
    }

    /// The groups in one of `states` and of one of `types`, case aside; an empty list lets all pass.
    pub(super) fn list(&self, states: &[String], types: &[String]) -> Vec<ListedGroup> {
        let passes = |filter: &[String], name: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        if !passes(types, CLASSIC) {
            return Vec::new();
        }
        self.groups
            .iter()
            .filter(|(_, group)| passes(states, group.classic.state().name()))
            .map(|(id, group)| ListedGroup {
                group: id.clone(),
                protocol_type: group.classic.protocol_type.clone().unwrap_or_default(),
                state: group.classic.state(),
                group_type: CLASSIC,
            })
            .collect()
    }
}

impl Group {
    fn describe(&self) -> GroupDescription {
        let group = &self.classic;
        let protocol = match group.state() {
            GroupState::Stable => group.protocol_name.clone(),
            GroupState::Empty
            | GroupState::PreparingRebalance
            | GroupState::CompletingRebalance
            | GroupState::Dead => None,
        };
        GroupDescription {
            state: group.state(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            members: group
                .members()
                .map(|member| MemberDescription {
                    member_id: member.id.clone(),
                    instance_id: member.instance_id.clone(),
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    metadata: protocol
                        .as_deref()
                        .map(|name| member.metadata(name))
                        .unwrap_or_default(),
                    assignment: member.assignment.clone(),
                })
                .collect(),
            protocol_name: protocol.unwrap_or_default(),
        }
    }
}
