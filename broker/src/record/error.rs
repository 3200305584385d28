use crate::model::ErrorCode;
use crate::record::Compression;

/// Why bytes are not the record batch that they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end before the batch does; more of them may make it whole.
    #[error("a batch of {needed} bytes is cut off after {available}")]
    Incomplete {
        /// Bytes from the start of the batch that must be there to go on.
        needed: usize,
        /// Bytes that are there.
        available: usize,
    },
    /// Only format 2 exists since Kafka 4.0.
    #[error("record format {0} is not supported, only 2 is")]
    UnsupportedMagic(i8),
    /// The length field says less than a header takes.
    #[error("a batch length of {0} is shorter than a header")]
    InvalidLength(i32),
    /// A base offset, last offset delta or record count is negative, or their sum leaves the range of offsets.
    #[error("offsets or count of the header are impossible")]
    InvalidHeader,
    /// More bytes than the one batch that was expected.
    #[error("{0} bytes follow the batch")]
    TrailingBytes(usize),
    /// The checksum does not belong to the bytes.
    #[error("checksum is {computed:#010x}, the header says {stored:#010x}")]
    ChecksumMismatch {
        /// What the header says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// A codec number that Kafka does not define.
    #[error("unknown compression codec {0}")]
    UnknownCodec(u8),
    /// The codec refuses its data.
    #[error("corrupt {} data", .0.name())]
    CorruptCompression(Compression),
    /// Decompressed, the records take more bytes than allowed.
    #[error("records take more than {limit} bytes when decompressed")]
    TooLarge {
        /// The most bytes allowed.
        limit: usize,
    },
    /// A length inside a record points outside it, or is longer than a number may be.
    #[error("malformed record")]
    MalformedRecord,
    /// More or fewer bytes of records than the record count accounts for.
    #[error("record count does not match the records")]
    WrongRecordCount,
    /// A control record whose key or value is not one.
    #[error("malformed control record")]
    MalformedControlRecord,
}

impl Error {
    /// What a client is told whose batch fails like this.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Incomplete { .. }
            | Self::InvalidLength(_)
            | Self::ChecksumMismatch { .. }
            | Self::CorruptCompression(_)
            | Self::TrailingBytes(_) => ErrorCode::CorruptMessage,
            Self::UnsupportedMagic(_)
            | Self::InvalidHeader
            | Self::UnknownCodec(_)
            | Self::MalformedRecord
            | Self::WrongRecordCount
            | Self::MalformedControlRecord => ErrorCode::InvalidRecord,
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
        }
    }
}
