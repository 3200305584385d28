//! What replication is lent: the node's configuration, and the way to the controller.

use std::sync::Arc;
use std::time::Duration;

use super::Common;
use crate::api::ActiveController;
use crate::config::NodeConfig;
use crate::controller::{AlterPartition, AlterPartitionState};
use crate::environment::{Runtime, Stopper};
use crate::metadata::LeaderRecoveryState;
use crate::model::{ErrorCode, NodeId, TopicId};
use crate::replication::{
    FetchOptions, IsrChannel, IsrState, Options, PartitionIsrChange, ReplicaManager,
};

/// How long one request for other in-sync replicas is tried: what stays unanswered is asked again with what has come since.
const ASK_MAX: Duration = Duration::from_secs(10);

/// How this node replicates.
pub(super) fn options(config: &NodeConfig) -> Options {
    let replication = &config.replication;
    Options {
        node: config.node_id,
        lag_time_max: replication.lag_time_max,
        fetch: FetchOptions {
            fetchers_per_leader: replication.fetchers_per_leader,
            max_bytes: replication.fetch_max_bytes,
            response_max_bytes: replication.fetch_response_max_bytes,
            min_bytes: replication.fetch_min_bytes,
            wait_max: replication.fetch_wait_max,
            backoff: replication.fetch_backoff,
            socket_timeout: replication.socket_timeout,
            listener: config.inter_broker_listener_name.clone(),
        },
    }
}

/// Starts what a leader does besides: looking after its followers, and telling the controller.
pub(super) fn start<R: Runtime>(
    common: &Common<R>,
    replicas: &Arc<ReplicaManager<R>>,
    background: &Stopper,
) {
    let runtime = &common.runtime;
    let watching = Arc::clone(replicas).watch_followers(background.stop());
    runtime.spawn("follower watch", watching);
    let way = WayToController {
        node: common.config.node_id,
        controller: common.controllers.for_broker.clone(),
        replicas: Arc::clone(replicas),
    };
    let sending = Arc::clone(replicas).send_isr_changes(way, background.stop());
    runtime.spawn("in-sync replica changes", sending);
}

struct WayToController<R: Runtime> {
    node: NodeId,
    controller: ActiveController<R>,
    replicas: Arc<ReplicaManager<R>>,
}

impl<R: Runtime> IsrChannel for WayToController<R> {
    async fn alter(
        &self,
        changes: &[PartitionIsrChange],
    ) -> Result<Vec<Result<IsrState, ErrorCode>>, ErrorCode> {
        let broker_epoch = self.replicas.broker_epoch().ok_or(ErrorCode::BrokerIdNotRegistered)?;
        let request =
            AlterPartition { broker_id: self.node, broker_epoch, topics: by_topic(changes) };
        let asked = self.controller.ask(&request, ASK_MAX).await;
        let outcome = asked.map_err(|refusal| refusal.code)?;
        let answer_to = |wish: &PartitionIsrChange| {
            let of_topic = outcome.iter().filter(|(topic, _)| *topic == wish.topic);
            let mut answers = of_topic.flat_map(|(_, answers)| answers);
            let answer = answers.find(|(partition, _)| *partition == wish.partition);
            match answer {
                None => Err(ErrorCode::UnknownServerError),
                Some((_, Err(code))) => Err(*code),
                Some((_, Ok(state))) => Ok(IsrState {
                    leader_epoch: state.leader_epoch,
                    partition_epoch: state.partition_epoch,
                    isr: state.isr.clone(),
                }),
            }
        };
        Ok(changes.iter().map(answer_to).collect())
    }
}

fn by_topic(changes: &[PartitionIsrChange]) -> Vec<(TopicId, Vec<AlterPartitionState>)> {
    let mut topics: Vec<(TopicId, Vec<AlterPartitionState>)> = Vec::new();
    for wish in changes {
        let state = AlterPartitionState {
            partition: wish.partition,
            leader_epoch: wish.change.leader_epoch,
            isr: wish.change.isr.clone(),
            leader_recovery_state: LeaderRecoveryState::Recovered,
            partition_epoch: wish.change.partition_epoch,
        };
        match topics.last_mut() {
            Some((topic, states)) if *topic == wish.topic => states.push(state),
            _ => topics.push((wish.topic, vec![state])),
        }
    }
    topics
}

#[cfg(test)]
mod tests;
