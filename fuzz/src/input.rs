//! Choices out of a finite string of bytes, and checksums for bytes that come from there.

/// What is left of an input. When it is used up everything is zero, so that loops end.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// One byte.
    pub fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    /// A number of two bytes.
    pub fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// A choice below `limit`.
    pub fn below(&mut self, limit: u8) -> u8 {
        self.byte() % limit
    }

    /// Up to `count` bytes.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(count.min(self.0.len()));
        self.0 = tail;
        head
    }

    /// Bytes behind a length of two bytes.
    pub fn sized(&mut self) -> &'a [u8] {
        let count = usize::from(self.number());
        self.bytes(count)
    }

    /// An offset: small ones, some around 2^31, some at the very end.
    pub fn offset(&mut self) -> i64 {
        match self.byte() {
            byte @ 0..=239 => i64::from(byte),
            byte @ 240..=247 => i64::from(i32::MAX) - 4 + i64::from(byte - 240),
            byte @ 248..=255 => i64::MAX - i64::from(255 - byte),
        }
    }

    /// True when nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where a batch keeps its length, its checksum, and what the checksum covers.
const LENGTH_AT: usize = 8;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const COVERED_FROM: usize = 21;
const PREFIX_BYTES: usize = 12;

/// Gives each record batch in `bytes` the right format and checksum; a last one that claims more than there is gets a
/// length that fits.
pub fn mend_batches(mut bytes: &mut [u8]) {
    while bytes.len() >= 61 {
        let length: [u8; 4] =
            bytes[LENGTH_AT..PREFIX_BYTES].try_into().expect("four bytes are four bytes");
        let claimed = usize::try_from(i32::from_be_bytes(length)).ok();
        let rest = bytes.len() - PREFIX_BYTES;
        let length = claimed.filter(|length| (49..=rest).contains(length)).unwrap_or(rest);
        let field = i32::try_from(length).expect("inputs are short").to_be_bytes();
        bytes[LENGTH_AT..PREFIX_BYTES].copy_from_slice(&field);
        bytes[MAGIC_AT] = 2;
        let (batch, after) = bytes.split_at_mut(PREFIX_BYTES + length);
        let crc = crc32c::crc32c(&batch[COVERED_FROM..]).to_be_bytes();
        batch[CRC_AT..COVERED_FROM].copy_from_slice(&crc);
        bytes = after;
    }
}
