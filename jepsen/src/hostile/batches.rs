//! Record batches for hostile producers: good ones, damaged ones, ones that lie under a correct checksum, and bombs.

use bytes::Bytes;
use ottla::model::{Offset, Timestamp};
use ottla::record::{Builder, Compression};

use crate::random::Random;

/// A choice of batches, made once.
#[derive(Debug)]
pub(super) struct Batches {
    all: Vec<Bytes>,
}

/// Where the checksum of a batch stands, and what it covers.
const CRC_AT: usize = 17;
const CRC_COVERS_FROM: usize = 21;

impl Batches {
    /// Batches of all codecs; bombs become `bomb_bytes` when decompressed.
    pub(super) fn new(random: &mut Random, bomb_bytes: usize) -> Self {
        let mut all = vec![Bytes::new(), Bytes::from_static(&[0; 100])];
        let zeros = vec![0; bomb_bytes];
        for codec in Compression::ALL {
            let good = build(codec, &[b"one", b"two", b"three"]);
            for _ in 0..20 {
                all.push(good.clone());
            }
            for _ in 0..30 {
                all.push(damaged(&good, random, false));
                all.push(damaged(&good, random, true));
            }
            for magic in [0, 1, 3, 0xff] {
                let mut old = good.to_vec();
                old[16] = magic;
                all.push(old.into());
            }
            if codec != Compression::None {
                all.push(build(codec, &[&zeros]));
                all.push(build(codec, &vec![b"".as_slice(); bomb_bytes / 64]));
            }
        }
        // Larger than any limit are no bombs but what they look like.
        all.retain(|batch| batch.len() < 900_000);
        Self { all }
    }

    pub(super) fn pick(&self, random: &mut Random) -> &Bytes {
        &self.all[random.index(self.all.len())]
    }
}

fn build(codec: Compression, values: &[&[u8]]) -> Bytes {
    let mut builder = Builder::new(Offset::ZERO, None, codec);
    for value in values {
        builder.append(Timestamp(1), None, Some(value), &[]);
    }
    builder.build().unwrap_or_default()
}

/// A few bytes changed behind the length; `is_sealed` makes the checksum right again.
fn damaged(batch: &Bytes, random: &mut Random, is_sealed: bool) -> Bytes {
    let mut bytes = batch.to_vec();
    for _ in 0..=random.below(4) {
        let place = 12 + random.index(bytes.len() - 12);
        bytes[place] = match random.below(3) {
            0 => 0xff,
            1 => 0x7f,
            _ => random.byte(),
        };
    }
    if is_sealed {
        let crc = crc32c::crc32c(&bytes[CRC_COVERS_FROM..]);
        bytes[CRC_AT..CRC_COVERS_FROM].copy_from_slice(&crc.to_be_bytes());
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use ottla::record::Batch;

    use super::*;

    #[test]
    fn lies_have_a_correct_checksum_and_damage_has_not() {
        let good = build(Compression::Lz4, &[b"value"]);
        let mut random = Random::new(1, 1);
        let verify = |bytes: Bytes| {
            let batch = Batch::split_first(&mut bytes.clone()).ok().flatten();
            batch.map(|batch| batch.verify_crc().is_ok())
        };
        assert_eq!(verify(good.clone()), Some(true));
        let mut lies = 0;
        for _ in 0..50 {
            lies += usize::from(verify(damaged(&good, &mut random, true)) == Some(true));
        }
        assert!(lies > 10, "{lies}");
    }
}
