use std::fmt;
use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::record::Error;
use crate::record::lz4::{self, Lz4Reader};
use crate::record::snappy::{self, SnappyReader};

/// The largest zstd window a frame may ask for, as a power of two: what level 22 uses and Kafka's clients accept.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// How the records of a batch are compressed, all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952, as many members as there are.
    Gzip,
    /// Blocks behind the header that Java's snappy library writes; a bare block is read too.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// Every codec, by number.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in the attributes of a batch.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec with this number.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCodec`] above 4.
    pub const fn from_id(id: u8) -> Result<Self, Error> {
        match id {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            unknown => Err(Error::UnknownCodec(unknown)),
        }
    }

    /// Kafka's name, as `compression.type` has it (which also knows `uncompressed` for none).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec with this name; `uncompressed` is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "uncompressed" => Some(Self::None),
            _ => Self::ALL.into_iter().find(|codec| codec.name() == name),
        }
    }

    /// The level Kafka uses when none is configured; 0 for codecs without levels.
    #[must_use]
    pub const fn default_level(self) -> i32 {
        match self {
            Self::None | Self::Snappy => 0,
            Self::Gzip => -1,
            Self::Lz4 => 9,
            Self::Zstd => 3,
        }
    }

    /// Compresses `data`. The level of lz4 is only accepted: the encoder here knows one, a fast one.
    ///
    /// # Errors
    ///
    /// [`Error::CorruptCompression`] when the codec fails, which means that it got no memory.
    pub fn compress(self, data: &[u8], level: i32) -> Result<Vec<u8>, Error> {
        let compressed = match self {
            Self::None => Ok(data.to_vec()),
            Self::Gzip => gzip(data, level),
            Self::Snappy => snappy::compress(data),
            Self::Lz4 => lz4::compress(data),
            Self::Zstd => zstd::stream::encode_all(data, level),
        };
        compressed.map_err(|_| Error::CorruptCompression(self))
    }

    /// Decompresses `data` to at most `limit_bytes`. Memory grows with what comes out, not with what is claimed.
    /// Data that is not compressed is handed back as it is, whatever the limit.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] above the limit, [`Error::CorruptCompression`] when the codec refuses its data.
    pub fn decompress(self, data: &Bytes, limit_bytes: usize) -> Result<Bytes, Error> {
        let Some(decoder) = Decoder::open(self, data)? else { return Ok(data.clone()) };
        let first_guess = data.len().saturating_mul(2).min(limit_bytes);
        let mut out = Vec::with_capacity(first_guess);
        let read_bytes_max = u64::try_from(limit_bytes).unwrap_or(u64::MAX).saturating_add(1);
        decoder
            .take(read_bytes_max)
            .read_to_end(&mut out)
            .map_err(|_| Error::CorruptCompression(self))?;
        if out.len() > limit_bytes {
            return Err(Error::TooLarge { limit: limit_bytes });
        }
        Ok(Bytes::from(out))
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn gzip(data: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let level = u32::try_from(level)
        .map_or(flate2::Compression::default(), |level| flate2::Compression::new(level.min(9)));
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(data)?;
    encoder.finish()
}

/// Decompresses step by step.
pub(super) enum Decoder<'a> {
    Gzip(Box<MultiGzDecoder<&'a [u8]>>),
    Snappy(SnappyReader<'a>),
    Lz4(Lz4Reader<'a>),
    Zstd(zstd::stream::read::Decoder<'static, &'a [u8]>),
}

impl<'a> Decoder<'a> {
    /// `None` when there is nothing to decompress.
    pub(super) fn open(codec: Compression, data: &'a [u8]) -> Result<Option<Self>, Error> {
        let corrupt = |_| Error::CorruptCompression(codec);
        Ok(Some(match codec {
            Compression::None => return Ok(None),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(data))),
            Compression::Snappy => Self::Snappy(SnappyReader::new(data)),
            Compression::Lz4 => Self::Lz4(Lz4Reader::new(data)),
            Compression::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(data).map_err(corrupt)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(corrupt)?;
                Self::Zstd(decoder)
            }
        }))
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Snappy(decoder) => decoder.read(buffer),
            Self::Lz4(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}
