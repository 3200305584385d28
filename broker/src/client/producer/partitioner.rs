use crate::model::PartitionIndex;

/// The partition of a key, the same that Kafka's Java clients choose.
///
/// # Panics
///
/// When `partition_count` is not positive.
#[must_use]
pub fn partition_of_key(key: &[u8], partition_count: i32) -> PartitionIndex {
    assert!(partition_count > 0, "a topic has at least one partition");
    PartitionIndex((murmur2(key) & i32::MAX) % partition_count)
}

/// `MurmurHash` 2 with the seed that Kafka chose.
#[must_use]
pub fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    #[expect(clippy::cast_possible_truncation, reason = "the algorithm mixes in the low 32 bits")]
    let mut hash = SEED ^ (data.len() as u32);
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(M);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(M) ^ mixed.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    hash.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_kafka_publishes_them() {
        let check = |data: &[u8], expected: i32| assert_eq!(murmur2(data), expected, "{data:?}");
        check(b"21", -973_932_308);
        check(b"foobar", -790_332_482);
        check(b"a-little-bit-long-string", -985_981_536);
        check(b"a-little-bit-longer-string", -1_486_304_829);
        check(b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971);
        check(b"abc", 479_470_107);
    }

    #[test]
    fn a_negative_hash_still_names_a_partition() {
        let partition = partition_of_key(b"21", 7);
        assert_eq!(partition.0, (-973_932_308_i32 & i32::MAX) % 7);
    }
}
