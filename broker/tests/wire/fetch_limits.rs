//! How much a fetch gives and how long it waits. Source: KIP-74.

use super::*;

/// A topic of two partitions with three batches in the first and one in the second; its id, and the bytes of a batch.
async fn filled(client: &mut Client) -> (Uuid, usize) {
    assert_eq!(client.create_as(&[new_topic("two", 2, 1)]).await, [0]);
    let record = batch(builder(0), 1, &[b'x'; 100]);
    let bytes = record.len();
    for partition in [0, 0, 0, 1] {
        let response = client.ask(9, &produce("two", partition, -1, record.clone())).await;
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    }
    (client.id_of("two").await, bytes)
}

fn of(partition: i32, max_bytes: usize) -> FetchPartition {
    from(0)
        .with_partition(partition)
        .with_partition_max_bytes(i32::try_from(max_bytes).expect("small"))
}

/// Bytes of records by partition.
fn sizes(response: &FetchResponse) -> Vec<(i32, usize)> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    let bytes = |partition: &PartitionData| partition.records.as_ref().map_or(0, Bytes::len);
    partitions.map(|partition| (partition.partition_index, bytes(partition))).collect()
}

#[tokio::test]
async fn a_fetch_keeps_to_its_limits_but_gives_at_least_one_whole_batch() {
    let broker = Broker::start("fetch-max", &[]).await;
    let mut client = broker.client().await;
    let (id, bytes) = filled(&mut client).await;
    let mut check =
        async |max_bytes: usize, partitions: &[FetchPartition], expected: &[(i32, usize)]| {
            let request = fetch(id, (0, -1), partitions.to_vec())
                .with_max_bytes(i32::try_from(max_bytes).expect("small"));
            let response = client.ask(16, &request).await;
            assert_eq!(sizes(&response), expected, "at most {max_bytes}");
        };
    let much = 1 << 20;
    check(much, &[of(0, much), of(1, much)], &[(0, 3 * bytes), (1, bytes)]).await;
    check(much, &[of(1, much), of(0, much)], &[(1, bytes), (0, 3 * bytes)]).await;
    // The first batch of all is whole, however little was asked for; nothing is left for others.
    check(1, &[of(0, much), of(1, much)], &[(0, bytes), (1, 0)]).await;
    check(much, &[of(0, 1), of(1, 1)], &[(0, bytes), (1, 0)]).await;
    check(much, &[of(0, 1), of(1, bytes)], &[(0, bytes), (1, bytes)]).await;
    check(bytes + 1, &[of(1, much), of(0, much)], &[(1, bytes), (0, 0)]).await;
    broker.stop().await;
}

#[tokio::test]
async fn a_fetch_waits_for_its_minimum_over_all_partitions_and_not_when_something_is_wrong() {
    let broker = Broker::start("fetch-min", &[]).await;
    let (mut reader, mut writer) = (broker.client().await, broker.client().await);
    let (id, bytes) = filled(&mut writer).await;
    let at_end = |partition: i32, end: i64| of(partition, 1 << 20).with_fetch_offset(end);
    let minimum = i32::try_from(2 * bytes).expect("small");
    let waiting = |partitions: Vec<FetchPartition>| {
        fetch(id, (0, -1), partitions).with_min_bytes(minimum).with_max_wait_ms(60_000)
    };
    reader.send(16, &waiting(vec![at_end(0, 3), at_end(1, 1)])).await;
    for partition in [0, 1] {
        let record = batch(builder(0), 1, &[b'x'; 100]);
        writer.ask(9, &produce("two", partition, -1, record)).await;
    }
    let (_, fetched) = reader.receive::<FetchRequest>(16).await;
    assert_eq!(sizes(&fetched), [(0, bytes), (1, bytes)], "not before both are there");

    let before = broker.runtime.now();
    let wrong = reader.ask(16, &waiting(vec![at_end(0, 4), at_end(1, 99)])).await;
    let codes = wrong.responses[0].partitions.iter().map(|partition| partition.error_code);
    assert_eq!(codes.collect::<Vec<_>>(), [0, ErrorCode::OffsetOutOfRange.code()]);
    let impatient = waiting(vec![at_end(0, 4), at_end(1, 2)]).with_max_wait_ms(0);
    assert_eq!(sizes(&reader.ask(16, &impatient).await), [(0, 0), (1, 0)]);
    assert!(broker.runtime.now().since(before) < Duration::from_secs(30), "both at once");
    broker.stop().await;
}
