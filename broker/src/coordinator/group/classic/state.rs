use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::coordinator::group::records::{StoredGroup, StoredMember};
use crate::coordinator::group::requests::{
    Generation, GroupState, InstanceId, Joined, JoinedMember, MemberIdentity, Protocol,
};
use crate::coordinator::machine::RequestId;
use crate::model::{ErrorCode, GroupId, MemberId, Timestamp, TopicName};
use crate::protocol::internal_records::consumer_protocol::subscribed_topics;

/// The protocol type whose subscriptions the coordinator can read.
pub(crate) const CONSUMER: &str = "consumer";

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: MemberId,
    pub(crate) instance_id: Option<InstanceId>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    /// Most wanted first; never empty.
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) assignment: Bytes,
    /// Set while its `JoinGroup` is held back.
    pub(crate) awaiting_join: Option<RequestId>,
    /// Set while its `SyncGroup` is held back.
    pub(crate) awaiting_sync: Option<RequestId>,
    /// True until its first `JoinGroup` is answered: it cannot send heartbeats before that.
    pub(crate) is_new: bool,
}

impl Member {
    /// What the member offered for `protocol`.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|offer| offer.name == protocol)
            .map(|offer| offer.metadata.clone())
            .unwrap_or_default()
    }

    /// The first of its protocols that is in `candidates`.
    fn vote(&self, candidates: &BTreeSet<&str>) -> Option<&str> {
        self.protocols
            .iter()
            .map(|offer| offer.name.as_str())
            .find(|name| candidates.contains(name))
    }

    /// True when silence is no reason to remove it: it waits for us.
    pub(crate) fn waits_for_us(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }
}

/// A classic group as the coordinator leads it.
///
/// Invariants: `leader` is a member exactly when there are members; `static_members` names exactly the members with
/// an instance id; `support` counts, for each protocol, the members that offer it; members exist in every state but
/// `Empty`, except for the moment in which the last one leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClassicGroup {
    pub(crate) id: GroupId,
    state: GroupState,
    previous_state: GroupState,
    /// When `state` was entered; none in records of old versions.
    pub(crate) state_since: Option<Timestamp>,
    pub(crate) generation: Generation,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol_name: Option<String>,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    static_members: BTreeMap<InstanceId, MemberId>,
    support: BTreeMap<String, usize>,
    awaiting_join_count: usize,
    /// Ids given out with `MEMBER_ID_REQUIRED` whose owners have not come back yet.
    pub(crate) pending_joins: BTreeSet<MemberId>,
    /// Members of this generation that have not sent `SyncGroup` yet.
    pub(crate) pending_syncs: BTreeSet<MemberId>,
    /// During an initial rebalance: somebody joined since the delay was last extended.
    pub(crate) is_member_added: bool,
    /// During an initial rebalance: the present delay and what may be added to it, in milliseconds.
    pub(crate) initial_delay: Option<(i32, i32)>,
    /// None when not known: not a consumer group, or subscriptions that cannot be read.
    pub(crate) subscribed_topics: Option<BTreeSet<TopicName>>,
}

impl ClassicGroup {
    /// A group without members.
    pub(crate) fn empty(id: GroupId, now: Timestamp) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            previous_state: GroupState::Dead,
            state_since: Some(now),
            generation: Generation(0),
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            support: BTreeMap::new(),
            awaiting_join_count: 0,
            pending_joins: BTreeSet::new(),
            pending_syncs: BTreeSet::new(),
            is_member_added: false,
            initial_delay: None,
            subscribed_topics: None,
        }
    }

    /// The group a record describes: stable when it has members.
    pub(crate) fn from_stored(id: GroupId, stored: &StoredGroup) -> Self {
        let mut group = Self::empty(id, Timestamp(0));
        group.state_since = stored.state_since;
        group.generation = stored.generation;
        group.protocol_type = Some(stored.protocol_type.clone()).filter(|name| !name.is_empty());
        group.protocol_name.clone_from(&stored.protocol_name);
        for member in &stored.members {
            let is_instance_taken = member
                .instance_id
                .as_ref()
                .is_some_and(|instance| group.static_members.contains_key(instance));
            if is_instance_taken || group.members.contains_key(&member.member_id) {
                tracing::warn!(group = %group.id, member = %member.member_id, "stored twice in its group, skipped");
                continue;
            }
            group.insert(Member {
                id: member.member_id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                session_timeout_ms: member.session_timeout_ms,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                protocols: vec![Protocol {
                    name: stored.protocol_name.clone().unwrap_or_default(),
                    metadata: member.subscription.clone(),
                }],
                assignment: member.assignment.clone(),
                awaiting_join: None,
                awaiting_sync: None,
                is_new: false,
            });
        }
        if let Some(leader) =
            stored.leader.as_ref().filter(|leader| group.members.contains_key(*leader))
        {
            group.leader = Some(leader.clone());
        }
        group.state = if group.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        group.subscribed_topics = group.compute_subscribed_topics();
        group.assert_invariants();
        group
    }

    /// The record of this group, with the members' assignments taken from `assignment_of`.
    pub(crate) fn to_stored(&self, assignment_of: impl Fn(&Member) -> Bytes) -> StoredGroup {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        StoredGroup {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone(),
            state_since: self.state_since,
            members: self
                .members
                .values()
                .map(|member| StoredMember {
                    member_id: member.id.clone(),
                    instance_id: member.instance_id.clone(),
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    rebalance_timeout_ms: member.rebalance_timeout_ms,
                    session_timeout_ms: member.session_timeout_ms,
                    subscription: member.metadata(protocol),
                    assignment: assignment_of(member),
                })
                .collect(),
        }
    }

    pub(crate) const fn state(&self) -> GroupState {
        self.state
    }

    pub(crate) const fn previous_state(&self) -> GroupState {
        self.previous_state
    }

    /// Enters `next`.
    pub(crate) fn transition_to(&mut self, next: GroupState, now: Timestamp) {
        let is_allowed = match next {
            GroupState::Empty => self.state == GroupState::PreparingRebalance,
            GroupState::PreparingRebalance => {
                matches!(
                    self.state,
                    GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable
                )
            }
            GroupState::CompletingRebalance => self.state == GroupState::PreparingRebalance,
            GroupState::Stable => self.state == GroupState::CompletingRebalance,
            GroupState::Dead => true,
        };
        assert!(is_allowed, "a group never goes from {} to {next}", self.state);
        tracing::debug!(group = %self.id, from = %self.state, to = %next, generation = self.generation.0, "group state");
        self.previous_state = self.state;
        self.state = next;
        self.state_since = Some(now);
    }

    /// True when a rebalance may begin in this state.
    pub(crate) const fn can_rebalance(&self) -> bool {
        matches!(
            self.state,
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable
        )
    }

    pub(crate) fn leader(&self) -> Option<&MemberId> {
        self.leader.as_ref()
    }

    pub(crate) fn is_leader(&self, member: &MemberId) -> bool {
        self.leader.as_ref() == Some(member)
    }

    pub(crate) fn member(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub(crate) fn member_ids(&self) -> Vec<MemberId> {
        self.members.keys().cloned().collect()
    }

    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
    }

    pub(crate) const fn awaiting_join_count(&self) -> usize {
        self.awaiting_join_count
    }

    pub(crate) fn static_member(&self, instance: &InstanceId) -> Option<&MemberId> {
        self.static_members.get(instance)
    }

    /// Changes a member in ways that no count depends on (not its protocols, not its awaited join).
    pub(crate) fn member_mut(&mut self, id: &MemberId) -> Option<&mut Member> {
        self.members.get_mut(id)
    }

    /// Adds a member; the first one leads.
    pub(crate) fn insert(&mut self, member: Member) {
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), member.id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        if member.awaiting_join.is_some() {
            self.awaiting_join_count += 1;
        }
        count_support(&mut self.support, &member.protocols, true);
        self.pending_joins.remove(&member.id);
        let earlier = self.members.insert(member.id.clone(), member);
        assert!(earlier.is_none(), "a member is added once");
    }

    /// Removes a member, pending or not. When it led, another one does.
    pub(crate) fn remove(&mut self, id: &MemberId) -> Option<Member> {
        self.pending_joins.remove(id);
        self.pending_syncs.remove(id);
        let member = self.members.remove(id)?;
        count_support(&mut self.support, &member.protocols, false);
        if member.awaiting_join.is_some() {
            self.awaiting_join_count -= 1;
        }
        if let Some(instance) = &member.instance_id {
            self.static_members.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// Gives the place of static member `old` to `new`; returns the member as it was.
    pub(crate) fn replace_static(&mut self, old: &MemberId, new: &MemberId) -> Option<Member> {
        let was_leader = self.is_leader(old);
        let before = self.remove(old)?;
        let mut member = before.clone();
        member.id = new.clone();
        member.awaiting_join = None;
        member.awaiting_sync = None;
        self.insert(member);
        if was_leader {
            self.leader = Some(new.clone());
        }
        Some(before)
    }

    /// Takes over what a member's new `JoinGroup` says.
    pub(crate) fn update(
        &mut self,
        id: &MemberId,
        protocols: Vec<Protocol>,
        timeouts_ms: (i32, i32),
        awaiting_join: Option<RequestId>,
    ) {
        let Some(member) = self.members.get_mut(id) else { return };
        count_support(&mut self.support, &member.protocols, false);
        member.protocols = protocols;
        (member.session_timeout_ms, member.rebalance_timeout_ms) = timeouts_ms;
        count_support(&mut self.support, &member.protocols, true);
        match (member.awaiting_join.is_some(), awaiting_join.is_some()) {
            (false, true) => self.awaiting_join_count += 1,
            (true, false) => self.awaiting_join_count -= 1,
            (true, true) | (false, false) => {}
        }
        member.awaiting_join = awaiting_join;
    }

    /// The held back `JoinGroup` of a member, which is going to be answered.
    pub(crate) fn take_awaiting_join(&mut self, id: &MemberId) -> Option<RequestId> {
        let request = self.members.get_mut(id)?.awaiting_join.take()?;
        self.awaiting_join_count -= 1;
        Some(request)
    }

    /// True when a member with these protocols can be in the group.
    pub(crate) fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == GroupState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|offer| {
                self.support.get(&offer.name).copied().unwrap_or(0) == self.members.len()
            })
    }

    /// The protocol most members vote for among those that all offer; by name among equals.
    ///
    /// None when there is no such protocol, which cannot be while members are only let in when they share one.
    pub(crate) fn select_protocol(&self) -> Option<String> {
        let all = self.members.len();
        let candidates: BTreeSet<&str> = self
            .support
            .iter()
            .filter(|(_, count)| **count == all)
            .map(|(name, _)| name.as_str())
            .collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(name) = member.vote(&candidates) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_owned())
    }

    /// True when everybody known, also those told their id, has joined.
    pub(crate) fn have_all_joined(&self) -> bool {
        self.members.len() == self.awaiting_join_count && self.pending_joins.is_empty()
    }

    /// Dynamic members that have not joined again in this rebalance. Static members may be late.
    pub(crate) fn not_yet_rejoined(&self) -> Vec<MemberId> {
        self.members
            .values()
            .filter(|member| member.instance_id.is_none() && member.awaiting_join.is_none())
            .map(|member| member.id.clone())
            .collect()
    }

    /// Sees to it that the leader has joined; false when nobody has.
    pub(crate) fn elect_joined_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else { return false };
        if self.members.get(leader).is_some_and(|member| member.awaiting_join.is_some()) {
            return true;
        }
        let joined = self.members.values().find(|member| member.awaiting_join.is_some());
        match joined {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    /// Begins the next generation: without members the group is empty, otherwise the leader has to assign.
    pub(crate) fn begin_next_generation(&mut self, now: Timestamp) {
        self.generation = Generation(self.generation.0.checked_add(1).unwrap_or(1));
        self.pending_syncs.clear();
        self.protocol_name = self.select_protocol();
        self.subscribed_topics = self.compute_subscribed_topics();
        let next = if self.members.is_empty() {
            GroupState::Empty
        } else {
            GroupState::CompletingRebalance
        };
        self.transition_to(next, now);
        self.assert_invariants();
    }

    /// The longest rebalance timeout of its members, in milliseconds.
    pub(crate) fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    pub(crate) fn is_consumer_group(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// True when a member may be reading `topic`, also when that is not known of a consumer group.
    pub(crate) fn is_subscribed_to(&self, topic: &TopicName) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.is_consumer_group(),
        }
    }

    fn compute_subscribed_topics(&self) -> Option<BTreeSet<TopicName>> {
        if !self.is_consumer_group() {
            return None;
        }
        let mut topics = BTreeSet::new();
        if self.members.is_empty() {
            return Some(topics);
        }
        let protocol = self.protocol_name.as_deref()?;
        for member in self.members.values() {
            topics.extend(subscribed_topics(&member.metadata(protocol)).ok()?);
        }
        Some(topics)
    }

    /// Checks that the one who asks is who it says it is.
    pub(crate) fn validate(&self, identity: &MemberIdentity) -> Result<MemberId, ErrorCode> {
        if let Some(instance) = &identity.instance_id {
            let known = self.static_members.get(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if identity.member_id.as_ref() != Some(known) {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        match &identity.member_id {
            Some(id) if self.members.contains_key(id) => Ok(id.clone()),
            Some(_) | None => Err(ErrorCode::UnknownMemberId),
        }
    }

    /// The answer to a `JoinGroup` of `id` in the present generation.
    pub(crate) fn joined(&self, id: &MemberId) -> Joined {
        let members = if self.is_leader(id) { self.members_for_leader() } else { Vec::new() };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone().unwrap_or_else(|| MemberId::new("")),
            member_id: id.clone(),
            members,
            skip_assignment: false,
        }
    }

    fn members_for_leader(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        self.members
            .values()
            .map(|member| JoinedMember {
                member_id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                metadata: member.metadata(protocol),
            })
            .collect()
    }

    /// Panics when the group contradicts itself.
    pub(crate) fn assert_invariants(&self) {
        match &self.leader {
            Some(leader) => assert!(self.members.contains_key(leader), "the leader is a member"),
            None => assert!(self.members.is_empty(), "a group with members has a leader"),
        }
        let awaiting =
            self.members.values().filter(|member| member.awaiting_join.is_some()).count();
        assert_eq!(self.awaiting_join_count, awaiting, "awaited joins are counted");
        let named = self.members.values().filter(|member| member.instance_id.is_some()).count();
        assert_eq!(self.static_members.len(), named, "each static member has its own instance id");
        assert!(
            self.pending_joins.iter().all(|id| !self.members.contains_key(id)),
            "a pending member is not a member yet"
        );
    }
}

fn count_support(support: &mut BTreeMap<String, usize>, protocols: &[Protocol], is_added: bool) {
    let names: BTreeSet<&str> = protocols.iter().map(|offer| offer.name.as_str()).collect();
    for name in names {
        if is_added {
            *support.entry(name.to_owned()).or_default() += 1;
        } else if let Some(count) = support.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                support.remove(name);
            }
        }
    }
}
