//! The group machine: classic groups and committed offsets of one shard, without clock, I/O or waiting.
//!
//! A group is two things. What is *stored* are its committed offsets and its last [`StoredGroup`] record: they move
//! only by replaying records that are in the log. What is *led* ([`classic::ClassicGroup`]) is the conversation with
//! its members: who has joined, who waits for whom, until when. That is not stored, as in Kafka: when the shard moves,
//! members find their stored generation, with their sessions begun anew, and go on or join again.
//!
//! The two meet in few places: the leader's assignments are stored before any member learns its own (so no member
//! works on what the next coordinator would not know), a static member's new id likewise, and a group that becomes
//! empty says so, because its offsets age from then on.
//!
//! Sources: Kafka's protocol as measured; KIP-211 (expiration), KIP-345, KIP-394, KIP-447 (pending commits).

pub(crate) mod classic;
mod requests;
mod settings;
mod records;
mod codec;
mod offsets;
mod expiration;
mod describe;
#[cfg(test)]
mod scenarios;

pub use records::{GroupRecord, StoredGroup, StoredMember};
pub use requests::{
    CommitPartition, CommitRequest, CommitTopic, CommittedOffset, FetchRequest, FetchedPartition,
    FetchedTopic, Generation, GroupDescription, GroupReply, GroupRequest, GroupState, InstanceId,
    JoinOutcome, JoinRequest, Joined, JoinedMember, Leaving, ListedGroup, MemberDescription,
    MemberIdentity, PartitionOutcomes, Protocol, SyncRequest, Synced, TransactionalCommitRequest,
};
pub use settings::GroupSettings;

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use self::classic::{ClassicGroup, Step};
use self::offsets::Offsets;
use super::machine::{Decoded, Effects, KeyValue, Machine, Position, RequestId, Then, Write};
use super::timer::{Instant, Now, Timers};
use crate::model::{
    ErrorCode, GroupId, MemberId, PartitionIndex, ProducerId, Timestamp, TopicName,
};

/// Tombstones that need not be written together are written in pieces of about so many bytes.
const PIECE_BYTES: usize = 128 << 10;

/// A write of which a group waits for the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupToken(pub(crate) Written);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The first record of a group.
    Created(GroupId),
    /// The leader's assignments.
    Assigned(classic::Assigned),
    /// A static member's new id.
    StaticReplaced(classic::StaticReplacement),
}

/// What a group machine does after an input.
pub type GroupEffects = Effects<GroupRecord, GroupReply, GroupToken>;

/// Whose timeout it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    /// A member must be heard of.
    Session(GroupId, MemberId),
    /// The join phase ends.
    Join(GroupId),
    /// All must have synced.
    Sync(GroupId),
    /// Old offsets are looked for.
    Expiration,
}

/// A group: what is stored of it and how it is led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its last record; none when only offsets were ever written.
    pub(crate) stored: Option<StoredGroup>,
    pub(crate) classic: ClassicGroup,
}

/// All groups of one shard.
#[derive(Clone, Debug)]
pub struct GroupMachine {
    settings: GroupSettings,
    groups: BTreeMap<GroupId, Group>,
    offsets: Offsets,
    timers: Timers<TimerKey>,
}

impl GroupMachine {
    /// An empty machine, ready to replay its log.
    #[must_use]
    pub fn new(settings: GroupSettings) -> Self {
        Self {
            settings,
            groups: BTreeMap::new(),
            offsets: Offsets::default(),
            timers: Timers::default(),
        }
    }

    /// Everything that is stored, in a comparable form: two machines that replayed the same log hold the same.
    #[must_use]
    pub fn stored(&self) -> Stored {
        Stored {
            groups: self
                .groups
                .iter()
                .map(|(id, group)| (id.clone(), group.stored.clone()))
                .collect(),
            offsets: self.offsets.clone(),
        }
    }

    /// Panics when a group contradicts itself.
    pub fn assert_invariants(&self) {
        for group in self.groups.values() {
            group.classic.assert_invariants();
        }
    }

    /// Runs `act` on a group that exists.
    fn with_group<T>(
        &mut self,
        now: Now,
        id: &GroupId,
        effects: &mut GroupEffects,
        act: impl FnOnce(&mut ClassicGroup, &mut Step<'_>) -> T,
    ) -> Option<T> {
        let group = self.groups.get_mut(id)?;
        let mut step = Step { now, settings: &self.settings, timers: &mut self.timers, effects };
        Some(act(&mut group.classic, &mut step))
    }

    fn join(
        &mut self,
        now: Now,
        effects: &mut GroupEffects,
        request: RequestId,
        (id, join, fresh): (GroupId, JoinRequest, Uuid),
    ) {
        if !join.fits_its_record() {
            return effects.answer(request, Err(ErrorCode::InvalidRequest));
        }
        let limits = self.settings.min_session_timeout_ms..=self.settings.max_session_timeout_ms;
        if !limits.contains(&join.session_timeout_ms) {
            return effects.answer(request, Err(ErrorCode::InvalidSessionTimeout));
        }
        let is_new = !self.groups.contains_key(&id);
        if is_new {
            if join.member_id.is_some() {
                return effects.answer(request, Err(ErrorCode::UnknownMemberId));
            }
            if join.protocol_type.is_empty() || join.protocols.is_empty() {
                return effects.answer(request, Err(ErrorCode::InconsistentGroupProtocol));
            }
            let classic = ClassicGroup::empty(id.clone(), now.wall);
            self.groups.insert(id.clone(), Group { stored: None, classic });
        }
        self.with_group(now, &id, effects, |group, step| group.join(step, request, join, fresh));
        if is_new {
            let created = StoredGroup::created(now.wall);
            effects.write(
                vec![GroupRecord::Group { group: id.clone(), value: Some(created) }],
                Then::Tell(GroupToken(Written::Created(id))),
            );
        }
    }

    fn commit(
        &mut self,
        now: Now,
        effects: &mut GroupEffects,
        request: RequestId,
        id: &GroupId,
        commit: CommitRequest,
    ) {
        let member = match offsets::validate_commit(self.groups.get(id), &commit) {
            Ok(member) => member,
            Err(error) => return effects.answer(request, Err(error)),
        };
        if let Some(member) = member {
            self.with_group(now, id, effects, |group, step| group.extend_session(step, &member));
        }
        let clock = (now.wall, commit.retention_ms);
        let (records, outcomes) =
            offsets::commit(id, commit.topics, self.settings.offset_metadata_max, clock);
        write_in_pieces(effects, records, Then::Answer(request, GroupReply::Partitions(outcomes)));
    }

    fn commit_transactional(
        &self,
        now: Now,
        effects: &mut GroupEffects,
        request: RequestId,
        (id, commit): (&GroupId, TransactionalCommitRequest),
    ) {
        if let Err(error) = offsets::validate_transactional_commit(self.groups.get(id), &commit) {
            return effects.answer(request, Err(error));
        }
        let producer = Some((commit.producer_id, commit.producer_epoch));
        let (records, outcomes) =
            offsets::commit(id, commit.topics, self.settings.offset_metadata_max, (now.wall, None));
        let then = Then::Answer(request, GroupReply::Partitions(outcomes));
        effects.writes.push(Write { records, producer, then });
    }

    fn delete_offsets(
        &self,
        effects: &mut GroupEffects,
        request: RequestId,
        id: &GroupId,
        topics: Vec<(TopicName, Vec<PartitionIndex>)>,
    ) {
        let Some(group) = self.groups.get(id) else {
            return effects.read(request, Err(ErrorCode::GroupIdNotFound));
        };
        if group.classic.state() != GroupState::Empty && !group.classic.is_consumer_group() {
            return effects.answer(request, Err(ErrorCode::NonEmptyGroup));
        }
        let (outcomes, records) = self.offsets.delete(id, group, topics);
        write_in_pieces(effects, records, Then::Answer(request, GroupReply::Partitions(outcomes)));
    }

    fn delete(&self, effects: &mut GroupEffects, request: RequestId, id: &GroupId) {
        let Some(group) = self.groups.get(id) else {
            return effects.read(request, Err(ErrorCode::GroupIdNotFound));
        };
        if group.classic.state() != GroupState::Empty {
            return effects.answer(request, Err(ErrorCode::NonEmptyGroup));
        }
        let mut records = self.offsets.tombstones(id);
        records.push(GroupRecord::Group { group: id.clone(), value: None });
        write_in_pieces(effects, records, Then::Answer(request, GroupReply::Done));
    }

    /// The record of a new group is committed, or could not be written: then there is no such group.
    fn created(
        &mut self,
        now: Now,
        effects: &mut GroupEffects,
        id: &GroupId,
        result: Result<(), ErrorCode>,
    ) {
        let Err(error) = result else { return };
        tracing::warn!(group = %id, %error, "a new group could not be stored");
        self.with_group(now, id, effects, |group, step| {
            group.abandon(step, classic::error_of_failed_write(error));
        });
        let Some(group) = self.groups.remove(id) else { return };
        if let Some(stored) = group.stored {
            // It was written but not committed in time: it goes on empty.
            let classic = ClassicGroup::from_stored(id.clone(), &stored);
            self.groups.insert(id.clone(), Group { stored: Some(stored), classic });
        }
    }

    fn forget(&mut self, id: &GroupId) {
        let Some(group) = self.groups.remove(id) else { return };
        let ids = group
            .classic
            .member_ids()
            .into_iter()
            .chain(group.classic.pending_joins.iter().cloned());
        for member in ids {
            self.timers.cancel(&TimerKey::Session(id.clone(), member));
        }
        self.timers.cancel(&TimerKey::Join(id.clone()));
        self.timers.cancel(&TimerKey::Sync(id.clone()));
    }
}

impl Machine for GroupMachine {
    type Request = GroupRequest;
    type Reply = GroupReply;
    type Record = GroupRecord;
    type Token = GroupToken;

    fn replay(&mut self, position: Position, record: &GroupRecord) {
        match record {
            GroupRecord::Offset { group, topic, partition, value } => {
                if value.is_some() && !self.groups.contains_key(group) {
                    let classic = ClassicGroup::empty(group.clone(), Timestamp(0));
                    self.groups.insert(group.clone(), Group { stored: None, classic });
                }
                self.offsets.replay(position, (group, topic, *partition), value.as_ref());
            }
            GroupRecord::Group { group, value: None } => self.forget(group),
            GroupRecord::Group { group, value: Some(stored) } => match self.groups.get_mut(group) {
                Some(known) => known.stored = Some(stored.clone()),
                None => {
                    let classic = ClassicGroup::empty(group.clone(), Timestamp(0));
                    self.groups
                        .insert(group.clone(), Group { stored: Some(stored.clone()), classic });
                }
            },
        }
    }

    fn end_transaction(&mut self, producer: ProducerId, is_committed: bool) {
        self.offsets.end_transaction(producer, is_committed);
    }

    fn loaded(&mut self, now: Now) -> GroupEffects {
        let mut effects = GroupEffects::default();
        let orphans: Vec<GroupId> =
            self.offsets.groups().filter(|id| !self.groups.contains_key(*id)).cloned().collect();
        for id in orphans {
            let classic = ClassicGroup::empty(id.clone(), Timestamp(0));
            self.groups.insert(id, Group { stored: None, classic });
        }
        for (id, group) in &mut self.groups {
            let Some(stored) = &group.stored else { continue };
            group.classic = ClassicGroup::from_stored(id.clone(), stored);
            let mut step = Step {
                now,
                settings: &self.settings,
                timers: &mut self.timers,
                effects: &mut effects,
            };
            for member in group.classic.member_ids() {
                group.classic.extend_session(&mut step, &member);
            }
            let max_size = usize::try_from(step.settings.max_size).unwrap_or(0);
            if group.classic.member_count() > max_size {
                group
                    .classic
                    .prepare_rebalance(&mut step, "more members than group.max.size allows");
            }
        }
        let next = now.instant.plus_millis(self.settings.retention_check_interval_ms);
        self.timers.schedule(TimerKey::Expiration, next);
        effects
    }

    fn handle(&mut self, now: Now, request: RequestId, asked: GroupRequest) -> GroupEffects {
        let mut effects = GroupEffects::default();
        match asked {
            GroupRequest::Join(id, join, fresh) => {
                self.join(now, &mut effects, request, (id, *join, fresh));
            }
            GroupRequest::Sync(id, sync) => {
                let found = self.with_group(now, &id, &mut effects, |group, step| {
                    group.sync(step, request, *sync);
                });
                if found.is_none() {
                    effects.answer(request, Err(ErrorCode::UnknownMemberId));
                }
            }
            GroupRequest::Heartbeat(id, member, generation) => {
                let result = self
                    .with_group(now, &id, &mut effects, |group, step| {
                        group.heartbeat(step, &member, generation)
                    })
                    .unwrap_or(Err(ErrorCode::UnknownMemberId));
                effects.answer(request, result.map(|()| GroupReply::Done));
            }
            GroupRequest::Leave(id, members) => {
                let unknown = || Err(ErrorCode::UnknownMemberId);
                let left = self.with_group(now, &id, &mut effects, |group, step| {
                    Ok(group.leave(step, members))
                });
                effects.answer(request, left.unwrap_or_else(unknown).map(GroupReply::Left));
            }
            GroupRequest::Commit(id, commit) => {
                self.commit(now, &mut effects, request, &id, commit);
            }
            GroupRequest::CommitTransactional(id, commit) => {
                self.commit_transactional(now, &mut effects, request, (&id, commit));
            }
            GroupRequest::Fetch(id, fetch) => {
                effects.read(request, Ok(GroupReply::Fetched(self.offsets.fetch(&id, fetch))));
            }
            GroupRequest::DeleteOffsets(id, topics) => {
                self.delete_offsets(&mut effects, request, &id, topics);
            }
            GroupRequest::Describe(id) => {
                effects.read(request, Ok(GroupReply::Described(self.describe(&id))));
            }
            GroupRequest::List(states, types) => {
                effects.read(request, Ok(GroupReply::Listed(self.list(&states, &types))));
            }
            GroupRequest::Delete(id) => self.delete(&mut effects, request, &id),
            GroupRequest::TopicsDeleted(topics) => {
                let records = self.offsets.tombstones_of_topics(&topics);
                write_in_pieces(&mut effects, records, Then::Answer(request, GroupReply::Done));
            }
        }
        effects
    }

    fn may_join_batch(request: &GroupRequest) -> bool {
        // Whether a commit is let in depends on the group's members only, never on offsets.
        matches!(request, GroupRequest::Commit(..))
    }

    fn settled(
        &mut self,
        now: Now,
        token: GroupToken,
        result: Result<(), ErrorCode>,
    ) -> GroupEffects {
        let mut effects = GroupEffects::default();
        match token.0 {
            Written::Created(id) => self.created(now, &mut effects, &id, result),
            Written::Assigned(assigned) => {
                let id = assigned.group.clone();
                self.with_group(now, &id, &mut effects, |group, step| {
                    group.assigned(step, assigned, result);
                });
            }
            Written::StaticReplaced(replacement) => {
                let id = replacement.group.clone();
                self.with_group(now, &id, &mut effects, |group, step| {
                    group.static_replaced(step, replacement, result);
                });
            }
        }
        effects
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    fn tick(&mut self, now: Now) -> GroupEffects {
        let mut effects = GroupEffects::default();
        match self.timers.pop_due(now.instant) {
            None => {}
            Some(TimerKey::Expiration) => {
                for records in self.expire(now) {
                    write_in_pieces(&mut effects, records, Then::Nothing);
                }
            }
            Some(TimerKey::Session(id, member)) => {
                self.with_group(now, &id, &mut effects, |group, step| {
                    group.session_timed_out(step, &member);
                });
            }
            Some(TimerKey::Join(id)) => {
                self.with_group(now, &id, &mut effects, ClassicGroup::join_timed_out);
            }
            Some(TimerKey::Sync(id)) => {
                self.with_group(now, &id, &mut effects, ClassicGroup::sync_timed_out);
            }
        }
        effects
    }

    fn encode(record: &GroupRecord) -> Result<KeyValue, ErrorCode> {
        codec::encode(record)
    }

    fn decode(key: &Bytes, value: Option<&Bytes>) -> Decoded<GroupRecord> {
        codec::decode(key, value)
    }
}

/// Writes tombstones, which are right one by one: as many batches as it takes, and `then` after the last. From the front: a
/// group's own comes last, after all of its offsets.
fn write_in_pieces(
    effects: &mut GroupEffects,
    records: Vec<GroupRecord>,
    then: Then<GroupReply, GroupToken>,
) {
    let mut piece = Vec::new();
    let mut piece_bytes = 0;
    for record in records {
        // One that cannot be encoded fails with its piece.
        let bytes = codec::encode(&record).map_or(0, |(key, value)| {
            crate::record::record_size_bytes(i64::MAX, i32::MAX, Some(&key), value.as_deref(), &[])
        });
        if piece_bytes + bytes > PIECE_BYTES && !piece.is_empty() {
            effects.write(std::mem::take(&mut piece), Then::Nothing);
            piece_bytes = 0;
        }
        piece_bytes += bytes;
        piece.push(record);
    }
    effects.write(piece, then);
}

/// What a machine has stored; see [`GroupMachine::stored`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    groups: BTreeMap<GroupId, Option<StoredGroup>>,
    offsets: Offsets,
}
