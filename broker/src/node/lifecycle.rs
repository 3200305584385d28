//! A broker's life in the eyes of the controller: registered, fenced, unfenced. Source: KIP-631.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::api::{ActiveController, Remote};
use crate::controller::{
    BrokerHeartbeat, BrokerStanding, BrokerState, Refusal, RegisterBroker, RegisterController,
    supported_features,
};
use crate::environment::{Elapsed, Runtime, Stop, Stopper, select, timeout};
use crate::metadata::{ControllerRegistration, Endpoint, MetadataImage};
use crate::model::{BrokerEpoch, ClusterId, DirectoryId, ErrorCode, NodeId};

/// After the controller has seen us catch up, the next heartbeat asks to be unfenced at once.
const SOON: Duration = Duration::from_millis(10);

/// Between attempts to register: the first pause, and the longest.
const RETRY: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_millis(100);

/// Between heartbeats of a start: clients wait for its end.
const AT_START: Duration = Duration::from_millis(1);
const AT_START_MAX: Duration = Duration::from_millis(50);

/// Between heartbeats of a broker whose leaderships are being moved.
const WHEN_LEAVING: Duration = Duration::from_millis(50);

/// What this broker says about itself.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) cluster_id: ClusterId,
    pub(super) node: NodeId,
    pub(super) incarnation: Uuid,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) rack: Option<String>,
    pub(super) directories: Vec<DirectoryId>,
    pub(super) previous_epoch: Option<BrokerEpoch>,
}

/// Keeps this broker registered and heard of.
pub(super) struct Lifecycle<R: Runtime> {
    pub(super) runtime: R,
    pub(super) controller: ActiveController<R>,
    pub(super) image: Arc<ArcSwap<MetadataImage>>,
    pub(super) identity: Identity,
    pub(super) heartbeat_interval: Duration,
    /// The log directories that have failed.
    pub(super) offline: Box<dyn Fn() -> Vec<DirectoryId> + Send + Sync>,
    /// Told of the epoch of each registration.
    pub(super) registered: Box<dyn Fn(BrokerEpoch) + Send + Sync>,
}

/// How the node tells its lifecycle to end, and hears that it has.
#[derive(Clone, Default)]
pub(super) struct Departure {
    /// Pulled when this broker wants to stop.
    pub(super) wanted: Stopper,
    /// Pulled when the controller has let it go, or there is nothing to be let go from.
    pub(super) granted: Stopper,
}

impl<R: Runtime> Lifecycle<R> {
    /// Registers the broker; tries again until it works or `limit` has passed.
    pub(super) async fn register(&self, limit: Duration) -> Result<BrokerEpoch, Refusal> {
        let epoch = self.ask_until_taken(&self.registration(), limit).await?;
        (self.registered)(epoch);
        Ok(epoch)
    }

    /// Registers the controller of this process.
    pub(super) async fn register_controller(
        &self,
        registration: ControllerRegistration,
        limit: Duration,
    ) -> Result<(), Refusal> {
        self.ask_until_taken(&RegisterController(registration), limit).await
    }

    /// Registers the controller of a node that is nothing else, however long that takes.
    pub(super) async fn keep_controller_registered(
        &self,
        registration: ControllerRegistration,
        stop: Stop,
    ) {
        loop {
            let attempt = self.register_controller(registration.clone(), self.heartbeat_interval);
            let outcome = select! {
                () = stop.stopped() => return,
                outcome = attempt => outcome,
            };
            match outcome {
                Ok(()) => return,
                Err(refusal) => debug!(%refusal, "the controller is not registered yet"),
            }
            select! {
                () = stop.stopped() => return,
                () = self.runtime.sleep(self.heartbeat_interval) => {}
            }
        }
    }

    /// At start the controller may not be active yet, and our former life's session may not have ended.
    async fn ask_until_taken<Q: Remote>(
        &self,
        request: &Q,
        limit: Duration,
    ) -> Result<Q::Outcome, Refusal> {
        let attempts = async {
            let mut pause = RETRY;
            loop {
                match self.controller.ask(request, limit).await {
                    Err(refusal)
                        if refusal.code.is_retriable()
                            || refusal.code == ErrorCode::DuplicateBrokerRegistration =>
                    {
                        debug!(%refusal, "not registered yet");
                        self.runtime.sleep(pause).await;
                        pause = (pause * 2).min(RETRY_MAX);
                    }
                    done => return done,
                }
            }
        };
        timeout(&self.runtime, limit, attempts).await.unwrap_or_else(|Elapsed| {
            let message = "the controller did not take the registration in time";
            Err(Refusal::new(ErrorCode::RequestTimedOut, message))
        })
    }

    fn registration(&self) -> RegisterBroker {
        let identity = self.identity.clone();
        RegisterBroker {
            cluster_id: identity.cluster_id,
            broker_id: identity.node,
            incarnation_id: identity.incarnation,
            endpoints: identity.endpoints,
            features: supported_features(),
            rack: identity.rack,
            directories: identity.directories,
            previous_epoch: identity.previous_epoch,
            is_migrating_zk_broker: false,
        }
    }

    /// One heartbeat, tried for one interval; says what the controller holds us for, and whether we have caught up.
    async fn beat(
        &self,
        epoch: BrokerEpoch,
        wants_shutdown: bool,
    ) -> Result<BrokerStanding, Refusal> {
        let metadata_offset = self.image.load().provenance().last.map(|last| last.offset);
        let request = BrokerHeartbeat {
            broker_id: self.identity.node,
            broker_epoch: epoch,
            metadata_offset,
            wants_fence: false,
            wants_shutdown,
            offline_directories: (self.offline)(),
            cordoned_directories: None,
            connection: None,
        };
        self.controller.ask(&request, self.heartbeat_interval).await
    }

    /// Heartbeats until this broker is unfenced in its own image: clients find it then. Says the epoch it has then.
    pub(super) async fn until_unfenced(
        &self,
        mut epoch: BrokerEpoch,
        limit: Duration,
    ) -> Result<BrokerEpoch, Refusal> {
        let mut pause = AT_START;
        loop {
            match self.beat(epoch, false).await {
                Ok(_) => {}
                Err(refusal) if refusal.code == ErrorCode::StaleBrokerEpoch => {
                    epoch = self.register(limit).await?;
                }
                // There is no controller at the moment: whoever comes next knows our registration.
                Err(refusal) if refusal.code.is_retriable() => debug!(%refusal, "not unfenced yet"),
                Err(refusal) => return Err(refusal),
            }
            let image = self.image.load_full();
            if image
                .cluster()
                .broker(self.identity.node)
                .is_some_and(|own| own.epoch == epoch && !own.is_fenced)
            {
                info!(node = %self.identity.node, %epoch, "broker is unfenced");
                return Ok(epoch);
            }
            self.runtime.sleep(pause).await;
            pause = (pause * 2).min(AT_START_MAX);
        }
    }

    /// Heartbeats until `stop`; registers anew when the controller does not know us any more. Once a departure is wanted it
    /// says so, and ends when the controller grants it: another heartbeat would let the broker in again.
    pub(super) async fn run(self, mut epoch: BrokerEpoch, departure: Departure, stop: Stop) {
        let mut wait = self.heartbeat_interval;
        let wanted = departure.wanted.stop();
        loop {
            let mut is_leaving = wanted.is_stopped();
            select! {
                () = stop.stopped() => return,
                () = wanted.stopped(), if !is_leaving => is_leaving = true,
                // The controller takes that for our death, unless it hears otherwise; and it may be its own.
                () = self.controller.disconnected() => self.runtime.sleep(SOON).await,
                () = self.runtime.sleep(wait) => {}
            }
            wait = if is_leaving { WHEN_LEAVING } else { self.heartbeat_interval };
            // The controller has heard a heartbeat before it answers, and it answers when what it saw is committed and
            // followed: with thousands of new partitions to open that takes longer than a session may be silent. So one
            // that is not answered within an interval is followed by the next.
            match self.beat(epoch, is_leaving).await {
                Ok(standing) if standing.state == BrokerState::ShutdownNow => {
                    info!(node = %self.identity.node, "the controller has let this broker go");
                    departure.granted.pull();
                    return;
                }
                Ok(standing) if standing.state.is_fenced() && standing.is_caught_up => wait = SOON,
                Ok(_) => {}
                Err(refusal) if refusal.code == ErrorCode::StaleBrokerEpoch && is_leaving => {
                    departure.granted.pull();
                    return;
                }
                Err(refusal) if refusal.code == ErrorCode::StaleBrokerEpoch => {
                    warn!(%refusal, "registering again");
                    match self.controller.ask(&self.registration(), self.heartbeat_interval).await {
                        Ok(new) => {
                            epoch = new;
                            (self.registered)(new);
                            wait = SOON;
                        }
                        Err(refusal) => warn!(%refusal, "registration refused"),
                    }
                }
                Err(refusal) => {
                    debug!(%refusal, "heartbeat not taken");
                    if refusal.code == ErrorCode::RequestTimedOut {
                        wait = Duration::ZERO;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
