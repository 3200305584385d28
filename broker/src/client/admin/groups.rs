use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use kafka_protocol::messages::consumer_group_describe_response as consumer_response;
use kafka_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use kafka_protocol::messages::describe_groups_response as classic_response;
use kafka_protocol::messages::list_groups_request::ListGroupsRequest;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::protocol::Request;

use super::{Admin, Each};
use crate::client::router::Lane;
use crate::client::wire::text;
use crate::client::{Client, Error};
use crate::environment::Runtime;
use crate::model::{ErrorCode, GroupId, LeaderEpoch, MemberId, Offset, TopicName, TopicPartition};
use crate::protocol::internal_records::consumer_protocol::decode_assignment;

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its name.
    pub id: GroupId,
    /// `classic`, `consumer`, `share`, `streams`; empty from an old broker.
    pub kind: String,
    /// What the members agreed to be, such as `consumer`; empty for a group that only commits.
    pub protocol_type: String,
    /// Kafka's name of the state, such as `Stable`.
    pub state: String,
}

/// A group with its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub id: GroupId,
    /// `classic` or `consumer`.
    pub kind: &'static str,
    /// Kafka's name of the state, such as `Stable`.
    pub state: String,
    /// The assignor the members agreed on.
    pub assignor: String,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// One member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub id: MemberId,
    /// Its name that survives restarts (`group.instance.id`).
    pub instance_id: Option<String>,
    /// What it calls itself (`client.id`).
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// What it was given.
    pub assignment: Vec<TopicPartition>,
}

/// Where a group stands in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffset {
    /// The next offset to be read.
    pub offset: Offset,
    /// The epoch of the leader that wrote the record before it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The member's own words.
    pub metadata: String,
}

impl<R: Runtime> Admin<R> {
    /// All groups of the cluster, by name.
    ///
    /// # Errors
    ///
    /// When a broker does not answer in time: it may hold groups that nobody else knows.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, Error> {
        let mut groups = BTreeMap::new();
        for broker in self.describe_cluster().await?.brokers {
            let mut retry = self.client.retry();
            loop {
                match self.list_groups_at(broker.id).await {
                    Ok(found) => break groups.extend(found.into_iter().map(|g| (g.id.clone(), g))),
                    Err(error) => retry.after(error).await?,
                }
            }
        }
        Ok(groups.into_values().collect())
    }

    async fn list_groups_at(
        &self,
        broker: crate::model::NodeId,
    ) -> Result<Vec<GroupListing>, Error> {
        let connection = self.client.node(broker, Lane::Admin).await?;
        let version = connection.version_of::<ListGroupsRequest>(5)?;
        let response = connection.call(&ListGroupsRequest::default(), version).await?;
        Error::check(|| format!("list groups at broker {broker}"), response.error_code, None)?;
        let listing =
            |group: kafka_protocol::messages::list_groups_response::ListedGroup| GroupListing {
                id: GroupId::new(group.group_id.as_str()),
                kind: group.group_type.to_lowercase(),
                protocol_type: group.protocol_type.to_string(),
                state: group.group_state.to_string(),
            };
        Ok(response.groups.into_iter().map(listing).collect())
    }

    /// A group with its members, whichever protocol they speak.
    ///
    /// # Errors
    ///
    /// `GROUP_ID_NOT_FOUND` when there is none; or that the coordinator does not answer in time.
    pub async fn describe_group(&self, id: &GroupId) -> Result<GroupDescription, Error> {
        match self.describe_consumer_group(id).await {
            Err(error)
                if error.code() == Some(ErrorCode::GroupIdNotFound)
                    || matches!(error, Error::Unsupported { .. }) =>
            {
                self.describe_classic_group(id).await
            }
            described => described,
        }
    }

    async fn describe_classic_group(&self, id: &GroupId) -> Result<GroupDescription, Error> {
        let request = DescribeGroupsRequest::default().with_groups(vec![text(id.as_str()).into()]);
        let what = || format!("describe group {id}");
        let group = coordinated(&self.client, id, &request, 6, |response, _| {
            let group = response.groups.into_iter().next();
            let group = group.ok_or_else(|| not_found(what()))?;
            Error::check(what, group.error_code, group.error_message.as_deref())?;
            Ok(group)
        })
        .await?;
        // Before version 6 a group that does not exist is dead without an error.
        if group.group_state.as_str() == "Dead" {
            return Err(not_found(what()));
        }
        Ok(GroupDescription {
            id: id.clone(),
            kind: "classic",
            state: group.group_state.to_string(),
            assignor: group.protocol_data.to_string(),
            members: group.members.into_iter().map(classic_member).collect(),
        })
    }

    async fn describe_consumer_group(&self, id: &GroupId) -> Result<GroupDescription, Error> {
        let ids = vec![text(id.as_str()).into()];
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(ids);
        let what = || format!("describe group {id}");
        let group = coordinated(&self.client, id, &request, 1, |response, _| {
            let group = response.groups.into_iter().next();
            let group = group.ok_or_else(|| not_found(what()))?;
            Error::check(what, group.error_code, group.error_message.as_deref())?;
            Ok(group)
        })
        .await?;
        Ok(GroupDescription {
            id: id.clone(),
            kind: "consumer",
            state: group.group_state.to_string(),
            assignor: group.assignor_name.to_string(),
            members: group.members.into_iter().map(consumer_member).collect(),
        })
    }

    /// Where a group stands in each partition it has committed.
    ///
    /// # Errors
    ///
    /// The coordinator's refusal, or that it does not answer in time.
    pub async fn group_offsets(
        &self,
        id: &GroupId,
    ) -> Result<BTreeMap<TopicPartition, GroupOffset>, Error> {
        fetch_offsets(&self.client, id, None).await
    }

    /// Sets where a group without members stands.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_MEMBER_ID` when it has members; for each partition, the coordinator's refusal.
    pub async fn set_group_offsets(
        &self,
        id: &GroupId,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), Error> {
        let offsets =
            offsets.iter().map(|(partition, offset)| (partition.clone(), (*offset, None)));
        commit_offsets(&self.client, id, &Commit::by_operator(), &offsets.collect()).await
    }

    /// Deletes a group without members, with its offsets.
    ///
    /// # Errors
    ///
    /// `NON_EMPTY_GROUP`, `GROUP_ID_NOT_FOUND`, or that the coordinator does not answer in time.
    pub async fn delete_group(&self, id: &GroupId) -> Result<(), Error> {
        let request =
            DeleteGroupsRequest::default().with_groups_names(vec![text(id.as_str()).into()]);
        coordinated(&self.client, id, &request, 2, |response, _| {
            for result in response.results {
                Error::check(|| format!("delete group {id}"), result.error_code, None)?;
            }
            Ok(())
        })
        .await
    }

    /// Forgets where a group stands in these partitions.
    ///
    /// # Errors
    ///
    /// As a whole: that the coordinator refuses or does not answer in time. For each partition: such as
    /// `GROUP_SUBSCRIBED_TO_TOPIC`.
    pub async fn delete_group_offsets(
        &self,
        id: &GroupId,
        partitions: &[TopicPartition],
    ) -> Result<Each<TopicPartition, ()>, Error> {
        let mut topics: BTreeMap<&TopicName, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for TopicPartition { topic, partition } in partitions {
            let entry = OffsetDeleteRequestPartition::default().with_partition_index(partition.0);
            topics.entry(topic).or_default().push(entry);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            OffsetDeleteRequestTopic::default()
                .with_name(text(name.as_str()).into())
                .with_partitions(partitions)
        });
        let request = OffsetDeleteRequest::default()
            .with_group_id(text(id.as_str()).into())
            .with_topics(topics.collect());
        coordinated(&self.client, id, &request, 0, |response, _| {
            Error::check(|| format!("delete offsets of group {id}"), response.error_code, None)?;
            let mut outcomes = Vec::new();
            for topic in response.topics {
                for partition in topic.partitions {
                    let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    let what = || format!("delete the offset of {key}");
                    let outcome = Error::check(what, partition.error_code, None);
                    outcomes.push((key, outcome));
                }
            }
            Ok(outcomes)
        })
        .await
    }
}

/// In whose name offsets are committed.
#[derive(Clone, Debug)]
pub(in crate::client) struct Commit {
    pub(in crate::client) generation: i32,
    pub(in crate::client) member: String,
}

impl Commit {
    /// Nobody's: only for groups without members.
    pub(in crate::client) fn by_operator() -> Self {
        Self { generation: -1, member: String::new() }
    }
}

/// Writes where a group stands.
pub(in crate::client) async fn commit_offsets<R: Runtime>(
    client: &Client<R>,
    group: &GroupId,
    commit: &Commit,
    offsets: &BTreeMap<TopicPartition, (Offset, Option<LeaderEpoch>)>,
) -> Result<(), Error> {
    let mut topics: BTreeMap<&TopicName, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (TopicPartition { topic, partition }, (offset, epoch)) in offsets {
        let entry = OffsetCommitRequestPartition::default()
            .with_partition_index(partition.0)
            .with_committed_offset(offset.value())
            .with_committed_leader_epoch(epoch.map_or(-1, LeaderEpoch::value))
            .with_committed_metadata(Some(text("")));
        topics.entry(topic).or_default().push(entry);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        OffsetCommitRequestTopic::default()
            .with_name(text(name.as_str()).into())
            .with_partitions(partitions)
    });
    let request = OffsetCommitRequest::default()
        .with_group_id(text(group.as_str()).into())
        .with_generation_id_or_member_epoch(commit.generation)
        .with_member_id(text(&commit.member))
        .with_group_instance_id(None)
        .with_topics(topics.collect());
    // 9 is the last version that names topics.
    coordinated(client, group, &request, 9, |response, _| {
        for topic in response.topics {
            for partition in topic.partitions {
                let what = || {
                    let partition =
                        TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    format!("commit the offset of group {group} in {partition}")
                };
                Error::check(what, partition.error_code, None)?;
            }
        }
        Ok(())
    })
    .await
}

/// Reads where a group stands, in all partitions or in some.
pub(in crate::client) async fn fetch_offsets<R: Runtime>(
    client: &Client<R>,
    group: &GroupId,
    partitions: Option<&[TopicPartition]>,
) -> Result<BTreeMap<TopicPartition, GroupOffset>, Error> {
    let topics = partitions.map(|partitions| {
        let mut topics: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
        for TopicPartition { topic, partition } in partitions {
            topics.entry(topic).or_default().push(partition.0);
        }
        topics
    });
    let mut retry = client.retry();
    loop {
        match fetch_offsets_once(client, group, topics.as_ref()).await {
            Ok(offsets) => return Ok(offsets),
            Err(error) => {
                client.forget_coordinator(group);
                retry.after(error).await?;
            }
        }
    }
}

/// 8 and 9 ask for several groups at once; below, for one. 9 is the last version that names topics.
async fn fetch_offsets_once<R: Runtime>(
    client: &Client<R>,
    group: &GroupId,
    topics: Option<&BTreeMap<&TopicName, Vec<i32>>>,
) -> Result<BTreeMap<TopicPartition, GroupOffset>, Error> {
    let connection = client.coordinator(group).await?;
    let version = connection.version_of::<OffsetFetchRequest>(9)?;
    let id = || text(group.as_str()).into();
    let what = || format!("read the offsets of group {group}");
    let mut rows = Vec::new();
    if version >= 8 {
        let topics = topics.map(|topics| {
            let topic = |(name, partitions): (&&TopicName, &Vec<i32>)| {
                OffsetFetchRequestTopics::default()
                    .with_name(text(name.as_str()).into())
                    .with_partition_indexes(partitions.clone())
            };
            topics.iter().map(topic).collect()
        });
        let wanted = OffsetFetchRequestGroup::default()
            .with_group_id(id())
            .with_member_id(None)
            .with_member_epoch(-1)
            .with_topics(topics);
        let request = OffsetFetchRequest::default().with_groups(vec![wanted]);
        let response = connection.call(&request, version).await?;
        for found in response.groups {
            Error::check(what, found.error_code, None)?;
            for topic in found.topics {
                rows.extend(topic.partitions.into_iter().map(|p| {
                    let key = TopicPartition::new(topic.name.as_str(), p.partition_index);
                    (key, p.committed_offset, p.committed_leader_epoch, p.metadata, p.error_code)
                }));
            }
        }
    } else {
        let topics = topics.map(|topics| {
            let topic = |(name, partitions): (&&TopicName, &Vec<i32>)| {
                OffsetFetchRequestTopic::default()
                    .with_name(text(name.as_str()).into())
                    .with_partition_indexes(partitions.clone())
            };
            topics.iter().map(topic).collect()
        });
        let request = OffsetFetchRequest::default().with_group_id(id()).with_topics(topics);
        let response = connection.call(&request, version).await?;
        Error::check(what, response.error_code, None)?;
        for topic in response.topics {
            rows.extend(topic.partitions.into_iter().map(|p| {
                let key = TopicPartition::new(topic.name.as_str(), p.partition_index);
                (key, p.committed_offset, p.committed_leader_epoch, p.metadata, p.error_code)
            }));
        }
    }
    let mut offsets = BTreeMap::new();
    for (key, offset, epoch, metadata, code) in rows {
        Error::check(|| format!("read the offset of group {group} in {key}"), code, None)?;
        let Some(offset) = Offset::from_wire(offset) else { continue };
        let leader_epoch = LeaderEpoch::from_wire(epoch);
        let metadata = metadata.map_or_else(String::new, |metadata| metadata.to_string());
        offsets.insert(key, GroupOffset { offset, leader_epoch, metadata });
    }
    Ok(offsets)
}

/// Asks a group's coordinator, again when it moves or loads.
async fn coordinated<R: Runtime, Q: Request, T>(
    client: &Client<R>,
    group: &GroupId,
    request: &Q,
    newest: i16,
    read: impl Fn(Q::Response, i16) -> Result<T, Error>,
) -> Result<T, Error> {
    let after = client.settings().request_timeout;
    let mut retry = client.retry();
    loop {
        let answer = client.call_coordinator(group, request, newest, after).await;
        match answer.and_then(|(response, version)| read(response, version)) {
            Ok(value) => return Ok(value),
            Err(error) => {
                if error.is_retriable() {
                    client.forget_coordinator(group);
                }
                retry.after(error).await?;
            }
        }
    }
}

fn not_found(what: String) -> Error {
    Error::Refused { what, code: ErrorCode::GroupIdNotFound, message: None }
}

fn classic_member(member: classic_response::DescribedGroupMember) -> GroupMember {
    GroupMember {
        id: MemberId::new(member.member_id.as_str()),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        assignment: assigned_partitions(&member.member_assignment).unwrap_or_default(),
    }
}

fn consumer_member(member: consumer_response::Member) -> GroupMember {
    let mut assignment = Vec::new();
    for topic in member.assignment.topic_partitions {
        let name = TopicName::new(topic.topic_name.as_str());
        assignment
            .extend(topic.partitions.iter().map(|index| TopicPartition::new(name.clone(), *index)));
    }
    GroupMember {
        id: MemberId::new(member.member_id.as_str()),
        instance_id: member.instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        assignment,
    }
}

/// What a leader of a classic group gave to a member; `None` when the bytes are not that.
pub(in crate::client) fn assigned_partitions(bytes: &Bytes) -> Option<Vec<TopicPartition>> {
    let mut partitions = Vec::new();
    for topic in decode_assignment(bytes).ok()?.assigned_partitions {
        let name = TopicName::new(topic.topic.as_str());
        partitions
            .extend(topic.partitions.iter().map(|index| TopicPartition::new(name.clone(), *index)));
    }
    Some(partitions)
}
