use super::changes::MetadataChanges;
use super::image::{MetadataImage, Provenance};
use super::replay::Inconsistent;
use crate::model::Offset;
use crate::protocol::internal_records::metadata::MetadataRecord;

/// An image being changed by records.
#[derive(Clone, Debug)]
pub struct MetadataDelta {
    before: MetadataImage,
    after: MetadataImage,
}

impl MetadataDelta {
    /// Starts from `image`, with nothing changed.
    #[must_use]
    pub fn new(image: &MetadataImage) -> Self {
        Self { before: image.clone(), after: image.clone() }
    }

    /// Applies one record. Markers of metadata transactions change nothing: the loader heeds them.
    ///
    /// # Errors
    ///
    /// [`Inconsistent`] when the record is about something that is not there; nothing has changed then.
    pub fn replay(&mut self, offset: Offset, record: &MetadataRecord) -> Result<(), Inconsistent> {
        self.after.replay(offset, record)
    }

    /// The image as it is after the records so far.
    #[must_use]
    pub const fn image(&self) -> &MetadataImage {
        &self.after
    }

    /// Says how much of the log the image holds now.
    pub const fn set_provenance(&mut self, provenance: Provenance) {
        self.after.provenance = provenance;
    }

    /// The new image, and what differs from the old one.
    #[must_use]
    pub fn freeze(self) -> (MetadataImage, MetadataChanges) {
        let changes = MetadataChanges::between(&self.before, &self.after);
        (self.after, changes)
    }
}
