//! Every request in every version: a frame as it comes from a socket, or a body alone.

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Encodable, Request};
use ottla::protocol::schema::request_schema;
use ottla::protocol::schema_walk::walk;
use ottla::protocol::{
    API_TABLE, Incoming, LENGTH_PREFIX_BYTES, ListenerRole, RequestHeader, decode_body,
    encode_request, read_request_header, unsupported_api_versions,
};

use crate::input::Input;

/// Calls a function with the type of an API's requests as its type argument.
#[macro_export]
macro_rules! for_api {
    (@ $key:expr, $call:ident, $arguments:tt, $([$name:ident $request:ident])+) => {
        match $key {
            $(kafka_protocol::messages::ApiKey::$name => {
                $call::<kafka_protocol::messages::$request> $arguments
            })+
        }
    };
    ($key:expr, $call:ident $arguments:tt) => {
        $crate::for_api!(@ $key, $call, $arguments,
            [Produce ProduceRequest]
            [Fetch FetchRequest]
            [ListOffsets ListOffsetsRequest]
            [Metadata MetadataRequest]
            [OffsetCommit OffsetCommitRequest]
            [OffsetFetch OffsetFetchRequest]
            [FindCoordinator FindCoordinatorRequest]
            [JoinGroup JoinGroupRequest]
            [Heartbeat HeartbeatRequest]
            [LeaveGroup LeaveGroupRequest]
            [SyncGroup SyncGroupRequest]
            [DescribeGroups DescribeGroupsRequest]
            [ListGroups ListGroupsRequest]
            [SaslHandshake SaslHandshakeRequest]
            [ApiVersions ApiVersionsRequest]
            [CreateTopics CreateTopicsRequest]
            [DeleteTopics DeleteTopicsRequest]
            [DeleteRecords DeleteRecordsRequest]
            [InitProducerId InitProducerIdRequest]
            [OffsetForLeaderEpoch OffsetForLeaderEpochRequest]
            [AddPartitionsToTxn AddPartitionsToTxnRequest]
            [AddOffsetsToTxn AddOffsetsToTxnRequest]
            [EndTxn EndTxnRequest]
            [WriteTxnMarkers WriteTxnMarkersRequest]
            [TxnOffsetCommit TxnOffsetCommitRequest]
            [DescribeAcls DescribeAclsRequest]
            [CreateAcls CreateAclsRequest]
            [DeleteAcls DeleteAclsRequest]
            [DescribeConfigs DescribeConfigsRequest]
            [AlterConfigs AlterConfigsRequest]
            [AlterReplicaLogDirs AlterReplicaLogDirsRequest]
            [DescribeLogDirs DescribeLogDirsRequest]
            [SaslAuthenticate SaslAuthenticateRequest]
            [CreatePartitions CreatePartitionsRequest]
            [CreateDelegationToken CreateDelegationTokenRequest]
            [RenewDelegationToken RenewDelegationTokenRequest]
            [ExpireDelegationToken ExpireDelegationTokenRequest]
            [DescribeDelegationToken DescribeDelegationTokenRequest]
            [DeleteGroups DeleteGroupsRequest]
            [ElectLeaders ElectLeadersRequest]
            [IncrementalAlterConfigs IncrementalAlterConfigsRequest]
            [AlterPartitionReassignments AlterPartitionReassignmentsRequest]
            [ListPartitionReassignments ListPartitionReassignmentsRequest]
            [OffsetDelete OffsetDeleteRequest]
            [DescribeClientQuotas DescribeClientQuotasRequest]
            [AlterClientQuotas AlterClientQuotasRequest]
            [DescribeUserScramCredentials DescribeUserScramCredentialsRequest]
            [AlterUserScramCredentials AlterUserScramCredentialsRequest]
            [Vote VoteRequest]
            [BeginQuorumEpoch BeginQuorumEpochRequest]
            [EndQuorumEpoch EndQuorumEpochRequest]
            [DescribeQuorum DescribeQuorumRequest]
            [AlterPartition AlterPartitionRequest]
            [UpdateFeatures UpdateFeaturesRequest]
            [Envelope EnvelopeRequest]
            [FetchSnapshot FetchSnapshotRequest]
            [DescribeCluster DescribeClusterRequest]
            [DescribeProducers DescribeProducersRequest]
            [BrokerRegistration BrokerRegistrationRequest]
            [BrokerHeartbeat BrokerHeartbeatRequest]
            [UnregisterBroker UnregisterBrokerRequest]
            [DescribeTransactions DescribeTransactionsRequest]
            [ListTransactions ListTransactionsRequest]
            [AllocateProducerIds AllocateProducerIdsRequest]
            [ConsumerGroupHeartbeat ConsumerGroupHeartbeatRequest]
            [ConsumerGroupDescribe ConsumerGroupDescribeRequest]
            [ControllerRegistration ControllerRegistrationRequest]
            [GetTelemetrySubscriptions GetTelemetrySubscriptionsRequest]
            [PushTelemetry PushTelemetryRequest]
            [AssignReplicasToDirs AssignReplicasToDirsRequest]
            [ListConfigResources ListConfigResourcesRequest]
            [DescribeTopicPartitions DescribeTopicPartitionsRequest]
            [ShareGroupHeartbeat ShareGroupHeartbeatRequest]
            [ShareGroupDescribe ShareGroupDescribeRequest]
            [ShareFetch ShareFetchRequest]
            [ShareAcknowledge ShareAcknowledgeRequest]
            [AddRaftVoter AddRaftVoterRequest]
            [RemoveRaftVoter RemoveRaftVoterRequest]
            [UpdateRaftVoter UpdateRaftVoterRequest]
            [InitializeShareGroupState InitializeShareGroupStateRequest]
            [ReadShareGroupState ReadShareGroupStateRequest]
            [WriteShareGroupState WriteShareGroupStateRequest]
            [DeleteShareGroupState DeleteShareGroupStateRequest]
            [ReadShareGroupStateSummary ReadShareGroupStateSummaryRequest]
            [DescribeShareGroupOffsets DescribeShareGroupOffsetsRequest]
            [AlterShareGroupOffsets AlterShareGroupOffsetsRequest]
            [DeleteShareGroupOffsets DeleteShareGroupOffsetsRequest]
        )
    };
}

/// The versions of each request that the codec knows.
pub(crate) fn every_version() -> impl Iterator<Item = (ApiKey, i16)> {
    ApiKey::iter().flat_map(|key| {
        let schema = request_schema(key);
        (schema.min_version..=schema.max_version).map(move |version| (key, version))
    })
}

/// The API and version that two bytes choose.
pub(crate) fn chosen(input: &mut Input<'_>) -> (ApiKey, i16) {
    let number = usize::from(input.number()) % every_version().count();
    every_version().nth(number).expect("the number is below the count")
}

/// Judges one input: what it begins as, and a frame or a body.
///
/// # Panics
///
/// When what was decoded cannot be encoded, or is decoded to something else then.
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    match input.below(3) {
        0 => {
            let (key, version) = chosen(&mut input);
            let bytes = Bytes::copy_from_slice(input.0);
            for_api!(key, body(&mut bytes.clone(), version));
        }
        1 => frame(ListenerRole::Broker, &Bytes::copy_from_slice(input.0)),
        _ => frame(ListenerRole::Controller, &Bytes::copy_from_slice(input.0)),
    }
}

fn frame(role: ListenerRole, frame: &Bytes) {
    let mut rest = frame.clone();
    match read_request_header(&mut rest, role) {
        Ok(Incoming::Request(header)) => for_api!(header.api_key, framed(&header, &mut rest)),
        Ok(Incoming::UnsupportedApiVersions { correlation_id }) => {
            unsupported_api_versions(correlation_id).expect("the refusal can always be said");
        }
        Err(_) => {}
    }
}

/// A body behind its header: the whole request is written and read again.
fn framed<T: Request>(header: &RequestHeader, bytes: &mut Bytes) {
    let Ok(request) = decode_body::<T>(bytes, header.version) else { return };
    let client_id = header.client_id.as_deref();
    let frame = encode_request(header.version, header.correlation_id, client_id, &request)
        .expect("what was decoded can be encoded");
    let mut frame = frame.freeze().split_off(LENGTH_PREFIX_BYTES);
    let row = API_TABLE.iter().find(|row| row.key == header.api_key).expect("it was served");
    let role = [ListenerRole::Broker, ListenerRole::Controller]
        .into_iter()
        .find(|role| row.listeners.include(*role))
        .expect("every row is served somewhere");
    let again = read_request_header(&mut frame, role);
    assert_eq!(again.as_ref(), Ok(&Incoming::Request(header.clone())));
    body::<T>(&mut frame, header.version);
    assert!(frame.is_empty(), "{} bytes are left of what was encoded", frame.len());
}

fn body<T: Request>(bytes: &mut Bytes, version: i16) {
    let Ok(request) = decode_body::<T>(bytes, version) else { return };
    let encoded = encoded(&request, version);
    let key = ApiKey::try_from(T::KEY).expect("the codec knows its keys");
    assert_eq!(walk(request_schema(key), version, &encoded), Ok(encoded.len()));
    let again = decode_body::<T>(&mut encoded.clone(), version).expect("it was just encoded");
    // Bytes rather than values: a quota may be NaN.
    assert_eq!(self::encoded(&again, version), encoded);
}

pub(crate) fn encoded<T: Encodable>(message: &T, version: i16) -> Bytes {
    let mut bytes = bytes::BytesMut::new();
    message.encode(&mut bytes, version).expect("what was decoded can be encoded");
    bytes.freeze()
}

fn default_frame<T: Request + Default>(version: i16) -> Vec<u8> {
    let frame = encode_request(version, 7, Some("fuzz"), &T::default());
    frame.map_or_else(|_| Vec::new(), |frame| frame[LENGTH_PREFIX_BYTES..].to_vec())
}

fn default_body<T: Request + Default>(version: i16) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    // Some defaults are not allowed in some versions.
    let _ = T::default().encode(&mut bytes, version);
    bytes.to_vec()
}

/// Inputs to begin with: the default of each request, in each version.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for ((key, version), number) in every_version().zip(0_u16..) {
        let body = for_api!(key, default_body(version));
        seeds.push([&[0][..], &number.to_be_bytes(), &body].concat());
        let frame = for_api!(key, default_frame(version));
        seeds.push([&[1][..], &frame].concat());
        seeds.push([&[2][..], &frame].concat());
    }
    seeds
}
