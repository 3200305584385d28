//! Laws of the codecs: what goes in comes out, hostile data neither panics nor takes memory beyond the limit.

use bytes::Bytes;
use ottla::record::{Compression, Error};
use proptest::prelude::*;

fn codec() -> impl Strategy<Value = Compression> {
    prop::sample::select(&Compression::ALL[..])
}

fn compressing_codec() -> impl Strategy<Value = Compression> {
    prop::sample::select(&Compression::ALL[1..])
}

/// Text that compresses and noise that does not, up to several blocks of every codec.
fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2000),
        (prop::collection::vec(any::<u8>(), 1..40), 0_usize..6000)
            .prop_map(|(unit, count)| unit.repeat(count)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_goes_in_comes_out(codec in codec(), data in data(), level in -2_i32..12) {
        let compressed = Bytes::from(codec.compress(&data, level)?);
        prop_assert_eq!(codec.decompress(&compressed, data.len())?, data);
    }

    #[test]
    fn one_byte_above_the_limit_is_too_large(codec in compressing_codec(), data in data()) {
        prop_assume!(!data.is_empty());
        let limit = data.len() - 1;
        let compressed = Bytes::from(codec.compress(&data, codec.default_level())?);
        prop_assert_eq!(codec.decompress(&compressed, limit), Err(Error::TooLarge { limit }));
    }

    #[test]
    fn a_changed_stream_never_panics(codec in codec(), data in data(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut compressed = codec.compress(&data, codec.default_level())?;
        prop_assume!(!compressed.is_empty());
        let at = at.index(compressed.len());
        compressed[at] = byte;
        let out = codec.decompress(&Bytes::from(compressed), 1 << 20);
        prop_assert!(codec == Compression::None || out.map_or(true, |out| out.len() <= 1 << 20));
    }

    #[test]
    fn a_cut_stream_never_gives_all_of_the_data(codec in compressing_codec(), data in data(), at in any::<prop::sample::Index>()) {
        prop_assume!(!data.is_empty());
        let compressed = codec.compress(&data, codec.default_level())?;
        let at = at.index(compressed.len());
        let out = codec.decompress(&Bytes::copy_from_slice(&compressed[..at]), data.len());
        prop_assert!(out.map_or(true, |out| out != data));
    }

    #[test]
    fn any_bytes_never_panic(codec in codec(), data in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = codec.decompress(&Bytes::from(data), 1 << 16);
    }

    #[test]
    fn a_bare_snappy_block_is_read(data in prop::collection::vec(any::<u8>(), 1..=60)) {
        // A literal of at most 60 bytes is its tag and the bytes; the length stands before all.
        let length = u8::try_from(data.len())?;
        let mut block = vec![length, (length - 1) << 2];
        block.extend_from_slice(&data);
        prop_assert_eq!(Compression::Snappy.decompress(&Bytes::from(block), 60)?, data);
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let zeros = vec![0; 64 << 20];
    for codec in &Compression::ALL[1..] {
        let bomb =
            Bytes::from(codec.compress(&zeros, codec.default_level()).expect("zeros compress"));
        assert!(bomb.len() < zeros.len() / 15, "{codec} makes {} bytes", bomb.len());
        assert_eq!(
            codec.decompress(&bomb, 1 << 20),
            Err(Error::TooLarge { limit: 1 << 20 }),
            "{codec}"
        );
    }
}

#[test]
fn names_and_numbers_are_kafkas() {
    for (id, name) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let codec = Compression::from_name(name).expect("a name of Kafka's");
        assert_eq!((usize::from(codec.id()), codec.name()), (id, name));
        assert_eq!(Compression::from_id(codec.id()), Ok(codec));
    }
    assert_eq!(Compression::from_name("uncompressed"), Some(Compression::None));
    assert_eq!(Compression::from_name("producer"), None);
    assert_eq!(Compression::from_id(5), Err(Error::UnknownCodec(5)));
}
