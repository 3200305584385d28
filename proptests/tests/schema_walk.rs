//! The tables of `protocol::schema` against the codec package, for every API and every version.
//!
//! - What a table describes, the codec decodes to the last byte, and the other way round.
//! - Whatever bytes a walk accepts, the codec neither panics on nor allocates more for than the walk promises.
//! - What is read without the codec (headers, stored records) bears any bytes.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, Message, Request};
use ottla::protocol::internal_records::consumer_protocol::{
    decode_assignment, decode_subscription,
};
use ottla::protocol::internal_records::groups::GroupMetadataValue;
use ottla::protocol::internal_records::keys::GroupRecordKey;
use ottla::protocol::internal_records::metadata::MetadataRecord;
use ottla::protocol::internal_records::offsets::OffsetCommitValue;
use ottla::protocol::schema::{Schema, request_schema, response_schema};
use ottla::protocol::schema_walk::{MEMORY_FACTOR, MEMORY_FREE, walk};
use ottla::protocol::{ApiKey, ListenerRole, decode_body, read_request_header};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, proptest};
use proptests::author;

/// Counts what a thread has allocated, to hold decoding against its bound.
mod counting {
    #![expect(
        unsafe_code,
        reason = "the allocator's trait is unsafe; every call goes to the system's as it came"
    )]

    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    thread_local! {
        static LIVE: Cell<i64> = const { Cell::new(0) };
        static PEAK: Cell<i64> = const { Cell::new(0) };
    }

    struct Counting;

    #[global_allocator]
    static COUNTING: Counting = Counting;

    fn count(bytes: i64) {
        let live = LIVE.get() + bytes;
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
    }

    fn size(layout: Layout) -> i64 {
        i64::try_from(layout.size()).unwrap_or(i64::MAX)
    }

    // SAFETY: memory is the system allocator's; counting touches only cells of the thread that need no memory.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count(size(layout));
            // SAFETY: the caller's promise about `layout` is passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            count(-size(layout));
            // SAFETY: the pointer came from `alloc` above, with this layout.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    /// Runs `work` and returns what it made and how many bytes it held at most.
    pub(super) fn peak_of<T>(work: impl FnOnce() -> T) -> (T, u64) {
        let before = LIVE.get();
        PEAK.set(before);
        let made = work();
        (made, u64::try_from(PEAK.get() - before).unwrap_or(0))
    }
}

/// Which of an API's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

const SIDES: [Side; 2] = [Side::Request, Side::Response];

#[derive(Debug, PartialEq)]
enum Either {
    Request(RequestKind),
    Response(ResponseKind),
}

impl Side {
    fn schema(self, key: ApiKey) -> &'static Schema {
        match self {
            Self::Request => request_schema(key),
            Self::Response => response_schema(key),
        }
    }

    /// What the codec makes of `bytes`, and how many it leaves.
    fn decode(self, key: ApiKey, version: i16, bytes: &Bytes) -> Result<(Either, usize), String> {
        let mut bytes = bytes.clone();
        let message = match self {
            Self::Request => RequestKind::decode(key, &mut bytes, version).map(Either::Request),
            Self::Response => ResponseKind::decode(key, &mut bytes, version).map(Either::Response),
        };
        message.map(|message| (message, bytes.len())).map_err(|error| format!("{error:#}"))
    }
}

impl Either {
    fn encode(&self, version: i16) -> Bytes {
        let mut bytes = BytesMut::new();
        let outcome = match self {
            Self::Request(request) => request.encode(&mut bytes, version),
            Self::Response(response) => response.encode(&mut bytes, version),
        };
        assert!(outcome.is_ok(), "what was decoded can be encoded: {outcome:?}");
        bytes.freeze()
    }
}

/// Every API, side and version.
fn every_message() -> impl Iterator<Item = (ApiKey, Side, i16)> {
    ApiKey::iter().flat_map(|key| {
        SIDES.into_iter().flat_map(move |side| {
            let schema = side.schema(key);
            (schema.min_version..=schema.max_version).map(move |version| (key, side, version))
        })
    })
}

/// A message and the memory that its table says it takes.
fn write(
    schema: &Schema,
    version: i16,
    choices: &[u8],
    counts: Option<[usize; 2]>,
) -> (Bytes, usize) {
    let written = author::write(schema, version, choices, counts, &mut |_| None);
    (written.bytes, written.memory_bytes)
}

/// What decoding may hold, with some room for an error's text.
fn allowed(bytes: &Bytes) -> u64 {
    const ERROR_BYTES: u64 = 16 * 1024;
    MEMORY_FREE + MEMORY_FACTOR * u64::try_from(bytes.len()).expect("a length fits") + ERROR_BYTES
}

/// Decodes what a walk accepts and holds it against the bound; whether it was accepted.
fn decode_if_walked(key: ApiKey, side: Side, version: i16, bytes: &Bytes) -> bool {
    if walk(side.schema(key), version, bytes).is_err() {
        return false;
    }
    let (_, peak) = counting::peak_of(|| side.decode(key, version, bytes));
    assert!(peak <= allowed(bytes), "{key:?} {side:?} {version}: {peak} bytes for {}", bytes.len());
    true
}

fn choices() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn tables_and_codec_describe_the_same_messages(choices in choices()) {
        for (key, side, version) in every_message() {
            let context = || format!("{key:?} {side:?} {version}");
            let (written, memory_bytes) = write(side.schema(key), version, &choices, None);
            assert_eq!(walk(side.schema(key), version, &written), Ok(written.len()), "{}", context());
            let (decoded, peak) = counting::peak_of(|| side.decode(key, version, &written));
            let (message, left) = decoded.unwrap_or_else(|error| panic!("{}: {error}", context()));
            assert_eq!(left, 0, "{}", context());
            // The codec's handle on the frame is the one allocation that no table speaks of.
            assert!(peak <= u64::try_from(memory_bytes).expect("it is small") + 64, "{}: {peak} for {memory_bytes}", context());

            let encoded = message.encode(version);
            assert_eq!(walk(side.schema(key), version, &encoded), Ok(encoded.len()), "{}", context());
            let (again, left) = side.decode(key, version, &encoded).unwrap_or_else(|error| panic!("{}: {error}", context()));
            assert_eq!(left, 0, "{}", context());
            // Bytes rather than values: a quota may be NaN.
            assert_eq!(again.encode(version), encoded, "{}", context());
        }
    }

    #[test]
    fn damaged_messages_are_refused_or_cost_no_more_than_promised(
        choices in choices(),
        cut in any::<u16>(),
        damage in vec((any::<u16>(), vec(any::<u8>(), 1..6)), 0..4),
    ) {
        for (key, side, version) in every_message() {
            let mut bytes = write(side.schema(key), version, &choices, None).0.to_vec();
            for (place, new) in &damage {
                let place = usize::from(*place) % (bytes.len() + 1);
                let end = bytes.len().min(place + new.len());
                bytes.splice(place..end, new.iter().copied());
            }
            if cut % 3 == 0 {
                bytes.truncate(usize::from(cut / 3) % (bytes.len() + 1));
            }
            decode_if_walked(key, side, version, &bytes.into());
        }
    }

    #[test]
    fn any_bytes_are_refused_or_cost_no_more_than_promised(bytes in vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        for (key, side, version) in every_message() {
            decode_if_walked(key, side, version, &bytes);
        }
    }

    #[test]
    fn headers_bear_any_bytes(mut frame in vec(any::<u8>(), 0..40), is_known in any::<bool>()) {
        if is_known && frame.len() >= 4 {
            frame[0] = 0;
            frame[1] %= 80;
            frame[2] = 0;
            frame[3] %= 14;
        }
        for role in [ListenerRole::Broker, ListenerRole::Controller] {
            let mut bytes = Bytes::from(frame.clone());
            let _ = read_request_header(&mut bytes, role);
        }
        let _ = decode_body::<ProduceRequest>(&mut Bytes::from(frame), 9);
    }

    #[test]
    fn stored_records_bear_any_bytes(mut bytes in vec(any::<u8>(), 0..120), kind in 0_u8..32, version in 0_u8..5) {
        let records = |bytes: &[u8]| {
            let _ = MetadataRecord::decode(bytes);
            let _ = GroupRecordKey::decode(bytes);
            let _ = OffsetCommitValue::decode(bytes);
            let _ = GroupMetadataValue::decode(bytes);
            let _ = decode_subscription(&Bytes::copy_from_slice(bytes));
            let _ = decode_assignment(&Bytes::copy_from_slice(bytes));
        };
        records(&bytes);
        if bytes.len() >= 3 {
            bytes[..3].copy_from_slice(&[1, kind, version]);
            records(&bytes);
            bytes[..2].copy_from_slice(&[0, version]);
            records(&bytes);
        }
        let (_, peak) = counting::peak_of(|| records(&bytes));
        assert!(peak < 64 * 1024, "{peak} bytes for {}", bytes.len());
    }
}

#[test]
fn the_heaviest_messages_stay_within_the_bound() {
    let mut refused = 0;
    for key in ApiKey::iter() {
        for side in SIDES {
            let schema = side.schema(key);
            for counts in [[1, 1], [300, 1], [1, 300], [60, 60], [3000, 1], [1, 3000], [6000, 1]] {
                let (bytes, _) = write(schema, schema.max_version, &[], Some(counts));
                refused += usize::from(!decode_if_walked(key, side, schema.max_version, &bytes));
            }
        }
    }
    assert!(refused > 0, "thousands of unknown tags are too heavy");
}

#[test]
fn real_messages_are_far_from_the_bound() {
    // A consumer of 20,000 partitions in topics of one partition each, by names of eight letters.
    let topic = |index: u32| {
        let partition = fetch_request::FetchPartition::default().with_partition_max_bytes(1 << 20);
        fetch_request::FetchTopic::default()
            .with_topic(TopicName(format!("t{index:07}").into()))
            .with_partitions(vec![partition])
    };
    let request = FetchRequest::default().with_topics((0..20_000).map(topic).collect());
    let bytes = Either::Request(RequestKind::Fetch(request)).encode(11);
    let (_, peak) = counting::peak_of(|| Side::Request.decode(ApiKey::Fetch, 11, &bytes));
    assert!(
        peak < 6 * u64::try_from(bytes.len()).expect("a length fits"),
        "{peak} for {}",
        bytes.len()
    );
    assert_eq!(walk(request_schema(ApiKey::Fetch), 11, &bytes), Ok(bytes.len()));
}

fn check_default<T: Request + Default>()
where
    T::Response: Default,
{
    let key = ApiKey::try_from(T::KEY).expect("the codec knows its keys");
    check_versions(request_schema(key), &T::default());
    check_versions(response_schema(key), &T::Response::default());
}

fn check_versions<T: Encodable + Message>(schema: &Schema, message: &T) {
    let name = std::any::type_name::<T>();
    assert_eq!(
        (schema.min_version, schema.max_version),
        (T::VERSIONS.min, T::VERSIONS.max),
        "{name}"
    );
    for version in T::VERSIONS.min..=T::VERSIONS.max {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes, version).expect("a default can be encoded");
        assert_eq!(walk(schema, version, &bytes), Ok(bytes.len()), "{name} {version}");
    }
}

#[test]
fn defaults_of_every_api_are_accepted() {
    macro_rules! check {
        ($($request:ty),+ $(,)?) => {{
            $(check_default::<$request>();)+
            [$(<$request as Request>::KEY),+]
        }};
    }
    let checked = check!(
        ProduceRequest,
        FetchRequest,
        ListOffsetsRequest,
        MetadataRequest,
        OffsetCommitRequest,
        OffsetFetchRequest,
        FindCoordinatorRequest,
        JoinGroupRequest,
        HeartbeatRequest,
        LeaveGroupRequest,
        SyncGroupRequest,
        DescribeGroupsRequest,
        ListGroupsRequest,
        SaslHandshakeRequest,
        ApiVersionsRequest,
        CreateTopicsRequest,
        DeleteTopicsRequest,
        DeleteRecordsRequest,
        InitProducerIdRequest,
        OffsetForLeaderEpochRequest,
        AddPartitionsToTxnRequest,
        AddOffsetsToTxnRequest,
        EndTxnRequest,
        WriteTxnMarkersRequest,
        TxnOffsetCommitRequest,
        DescribeAclsRequest,
        CreateAclsRequest,
        DeleteAclsRequest,
        DescribeConfigsRequest,
        AlterConfigsRequest,
        AlterReplicaLogDirsRequest,
        DescribeLogDirsRequest,
        SaslAuthenticateRequest,
        CreatePartitionsRequest,
        CreateDelegationTokenRequest,
        RenewDelegationTokenRequest,
        ExpireDelegationTokenRequest,
        DescribeDelegationTokenRequest,
        DeleteGroupsRequest,
        ElectLeadersRequest,
        IncrementalAlterConfigsRequest,
        AlterPartitionReassignmentsRequest,
        ListPartitionReassignmentsRequest,
        OffsetDeleteRequest,
        DescribeClientQuotasRequest,
        AlterClientQuotasRequest,
        DescribeUserScramCredentialsRequest,
        AlterUserScramCredentialsRequest,
        VoteRequest,
        BeginQuorumEpochRequest,
        EndQuorumEpochRequest,
        DescribeQuorumRequest,
        AlterPartitionRequest,
        UpdateFeaturesRequest,
        EnvelopeRequest,
        FetchSnapshotRequest,
        DescribeClusterRequest,
        DescribeProducersRequest,
        BrokerRegistrationRequest,
        BrokerHeartbeatRequest,
        UnregisterBrokerRequest,
        DescribeTransactionsRequest,
        ListTransactionsRequest,
        AllocateProducerIdsRequest,
        ConsumerGroupHeartbeatRequest,
        ConsumerGroupDescribeRequest,
        ControllerRegistrationRequest,
        GetTelemetrySubscriptionsRequest,
        PushTelemetryRequest,
        AssignReplicasToDirsRequest,
        ListConfigResourcesRequest,
        DescribeTopicPartitionsRequest,
        ShareGroupHeartbeatRequest,
        ShareGroupDescribeRequest,
        ShareFetchRequest,
        ShareAcknowledgeRequest,
        AddRaftVoterRequest,
        RemoveRaftVoterRequest,
        UpdateRaftVoterRequest,
        InitializeShareGroupStateRequest,
        ReadShareGroupStateRequest,
        WriteShareGroupStateRequest,
        DeleteShareGroupStateRequest,
        ReadShareGroupStateSummaryRequest,
        DescribeShareGroupOffsetsRequest,
        AlterShareGroupOffsetsRequest,
        DeleteShareGroupOffsetsRequest,
    );
    assert!(ApiKey::iter().map(|key| key as i16).eq(checked));
}
