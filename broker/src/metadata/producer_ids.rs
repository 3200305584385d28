use crate::model::ProducerId;
use crate::protocol::internal_records::metadata::ProducerIdsRecord;

/// Which producer ids have been given out. Source: KIP-730.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerIdsImage {
    pub(super) next: Option<ProducerId>,
}

impl ProducerIdsImage {
    /// The first id that no broker has been given yet.
    #[must_use]
    pub fn next(self) -> ProducerId {
        self.next.unwrap_or(ProducerId(0))
    }

    pub(super) fn set(&mut self, record: &ProducerIdsRecord) {
        self.next = Some(record.next_producer_id);
    }
}
