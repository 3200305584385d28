use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use uuid::Uuid;

use super::group::{
    CommitRequest, FetchRequest, FetchedTopic, Generation, GroupDescription, GroupMachine,
    GroupReply, GroupRequest, GroupSettings, JoinOutcome, JoinRequest, Leaving, ListedGroup,
    MemberIdentity, PartitionOutcomes, SyncRequest, Synced, TransactionalCommitRequest,
};
use super::runtime::{Handle, PartitionWriter, RuntimeSettings, start};
use crate::environment::Runtime;
use crate::model::{
    ErrorCode, GroupId, LeaderEpoch, PartitionIndex, ProducerEpoch, ProducerId, TopicName,
};
use crate::record::EndTransactionMarker;

/// The group coordinator of this broker: leads the groups whose partition of `__consumer_offsets` it leads.
///
/// Cheap to clone. Every question may be answered with [`ErrorCode::NotCoordinator`] (16, ask another broker),
/// [`ErrorCode::CoordinatorLoadInProgress`] (14, ask again) or [`ErrorCode::CoordinatorNotAvailable`] (15, ask again).
pub struct GroupCoordinator<R: Runtime> {
    handle: Handle<GroupMachine>,
    runtime: R,
    settings: Arc<GroupSettings>,
}

impl<R: Runtime> Clone for GroupCoordinator<R> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
            runtime: self.runtime.clone(),
            settings: Arc::clone(&self.settings),
        }
    }
}

/// The partition of a coordinator's topic that a key (group id, transactional id) belongs to.
///
/// As Kafka: the absolute value of Java's string hash, which runs over UTF-16 units; the one number without an absolute
/// value counts as 0.
#[must_use]
pub fn partition_for_key(key: &str, partition_count: i32) -> PartitionIndex {
    let hash = key
        .encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    PartitionIndex(hash.checked_abs().unwrap_or(0).checked_rem(partition_count).unwrap_or(0))
}

impl<R: Runtime> GroupCoordinator<R> {
    /// Starts the coordinator's task. It leads nothing until it is [`elected`](Self::elected).
    #[must_use]
    pub fn start<W: PartitionWriter>(runtime: R, writer: W, settings: GroupSettings) -> Self {
        let runtime_settings = RuntimeSettings {
            commit_timeout: settings.commit_timeout,
            load_buffer_bytes: settings.load_buffer_bytes,
            batch_bytes_max: settings.batch_bytes_max,
            compression: settings.compression,
            queue_length: settings.queue_length,
        };
        let machine_settings = settings.clone();
        let new_machine = move || GroupMachine::new(machine_settings.clone());
        let handle = start(&runtime, writer, runtime_settings, "group-coordinator", new_machine);
        Self { handle, runtime, settings: Arc::new(settings) }
    }

    /// The partition of `__consumer_offsets` that `group` belongs to.
    #[must_use]
    pub fn partition_for(&self, group: &GroupId) -> PartitionIndex {
        partition_for_key(group.as_str(), self.settings.partition_count)
    }

    /// This broker leads `partition` in `epoch`: loads its groups. An epoch that is not newer changes nothing.
    pub async fn elected(&self, partition: PartitionIndex, epoch: LeaderEpoch) {
        self.handle.elected(partition, epoch).await;
    }

    /// This broker does not lead `partition`, from `epoch` on if known: forgets its groups.
    pub async fn resigned(&self, partition: PartitionIndex, epoch: Option<LeaderEpoch>) {
        self.handle.resigned(partition, epoch).await;
    }

    /// Ends the coordinator; all who wait are told to look for another.
    pub async fn shutdown(&self) {
        self.handle.stop().await;
    }

    async fn ask(&self, group: &GroupId, request: GroupRequest) -> Result<GroupReply, ErrorCode> {
        if self.runtime.buggify("coordinator.spurious_error") {
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
        self.handle.request(self.partition_for(group), request).await
    }

    /// Refuses group ids that no group with members can have.
    fn check(group: &GroupId) -> Result<(), ErrorCode> {
        if group.as_str().is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        Self::check_length(group)
    }

    /// Refuses group ids that cannot be stored. The empty one can: it is what Kafka gives consumers that commit
    /// without naming a group.
    fn check_length(group: &GroupId) -> Result<(), ErrorCode> {
        if group.as_str().len() > GROUP_ID_BYTES_MAX {
            Err(ErrorCode::InvalidGroupId)
        } else {
            Ok(())
        }
    }

    /// `JoinGroup`: answered when the group's join phase ends.
    ///
    /// # Errors
    ///
    /// 23, 24, 25, 26, 27, 81, 82, and those every question may meet.
    pub async fn join(
        &self,
        group: GroupId,
        request: JoinRequest,
    ) -> Result<JoinOutcome, ErrorCode> {
        Self::check(&group)?;
        let fresh = uuid_from(self.runtime.random(), self.runtime.random());
        let asked = GroupRequest::Join(group.clone(), Box::new(request), fresh);
        match self.ask(&group, asked).await {
            Ok(GroupReply::Join(outcome)) => Ok(outcome),
            Ok(other) => unexpected(&other),
            Err(error) => Err(error),
        }
    }

    /// `SyncGroup`: answered when the leader's assignments are committed.
    ///
    /// # Errors
    ///
    /// 22, 23, 24, 25, 27, 82, and those every question may meet.
    pub async fn sync(&self, group: GroupId, request: SyncRequest) -> Result<Synced, ErrorCode> {
        Self::check(&group)?;
        match self.ask(&group.clone(), GroupRequest::Sync(group, Box::new(request))).await {
            Ok(GroupReply::Synced(synced)) => Ok(synced),
            Ok(other) => unexpected(&other),
            Err(error) => Err(error),
        }
    }

    /// Heartbeat.
    ///
    /// # Errors
    ///
    /// 22, 24, 25, 27 (join again), 82, and those every question may meet; while the coordinator loads the answer is
    /// that all is well, as in Kafka, because clients would give up their sessions otherwise.
    pub async fn heartbeat(
        &self,
        group: GroupId,
        member: MemberIdentity,
        generation: Option<Generation>,
    ) -> Result<(), ErrorCode> {
        Self::check(&group)?;
        match self.ask(&group.clone(), GroupRequest::Heartbeat(group, member, generation)).await {
            Ok(_) | Err(ErrorCode::CoordinatorLoadInProgress) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// `LeaveGroup`: the outcome of each member, in the order asked.
    ///
    /// # Errors
    ///
    /// 24, and those every question may meet. A group that does not exist is error 25 of each member.
    pub async fn leave(
        &self,
        group: GroupId,
        members: Vec<Leaving>,
    ) -> Result<Vec<(MemberIdentity, ErrorCode)>, ErrorCode> {
        Self::check(&group)?;
        let asked = GroupRequest::Leave(group.clone(), members.clone());
        match self.ask(&group, asked).await {
            Ok(GroupReply::Left(outcomes)) => Ok(outcomes),
            Ok(other) => unexpected(&other),
            Err(ErrorCode::UnknownMemberId) => Ok(members
                .into_iter()
                .map(|leaving| (leaving.member, ErrorCode::UnknownMemberId))
                .collect()),
            Err(error) => Err(error),
        }
    }

    /// `OffsetCommit`: answered when the offsets are committed.
    ///
    /// # Errors
    ///
    /// 22, 24, 25, 27, 69, 82, and those every question may meet; all hold for every partition asked.
    pub async fn commit_offsets(
        &self,
        group: GroupId,
        request: CommitRequest,
    ) -> Result<PartitionOutcomes, ErrorCode> {
        Self::check_length(&group)?;
        partitions(self.ask(&group.clone(), GroupRequest::Commit(group, request)).await)
    }

    /// `TxnOffsetCommit`: the offsets are written, and count once the transaction is committed.
    ///
    /// # Errors
    ///
    /// 22, 24, 25, 82, and those every question may meet; all hold for every partition asked.
    pub async fn commit_transactional_offsets(
        &self,
        group: GroupId,
        request: TransactionalCommitRequest,
    ) -> Result<PartitionOutcomes, ErrorCode> {
        Self::check(&group)?;
        partitions(
            self.ask(&group.clone(), GroupRequest::CommitTransactional(group, request)).await,
        )
    }

    /// `WriteTxnMarkers` for a partition of `__consumer_offsets`: answered when the marker is committed.
    ///
    /// # Errors
    ///
    /// Those every question may meet.
    pub async fn end_transaction(
        &self,
        partition: PartitionIndex,
        producer: (ProducerId, ProducerEpoch),
        marker: EndTransactionMarker,
    ) -> Result<(), ErrorCode> {
        self.handle.end_transaction(partition, producer, marker).await
    }

    /// `OffsetFetch`: what is committed, and nothing that could still vanish.
    ///
    /// # Errors
    ///
    /// 14 or 16: clients do not expect 15 here, so it is never given.
    pub async fn fetch_offsets(
        &self,
        group: GroupId,
        request: FetchRequest,
    ) -> Result<Vec<FetchedTopic>, ErrorCode> {
        match self.ask(&group.clone(), GroupRequest::Fetch(group, request)).await {
            Ok(GroupReply::Fetched(topics)) => Ok(topics),
            Ok(other) => unexpected(&other),
            Err(ErrorCode::CoordinatorNotAvailable) => Err(ErrorCode::NotCoordinator),
            Err(error) => Err(error),
        }
    }

    /// `OffsetDelete`: the outcome of each partition.
    ///
    /// # Errors
    ///
    /// 24, 68, 69, and those every question may meet.
    pub async fn delete_offsets(
        &self,
        group: GroupId,
        topics: Vec<(TopicName, Vec<PartitionIndex>)>,
    ) -> Result<PartitionOutcomes, ErrorCode> {
        Self::check(&group)?;
        partitions(self.ask(&group.clone(), GroupRequest::DeleteOffsets(group, topics)).await)
    }

    /// `DescribeGroups`, one group; none when there is no such group (`Dead`, or error 69 from version 6 on).
    ///
    /// # Errors
    ///
    /// Those every question may meet.
    pub async fn describe(&self, group: GroupId) -> Result<Option<GroupDescription>, ErrorCode> {
        Self::check_length(&group)?;
        match self.ask(&group.clone(), GroupRequest::Describe(group)).await {
            Ok(GroupReply::Described(description)) => Ok(description),
            Ok(other) => unexpected(&other),
            Err(error) => Err(error),
        }
    }

    /// `ListGroups`: all groups of this broker in one of `states` and of one of `types`; an empty list lets all pass.
    ///
    /// # Errors
    ///
    /// 14 while one of the shards loads.
    pub async fn list(
        &self,
        states: &[String],
        types: &[String],
    ) -> Result<Vec<ListedGroup>, ErrorCode> {
        let questions = self.handle.partitions().await?.into_iter().map(|partition| {
            self.handle.request(partition, GroupRequest::List(states.to_vec(), types.to_vec()))
        });
        let mut groups = Vec::new();
        for answer in join_all(questions).await {
            match answer {
                Ok(GroupReply::Listed(listed)) => groups.extend(listed),
                Ok(other) => return unexpected(&other),
                Err(ErrorCode::NotCoordinator) => {}
                Err(error) => return Err(error),
            }
        }
        groups.sort_by(|one, other| one.group.cmp(&other.group));
        Ok(groups)
    }

    /// `DeleteGroups`, one group with its offsets.
    ///
    /// # Errors
    ///
    /// 24, 68 (has members), 69 (no such group), and those every question may meet.
    pub async fn delete(&self, group: GroupId) -> Result<(), ErrorCode> {
        Self::check_length(&group)?;
        self.ask(&group.clone(), GroupRequest::Delete(group)).await.map(|_| ())
    }

    /// These topics are gone: so are the offsets of all groups of this broker in them.
    ///
    /// # Errors
    ///
    /// Those every question may meet; a shard that was not ours or loading is passed over.
    pub async fn on_topics_deleted(&self, topics: BTreeSet<TopicName>) -> Result<(), ErrorCode> {
        let questions = self.handle.partitions().await?.into_iter().map(|partition| {
            self.handle.request(partition, GroupRequest::TopicsDeleted(topics.clone()))
        });
        for answer in join_all(questions).await {
            match answer {
                Ok(_) | Err(ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Records hold lengths of strings in 16 bits.
const GROUP_ID_BYTES_MAX: usize = 32_767;

fn partitions(answer: Result<GroupReply, ErrorCode>) -> Result<PartitionOutcomes, ErrorCode> {
    match answer {
        Ok(GroupReply::Partitions(outcomes)) => Ok(outcomes),
        Ok(other) => unexpected(&other),
        Err(error) => Err(error),
    }
}

fn unexpected<T>(reply: &GroupReply) -> Result<T, ErrorCode> {
    tracing::error!(?reply, "the group machine answered another question");
    Err(ErrorCode::UnknownServerError)
}

/// A random uuid, version 4.
fn uuid_from(high: u64, low: u64) -> Uuid {
    let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::{partition_for_key, uuid_from};

    #[test]
    fn a_key_belongs_to_the_partition_java_would_give_it() {
        let check =
            |key: &str, expected| assert_eq!(partition_for_key(key, 50).0, expected, "{key}");
        // Java: Math.abs("...".hashCode()) % 50; Kafka takes 0 for the hash without an absolute value.
        check("", 0);
        check("a", 47);
        check("my-group", 12);
        check("polygenelubricants", 0);
        check("\u{1f600}", 49);
    }

    #[test]
    fn member_ids_are_random_uuids() {
        assert_eq!(
            uuid_from(u64::MAX, u64::MAX).to_string(),
            "ffffffff-ffff-4fff-bfff-ffffffffffff"
        );
    }
}
