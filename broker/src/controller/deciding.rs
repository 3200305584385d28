use std::time::Duration;

use super::Settings;
use super::heartbeats::Heartbeats;
use crate::metadata::{MetadataImage, MetadataVersion};
use crate::model::{BrokerEpoch, ErrorCode, NodeId, Offset};
use crate::protocol::internal_records::metadata::MetadataRecord;
use crate::state_machine::Decision;

/// A source of random bits; what is decided follows from it and the inputs alone.
pub type Random<'a> = dyn FnMut() -> u64 + 'a;

/// Why a request, or a part of one, cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {}", .message.as_deref().unwrap_or("no message"))]
pub struct Refusal {
    /// Kafka's code.
    pub code: ErrorCode,
    /// Kafka's words; `None` where Kafka has none but the code's own.
    pub message: Option<String>,
}

impl Refusal {
    /// A code with Kafka's words.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }
}

/// A code without words of its own.
impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None }
    }
}

/// Everything a decision may look at.
#[derive(Clone, Copy)]
pub struct Deciding<'a> {
    pub(super) image: &'a MetadataImage,
    pub(super) version: MetadataVersion,
    pub(super) settings: &'a Settings,
    pub(super) heartbeats: &'a Heartbeats,
    /// The offset that the first record of the decision is going to have.
    pub(super) next_offset: Offset,
    pub(super) now: Duration,
}

/// What the controller can be asked. Deciding changes nothing.
pub trait Request: Send + 'static {
    /// What the one who asked is told once the records are committed.
    type Outcome: Send + 'static;

    /// True when the records are only right together: they go into one batch then.
    const IS_ATOMIC: bool = true;

    /// Decides the records and the outcome.
    ///
    /// # Errors
    ///
    /// [`Refusal`] of the whole request; refusals of its parts stand in the outcome.
    fn decide(
        &self,
        deciding: &Deciding<'_>,
        random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, Self::Outcome>, Refusal>;

    /// Notes what is not for the log: who was heard of. Called once the records, if any, are appended.
    fn note(&self, _outcome: &Self::Outcome, _soft: &mut Soft<'_>) {}
}

/// What the controller is told, and has nothing to decide about: a request that is only noted.
pub trait News: Send + 'static {
    /// Notes it beside the log.
    fn heard(&self, soft: &mut Soft<'_>);
}

impl<N: News> Request for N {
    type Outcome = ();

    fn decide(
        &self,
        _deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, ()>, Refusal> {
        Ok(Decision::answer(()))
    }

    fn note(&self, _outcome: &(), soft: &mut Soft<'_>) {
        self.heard(soft);
    }
}

/// What is kept beside the log, and when it is.
pub struct Soft<'a> {
    pub(super) heartbeats: &'a mut Heartbeats,
    pub(super) now: Duration,
    /// The last offset written so far.
    pub(super) last_offset: Offset,
}

impl Deciding<'_> {
    /// Refuses a broker that is not registered with this epoch.
    pub(super) fn check_broker_epoch(&self, id: NodeId, epoch: BrokerEpoch) -> Result<(), Refusal> {
        let message = match self.image.cluster().broker(id) {
            Some(broker) if broker.epoch == epoch => return Ok(()),
            Some(broker) => {
                format!("Expected broker epoch {}, but got broker epoch {epoch}", broker.epoch)
            }
            None => format!("No broker registration found for broker id {id}"),
        };
        Err(Refusal::new(ErrorCode::StaleBrokerEpoch, message))
    }
}
