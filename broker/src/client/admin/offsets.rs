use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::protocol::Request;

use super::{Admin, Each};
use crate::client::router::Lane;
use crate::client::wire::text;
use crate::client::{Client, Error};
use crate::environment::Runtime;
use crate::model::{ErrorCode, LeaderEpoch, NodeId, Offset, Timestamp, TopicName, TopicPartition};

/// A place in a partition that only its leader can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first offset there is.
    Earliest,
    /// The end: the next offset a consumer would see.
    Latest,
    /// The record with the largest timestamp.
    MaxTimestamp,
    /// The first record at or after this time.
    At(Timestamp),
}

impl OffsetSpec {
    const fn number(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::At(time) => time.millis(),
        }
    }
}

/// What of transactions a reader sees (`isolation.level`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsolationLevel {
    /// Everything replicated.
    #[default]
    ReadUncommitted,
    /// Only what was committed.
    ReadCommitted,
}

impl IsolationLevel {
    pub(in crate::client) const fn number(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// The answer to an [`OffsetSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionOffset {
    /// The offset; `None` when there is no such record.
    pub offset: Option<Offset>,
    /// The record's time, for questions about time.
    pub timestamp: Option<Timestamp>,
    /// The epoch of the leader that wrote it.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl<R: Runtime> Admin<R> {
    /// Where records stand, for many partitions at once.
    ///
    /// # Errors
    ///
    /// For each partition: the leader's refusal, or that none answers in time.
    pub async fn list_offsets(
        &self,
        wanted: &[(TopicPartition, OffsetSpec)],
        isolation: IsolationLevel,
    ) -> Each<TopicPartition, PartitionOffset> {
        list_offsets(&self.client, wanted, isolation).await
    }

    /// Deletes records before an offset; `None` deletes all. Answers with the partitions' new starts.
    ///
    /// # Errors
    ///
    /// For each partition: the leader's refusal, or that none answers in time.
    pub async fn delete_records(
        &self,
        before: &[(TopicPartition, Option<Offset>)],
    ) -> Each<TopicPartition, Offset> {
        let timeout_ms = self.request_timeout_ms();
        by_leader(
            &self.client,
            before,
            2,
            |partitions: &[&(TopicPartition, Option<Offset>)], _| {
                let topics = by_topic(partitions.iter().map(|(partition, offset)| {
                    let entry = DeleteRecordsPartition::default()
                        .with_partition_index(partition.partition.0)
                        .with_offset(offset.map_or(-1, Offset::value));
                    (partition.topic.clone(), entry)
                }));
                let topics = topics.into_iter().map(|(name, partitions)| {
                    DeleteRecordsTopic::default()
                        .with_name(text(name.as_str()).into())
                        .with_partitions(partitions)
                });
                DeleteRecordsRequest::default()
                    .with_topics(topics.collect())
                    .with_timeout_ms(timeout_ms)
            },
            |response| {
                let mut found = BTreeMap::new();
                for topic in response.topics {
                    for partition in topic.partitions {
                        let key =
                            TopicPartition::new(topic.name.as_str(), partition.partition_index);
                        let what = || format!("delete records of {key}");
                        let outcome = Error::check(what, partition.error_code, None).map(|()| {
                            Offset::from_wire(partition.low_watermark).unwrap_or_default()
                        });
                        found.insert(key, outcome);
                    }
                }
                found
            },
        )
        .await
    }
}

/// [`Admin::list_offsets`], for consumers too.
pub(in crate::client) async fn list_offsets<R: Runtime>(
    client: &Client<R>,
    wanted: &[(TopicPartition, OffsetSpec)],
    isolation: IsolationLevel,
) -> Each<TopicPartition, PartitionOffset> {
    by_leader(
        client,
        wanted,
        10,
        |partitions: &[&(TopicPartition, OffsetSpec)], version| {
            let topics = by_topic(partitions.iter().map(|(partition, spec)| {
                let entry = ListOffsetsPartition::default()
                    .with_partition_index(partition.partition.0)
                    .with_current_leader_epoch(-1)
                    .with_timestamp(spec.number());
                (partition.topic.clone(), entry)
            }));
            let topics = topics.into_iter().map(|(name, partitions)| {
                ListOffsetsTopic::default()
                    .with_name(text(name.as_str()).into())
                    .with_partitions(partitions)
            });
            let request = ListOffsetsRequest::default()
                .with_replica_id((-1).into())
                .with_topics(topics.collect());
            if version >= 2 { request.with_isolation_level(isolation.number()) } else { request }
        },
        |response| {
            let mut found = BTreeMap::new();
            for topic in response.topics {
                for partition in topic.partitions {
                    let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    let what = || format!("look up an offset of {key}");
                    let outcome =
                        Error::check(what, partition.error_code, None).map(|()| PartitionOffset {
                            offset: Offset::from_wire(partition.offset),
                            timestamp: (partition.timestamp >= 0)
                                .then_some(Timestamp(partition.timestamp)),
                            leader_epoch: LeaderEpoch::from_wire(partition.leader_epoch),
                        });
                    found.insert(key, outcome);
                }
            }
            found
        },
    )
    .await
}

/// How long brokers may need to hear of a new topic.
const UNKNOWN_FOR: Duration = Duration::from_secs(2);

/// Asks each leader about its partitions, and again about those it does not answer for, until time is up.
async fn by_leader<R, Q, T, V>(
    client: &Client<R>,
    wanted: &[(TopicPartition, T)],
    newest: i16,
    request: impl Fn(&[&(TopicPartition, T)], i16) -> Q,
    answers: impl Fn(Q::Response) -> BTreeMap<TopicPartition, Result<V, Error>>,
) -> Each<TopicPartition, V>
where
    R: Runtime,
    Q: Request,
{
    let mut done = Vec::with_capacity(wanted.len());
    let mut left: Vec<&(TopicPartition, T)> = wanted.iter().collect();
    let mut retry = client.retry();
    let started = client.runtime().now();
    loop {
        let mut failed: Vec<(&(TopicPartition, T), Error)> = Vec::new();
        for (leader, partitions) in find_leaders(client, &left, &mut failed).await {
            match ask_leader(client, leader, &partitions, newest, &request).await {
                Ok(response) => {
                    let mut found = answers(response);
                    for entry in partitions {
                        let missing = || Error::NoLeader { what: format!("partition {}", entry.0) };
                        match found.remove(&entry.0).unwrap_or_else(|| Err(missing())) {
                            Err(error) if error.is_retriable() => {
                                client.forget_leader(&entry.0);
                                failed.push((entry, error));
                            }
                            outcome => done.push((entry.0.clone(), outcome)),
                        }
                    }
                }
                Err(error) => {
                    client.forget_leaders_at(leader);
                    failed.extend(partitions.into_iter().map(|entry| (entry, error.clone())));
                }
            }
        }
        // A topic just made is not known everywhere at once; one that is still unknown then does not exist.
        let is_old = client.runtime().now().since(started) > UNKNOWN_FOR;
        let is_hopeless = |error: &Error| {
            let is_unknown = error.code() == Some(ErrorCode::UnknownTopicOrPartition);
            !error.is_retriable() || (is_unknown && is_old)
        };
        let (hopeless, retriable): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(|(_, error)| is_hopeless(error));
        done.extend(hopeless.into_iter().map(|(entry, error)| (entry.0.clone(), Err(error))));
        let Some((_, first)) = retriable.first() else { return done };
        if let Err(error) = retry.after(first.clone()).await {
            done.extend(
                retriable.into_iter().map(|(entry, _)| (entry.0.clone(), Err(error.clone()))),
            );
            return done;
        }
        left = retriable.into_iter().map(|(entry, _)| entry).collect();
    }
}

async fn find_leaders<'a, R: Runtime, T>(
    client: &Client<R>,
    wanted: &[&'a (TopicPartition, T)],
    failed: &mut Vec<(&'a (TopicPartition, T), Error)>,
) -> BTreeMap<NodeId, Vec<&'a (TopicPartition, T)>> {
    let mut leaders: BTreeMap<NodeId, Vec<&(TopicPartition, T)>> = BTreeMap::new();
    for entry in wanted {
        match client.leader(&entry.0).await {
            Ok(leader) => leaders.entry(leader).or_default().push(entry),
            Err(error) => failed.push((entry, error)),
        }
    }
    leaders
}

async fn ask_leader<R: Runtime, Q: Request, T>(
    client: &Client<R>,
    leader: NodeId,
    partitions: &[&(TopicPartition, T)],
    newest: i16,
    request: &impl Fn(&[&(TopicPartition, T)], i16) -> Q,
) -> Result<Q::Response, Error> {
    let connection = client.node(leader, Lane::Admin).await?;
    let version = connection.version_of::<Q>(newest)?;
    connection.call(&request(partitions, version), version).await
}

fn by_topic<T>(entries: impl Iterator<Item = (TopicName, T)>) -> BTreeMap<TopicName, Vec<T>> {
    let mut topics: BTreeMap<TopicName, Vec<T>> = BTreeMap::new();
    for (topic, entry) in entries {
        topics.entry(topic).or_default().push(entry);
    }
    topics
}
