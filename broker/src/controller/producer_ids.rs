use super::deciding::{Deciding, Random, Refusal, Request};
use crate::model::{BrokerEpoch, ErrorCode, NodeId, ProducerId};
use crate::protocol::internal_records::metadata::{MetadataRecord, ProducerIdsRecord};
use crate::state_machine::Decision;

/// How many producer ids a broker gets at a time.
const BLOCK_LENGTH: i32 = 1000;

/// A broker needs producer ids to give out. Source: KIP-730.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocateProducerIds {
    /// Who asks.
    pub broker_id: NodeId,
    /// Its registration.
    pub broker_epoch: BrokerEpoch,
}

/// Ids that one broker may give out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first.
    pub first: ProducerId,
    /// How many.
    pub length: i32,
}

impl Request for AllocateProducerIds {
    type Outcome = ProducerIdBlock;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, ProducerIdBlock>, Refusal> {
        deciding.check_broker_epoch(self.broker_id, self.broker_epoch)?;
        let first = deciding.image.producer_ids().next();
        let Some(next) = first.0.checked_add(i64::from(BLOCK_LENGTH)) else {
            let message = "Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit";
            return Err(Refusal::new(ErrorCode::UnknownServerError, message));
        };
        let record = ProducerIdsRecord {
            broker_id: self.broker_id,
            broker_epoch: self.broker_epoch,
            next_producer_id: ProducerId(next),
        };
        let block = ProducerIdBlock { first, length: BLOCK_LENGTH };
        Ok(Decision::new(vec![record.into()], block))
    }
}
