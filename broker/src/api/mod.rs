//! One file per API: translate a request, ask the modules below, translate the answer.
//!
//! Handlers have no state and no loops. A handler that must wait returns [`Outcome::Later`]; whatever it appended before is
//! in the log by then, so the connection may go on to its next request while responses keep their order. Wire structs of
//! the codec package are seen here and nowhere below.

#![expect(
    clippy::needless_pass_by_value,
    reason = "handlers are handed their request, whether they take it apart or not"
)]

mod context;
mod active_controller;
mod reply;
mod wire;
mod endpoints;
mod forwarding;

mod add_raft_voter;
mod allocate_producer_ids;
mod alter_configs;
mod alter_partition;
mod alter_partition_reassignments;
mod api_versions;
mod assign_replicas_to_dirs;
mod begin_quorum_epoch;
mod broker_heartbeat;
mod broker_registration;
mod controller_registration;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_quorum;
mod describe_topic_partitions;
mod end_quorum_epoch;
mod elect_leaders;
mod envelope;
mod fetch;
mod fetch_snapshot;
mod find_coordinator;
mod group_words;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_partition_reassignments;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod quorum_words;
mod remove_raft_voter;
mod sync_group;
mod topic_creation;
mod unregister_broker;
mod update_raft_voter;
mod vote;

use bytes::Bytes;
use kafka_protocol::messages::{self, ApiKey};

pub use active_controller::{ActiveController, Remote};
pub use context::{Acquaintance, Peer, RequestContext, Services};
pub use init_producer_id::ProducerIds;
pub use reply::{Part, Reply, Response, Verdict};
pub use topic_creation::TopicCreation;

use crate::environment::Runtime;
use crate::protocol::{DecodeError, ListenerRole, api_row, decode_body};

/// Routes a request to its handler: decodes (after the schema walk), asks, encodes. Fetch encodes its own responses;
/// `waiting` handlers touch the disk or another task before they know their outcome, `immediate` ones do not.
macro_rules! handlers {
    (
        waiting { $($key:ident($request:ident) => $module:ident,)+ }
        immediate { $($now_key:ident($now_request:ident) => $now_module:ident,)+ }
    ) => {
        /// The APIs that have a handler; a test holds them against the table.
        #[cfg(test)]
        const HANDLED: &[ApiKey] = &[ApiKey::Fetch, $(ApiKey::$key,)+ $(ApiKey::$now_key,)+];

        /// Has a request answered here; `body` is what follows the header.
        async fn answer<R: Runtime>(context: RequestContext<R>, mut body: Bytes) -> Reply<R::File> {
            let (key, version) = (context.header.api_key, context.header.version);
            let malformed = |error: DecodeError| Reply::Close(format!("{key:?} request of version {version}: {error}"));
            match key {
                ApiKey::Fetch => match decode_body::<messages::FetchRequest>(&mut body, version) {
                    Ok(request) => Box::pin(fetch::handle(context, request)).await,
                    Err(error) => malformed(error),
                },
                $(ApiKey::$key => match decode_body::<messages::$request>(&mut body, version) {
                    Ok(request) => {
                        let outcome = Box::pin($module::handle(&context, request)).await;
                        context.reply_context().encode(key, outcome)
                    }
                    Err(error) => malformed(error),
                },)+
                $(ApiKey::$now_key => match decode_body::<messages::$now_request>(&mut body, version) {
                    Ok(request) => {
                        let outcome = $now_module::handle(&context, request);
                        context.reply_context().encode(key, outcome)
                    }
                    Err(error) => malformed(error),
                },)+
                _ => Reply::Close(format!("{key:?} is not served")),
            }
        }
    };
}

/// Handles one request of an API and version that the table serves; `frame` is the request with its header, `body` what
/// follows that. What only the controller decides goes to the one that is active.
pub async fn handle<R: Runtime>(
    context: RequestContext<R>,
    frame: Bytes,
    body: Bytes,
) -> Reply<R::File> {
    let is_forwarded = context.peer.role == ListenerRole::Broker
        && api_row(context.header.api_key).is_some_and(|row| row.is_forwarded);
    if is_forwarded {
        forwarding::forward(context, frame, body)
    } else {
        answer(context, body).await
    }
}

handlers! {
    waiting {
        Produce(ProduceRequest) => produce,
        ListOffsets(ListOffsetsRequest) => list_offsets,
        DeleteRecords(DeleteRecordsRequest) => delete_records,
        InitProducerId(InitProducerIdRequest) => init_producer_id,
        DescribeLogDirs(DescribeLogDirsRequest) => describe_log_dirs,
        DescribeQuorum(DescribeQuorumRequest) => describe_quorum,
    }
    immediate {
        Metadata(MetadataRequest) => metadata,
        OffsetCommit(OffsetCommitRequest) => offset_commit,
        OffsetFetch(OffsetFetchRequest) => offset_fetch,
        FindCoordinator(FindCoordinatorRequest) => find_coordinator,
        JoinGroup(JoinGroupRequest) => join_group,
        Heartbeat(HeartbeatRequest) => heartbeat,
        LeaveGroup(LeaveGroupRequest) => leave_group,
        SyncGroup(SyncGroupRequest) => sync_group,
        DescribeGroups(DescribeGroupsRequest) => describe_groups,
        ListGroups(ListGroupsRequest) => list_groups,
        ApiVersions(ApiVersionsRequest) => api_versions,
        CreateTopics(CreateTopicsRequest) => create_topics,
        DeleteTopics(DeleteTopicsRequest) => delete_topics,
        OffsetForLeaderEpoch(OffsetForLeaderEpochRequest) => offset_for_leader_epoch,
        DescribeConfigs(DescribeConfigsRequest) => describe_configs,
        AlterConfigs(AlterConfigsRequest) => alter_configs,
        CreatePartitions(CreatePartitionsRequest) => create_partitions,
        DeleteGroups(DeleteGroupsRequest) => delete_groups,
        ElectLeaders(ElectLeadersRequest) => elect_leaders,
        IncrementalAlterConfigs(IncrementalAlterConfigsRequest) => incremental_alter_configs,
        AlterPartitionReassignments(AlterPartitionReassignmentsRequest) => alter_partition_reassignments,
        ListPartitionReassignments(ListPartitionReassignmentsRequest) => list_partition_reassignments,
        OffsetDelete(OffsetDeleteRequest) => offset_delete,
        AlterPartition(AlterPartitionRequest) => alter_partition,
        Envelope(EnvelopeRequest) => envelope,
        Vote(VoteRequest) => vote,
        BeginQuorumEpoch(BeginQuorumEpochRequest) => begin_quorum_epoch,
        EndQuorumEpoch(EndQuorumEpochRequest) => end_quorum_epoch,
        FetchSnapshot(FetchSnapshotRequest) => fetch_snapshot,
        DescribeCluster(DescribeClusterRequest) => describe_cluster,
        BrokerRegistration(BrokerRegistrationRequest) => broker_registration,
        BrokerHeartbeat(BrokerHeartbeatRequest) => broker_heartbeat,
        UnregisterBroker(UnregisterBrokerRequest) => unregister_broker,
        AllocateProducerIds(AllocateProducerIdsRequest) => allocate_producer_ids,
        ControllerRegistration(ControllerRegistrationRequest) => controller_registration,
        AssignReplicasToDirs(AssignReplicasToDirsRequest) => assign_replicas_to_dirs,
        ListConfigResources(ListConfigResourcesRequest) => list_config_resources,
        DescribeTopicPartitions(DescribeTopicPartitionsRequest) => describe_topic_partitions,
        AddRaftVoter(AddRaftVoterRequest) => add_raft_voter,
        RemoveRaftVoter(RemoveRaftVoterRequest) => remove_raft_voter,
        UpdateRaftVoter(UpdateRaftVoterRequest) => update_raft_voter,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::HANDLED;
    use crate::protocol::API_TABLE;

    #[test]
    fn every_row_of_the_table_has_a_handler_and_every_handler_a_row() {
        let handled: BTreeSet<i16> = HANDLED.iter().map(|key| *key as i16).collect();
        let rows: BTreeSet<i16> = API_TABLE.iter().map(|row| row.key as i16).collect();
        assert_eq!(handled, rows);
    }
}
