use std::time::Duration;

use super::deciding::{Deciding, News, Random, Refusal, Request, Soft};
use crate::metadata::Endpoint;
use crate::model::{BrokerEpoch, NodeId};
use crate::protocol::internal_records::metadata::MetadataRecord;
use crate::state_machine::Decision;

/// Who counts as alive by the log alone, and has not been heard of since this controller became active?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnheardBrokers;

/// A broker that may have died together with the former controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnheardBroker {
    /// Who it is.
    pub id: NodeId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// Where it listens, if it lives.
    pub endpoints: Vec<Endpoint>,
}

impl Request for UnheardBrokers {
    type Outcome = Vec<UnheardBroker>;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, Vec<UnheardBroker>>, Refusal> {
        let own = deciding.settings.config.node_id;
        let unheard = deciding.heartbeats.unheard(deciding.image.cluster());
        let others = unheard.filter(|broker| broker.id != own).map(|broker| UnheardBroker {
            id: broker.id,
            epoch: broker.epoch,
            endpoints: broker.endpoints.clone(),
        });
        Ok(Decision::answer(others.collect()))
    }
}

/// Nobody listens where the broker should be. One that has not been heard of either since this controller became active is
/// fenced, unless it is heard in time; for others it is no news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerMissing {
    /// Who.
    pub broker_id: NodeId,
    /// Its registration.
    pub broker_epoch: BrokerEpoch,
    /// How long it still has to be heard.
    pub grace: Duration,
}

impl News for BrokerMissing {
    fn heard(&self, soft: &mut Soft<'_>) {
        soft.heartbeats.miss(self.broker_id, self.broker_epoch, soft.now + self.grace);
    }
}

/// The process of this broker was last heard of so long ago, by other means than a heartbeat: its session began then, and not
/// when this controller became active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerSilent {
    /// Who.
    pub broker_id: NodeId,
    /// For how long.
    pub silence: Duration,
}

impl News for BrokerSilent {
    fn heard(&self, soft: &mut Soft<'_>) {
        soft.heartbeats.last_heard(self.broker_id, soft.now.saturating_sub(self.silence));
    }
}
