//! DescribeLogDirs: what lies in each log directory. Source: KIP-113, KIP-827 (space).

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::{text, topic as topic_name, wire_topic};
use crate::environment::{Disk, Runtime};
use crate::log::LogDirectory;
use crate::model::{ErrorCode, TopicName};

pub(super) async fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: DescribeLogDirsRequest,
) -> Outcome<DescribeLogDirsResponse> {
    let wanted: Option<BTreeSet<(TopicName, i32)>> = request.topics.map(|topics| {
        topics
            .iter()
            .flat_map(|topic| {
                topic.partitions.iter().map(|partition| (topic_name(&topic.topic), *partition))
            })
            .collect()
    });
    let mut results = Vec::new();
    for directory in context.services.replicas.logs().directories() {
        results.push(describe(context, directory, wanted.as_ref()).await);
    }
    Outcome::Now(DescribeLogDirsResponse::default().with_results(results))
}

async fn describe<R: Runtime>(
    context: &RequestContext<R>,
    directory: &LogDirectory<R>,
    wanted: Option<&BTreeSet<(TopicName, i32)>>,
) -> DescribeLogDirsResult {
    let path = text(&directory.path().display().to_string());
    let result = DescribeLogDirsResult::default()
        .with_log_dir(path)
        .with_total_bytes(-1)
        .with_usable_bytes(-1);
    if directory.offline_reason().is_some() {
        return result.with_error_code(ErrorCode::KafkaStorageError.code());
    }
    let mut topics: BTreeMap<TopicName, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for (log, owner) in context.services.replicas.logs().logs() {
        let partition = log.topic_partition();
        let key = (partition.topic.clone(), partition.partition.0);
        if owner != directory.id() || wanted.is_some_and(|wanted| !wanted.contains(&key)) {
            continue;
        }
        let lag = log.high_watermark().distance_from(log.log_end_offset()).max(0);
        topics.entry(key.0).or_default().push(
            DescribeLogDirsPartition::default()
                .with_partition_index(key.1)
                .with_partition_size(i64::try_from(log.size_bytes()).unwrap_or(i64::MAX))
                .with_offset_lag(lag),
        );
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| {
            DescribeLogDirsTopic::default().with_name(wire_topic(&name)).with_partitions(partitions)
        })
        .collect();
    let space = context.services.runtime.disk().space(directory.path()).await;
    let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
    let (total, usable) = space.map_or((-1, -1), |(total, usable)| (signed(total), signed(usable)));
    result.with_topics(topics).with_total_bytes(total).with_usable_bytes(usable)
}
