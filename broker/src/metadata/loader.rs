use bytes::Bytes;

use super::changes::MetadataChanges;
use super::delta::MetadataDelta;
use super::image::{MetadataImage, Provenance};
use super::replay::Inconsistent;
use crate::model::{LeaderEpoch, Offset, OffsetAndEpoch, Timestamp};
use crate::protocol::internal_records::{self, metadata::MetadataRecord};

/// One committed batch of the metadata log, as the quorum hands it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedBatch {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// The epoch of the leader that wrote it.
    pub epoch: LeaderEpoch,
    /// When it was appended.
    pub append_time: Timestamp,
    /// The values of its records, in order; empty for a control batch.
    pub records: Vec<Bytes>,
}

/// A new image, and what differs from the one before.
#[derive(Clone, Debug)]
pub struct Published {
    /// The cluster from now on.
    pub image: MetadataImage,
    /// What differs from the image published before.
    pub changes: MetadataChanges,
}

/// Why the metadata log cannot be loaded: this node must not serve from it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    /// Bytes that are no record, or one that Kafka 4.4 does not know.
    #[error("the metadata record at offset {offset} cannot be read")]
    Undecodable {
        /// Where.
        offset: Offset,
        /// Why.
        #[source]
        source: internal_records::Error,
    },
    /// A record that contradicts the ones before it.
    #[error(transparent)]
    Inconsistent(#[from] Inconsistent),
    /// A batch that does not follow on the one before.
    #[error("expected the metadata log to go on at offset {expected}, got {found}")]
    Gap {
        /// The next offset.
        expected: Offset,
        /// The batch's.
        found: Offset,
    },
}

/// Turns the committed metadata log into images. No I/O; one per node.
///
/// While a metadata transaction (KIP-868) is open the image stays as it was at its begin.
#[derive(Clone, Debug, Default)]
pub struct MetadataLoader {
    image: MetadataImage,
    next_offset: Offset,
    transaction: Option<MetadataDelta>,
}

impl MetadataLoader {
    /// Starts with nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The newest image.
    #[must_use]
    pub const fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// The offset that the next batch must begin at.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// True while the log loaded so far ends inside a metadata transaction.
    #[must_use]
    pub const fn is_in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Loads one batch. The new image has what the batch says and its offset, or what was before an open transaction.
    ///
    /// # Errors
    ///
    /// [`LoadError`]; the loader is as before then.
    pub fn load_batch(&mut self, batch: &CommittedBatch) -> Result<Published, LoadError> {
        if batch.base_offset != self.next_offset {
            let (expected, found) = (self.next_offset, batch.base_offset);
            return Err(LoadError::Gap { expected, found });
        }
        let mut delta = match &self.transaction {
            Some(transaction) => transaction.clone(),
            None => MetadataDelta::new(&self.image),
        };
        let provenance = |offset: Offset| Provenance {
            last: Some(OffsetAndEpoch { offset, epoch: batch.epoch }),
            last_append_time: batch.append_time,
        };
        let mut image = self.image.clone();
        let mut is_in_transaction = self.transaction.is_some();
        for (offset, value) in (batch.base_offset.value()..).map(Offset::new).zip(&batch.records) {
            let record = decode(offset, value)?;
            if let MetadataRecord::BeginTransaction(_) = record {
                expect_transaction(false, is_in_transaction, offset, "begins")?;
                delta.set_provenance(provenance(offset));
                image = delta.image().clone();
                is_in_transaction = true;
            } else if let MetadataRecord::EndTransaction(_) = record {
                expect_transaction(true, is_in_transaction, offset, "ends")?;
                is_in_transaction = false;
            } else if let MetadataRecord::AbortTransaction(_) = record {
                expect_transaction(true, is_in_transaction, offset, "aborts")?;
                delta = MetadataDelta::new(&image);
                is_in_transaction = false;
            } else {
                delta.replay(offset, &record)?;
            }
        }
        if is_in_transaction {
            self.transaction = Some(delta);
        } else {
            delta.set_provenance(provenance(batch.last_offset));
            image = delta.image().clone();
            self.transaction = None;
        }
        self.next_offset = batch.last_offset.plus(1);
        Ok(self.publish(image))
    }

    /// Loads a snapshot in place of everything so far. `end` is its first offset not contained and the epoch of its last.
    ///
    /// # Errors
    ///
    /// [`LoadError`]; the loader is as before then.
    pub fn load_snapshot(
        &mut self,
        end: OffsetAndEpoch,
        append_time: Timestamp,
        records: impl IntoIterator<Item = Bytes>,
    ) -> Result<Published, LoadError> {
        let last = Offset::from_wire(end.offset.value() - 1);
        let mut delta = MetadataDelta::new(&MetadataImage::default());
        for value in records {
            // Records of a snapshot have no offsets of their own: all of them speak of its last.
            let offset = last.unwrap_or(Offset::ZERO);
            delta.replay(offset, &decode(offset, &value)?)?;
        }
        delta.set_provenance(Provenance {
            last: last.map(|offset| OffsetAndEpoch { offset, epoch: end.epoch }),
            last_append_time: append_time,
        });
        self.transaction = None;
        self.next_offset = end.offset;
        Ok(self.publish(delta.image().clone()))
    }

    fn publish(&mut self, image: MetadataImage) -> Published {
        let changes = MetadataChanges::between(&self.image, &image);
        self.image = image.clone();
        Published { image, changes }
    }
}

/// Refuses a marker of a metadata transaction where none can stand: as Kafka, which halts on it.
fn expect_transaction(
    wanted: bool,
    is_open: bool,
    offset: Offset,
    what: &str,
) -> Result<(), Inconsistent> {
    if wanted == is_open {
        return Ok(());
    }
    let state = if is_open { "one is open" } else { "none is open" };
    Err(Inconsistent { offset, reason: format!("it {what} a metadata transaction while {state}") })
}

fn decode(offset: Offset, value: &[u8]) -> Result<MetadataRecord, LoadError> {
    MetadataRecord::decode(value).map_err(|source| LoadError::Undecodable { offset, source })
}

#[cfg(test)]
mod tests;
