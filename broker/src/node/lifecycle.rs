//! A broker's life in the eyes of the controller: registered, fenced, unfenced. Source: KIP-631.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::controller::{
    self, BrokerHeartbeat, Refusal, RegisterBroker, RegisterController, supported_features,
};
use crate::environment::{Elapsed, Runtime, Stop, select, timeout};
use crate::metadata::{ControllerRegistration, Endpoint, MetadataImage};
use crate::model::{BrokerEpoch, ClusterId, DirectoryId, ErrorCode, NodeId};

/// After the controller has seen us catch up, the next heartbeat asks to be unfenced at once.
const SOON: Duration = Duration::from_millis(10);

/// Between attempts to register.
const RETRY: Duration = Duration::from_millis(5);

/// Between heartbeats of a start: clients wait for its end.
const AT_START: Duration = Duration::from_millis(1);

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
    pub(super) controller: controller::Handle,
    pub(super) image: Arc<ArcSwap<MetadataImage>>,
    pub(super) identity: Identity,
    pub(super) heartbeat_interval: Duration,
}

impl<R: Runtime> Lifecycle<R> {
    /// Registers the broker; tries again until it works or `limit` has passed.
    pub(super) async fn register(&self, limit: Duration) -> Result<BrokerEpoch, Refusal> {
        self.ask_until_taken(&self.registration(), limit).await
    }

    /// Registers the controller of this process.
    pub(super) async fn register_controller(
        &self,
        registration: ControllerRegistration,
        limit: Duration,
    ) -> Result<(), Refusal> {
        self.ask_until_taken(&RegisterController(registration), limit).await
    }

    /// At start the controller may not be active yet, and our former life's session may not have ended.
    async fn ask_until_taken<Q: controller::Request + Clone + Sync>(
        &self,
        request: &Q,
        limit: Duration,
    ) -> Result<Q::Outcome, Refusal> {
        let attempts = async {
            loop {
                match self.ask(request.clone()).await {
                    Err(refusal)
                        if refusal.code.is_retriable()
                            || refusal.code == ErrorCode::DuplicateBrokerRegistration =>
                    {
                        debug!(%refusal, "not registered yet");
                        self.runtime.sleep(RETRY).await;
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

    async fn ask<Q: controller::Request>(&self, request: Q) -> Result<Q::Outcome, Refusal> {
        self.controller.ask(request).await.map_err(controller::Error::into_refusal)
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

    /// One heartbeat; says whether the controller holds us for unfenced, and whether we have caught up.
    async fn beat(&self, epoch: BrokerEpoch) -> Result<(bool, bool), Refusal> {
        let metadata_offset = self.image.load().provenance().last.map(|last| last.offset);
        let request = BrokerHeartbeat {
            broker_id: self.identity.node,
            broker_epoch: epoch,
            metadata_offset,
            wants_fence: false,
            wants_shutdown: false,
            offline_directories: Vec::new(),
            cordoned_directories: None,
        };
        let standing = self.ask(request).await?;
        Ok((!standing.state.is_fenced(), standing.is_caught_up))
    }

    /// Heartbeats until this broker is unfenced in its own image: clients find it then.
    pub(super) async fn until_unfenced(&self, epoch: BrokerEpoch) -> Result<(), Refusal> {
        loop {
            self.beat(epoch).await?;
            let image = self.image.load_full();
            if image
                .cluster()
                .broker(self.identity.node)
                .is_some_and(|own| own.epoch == epoch && !own.is_fenced)
            {
                info!(node = %self.identity.node, %epoch, "broker is unfenced");
                return Ok(());
            }
            self.runtime.sleep(AT_START).await;
        }
    }

    /// Heartbeats until `stop`; registers anew when the controller does not know us any more.
    pub(super) async fn run(self, mut epoch: BrokerEpoch, stop: Stop) {
        let mut wait = self.heartbeat_interval;
        loop {
            select! {
                () = stop.stopped() => return,
                () = self.runtime.sleep(wait) => {}
            }
            wait = self.heartbeat_interval;
            // The controller has heard a heartbeat before it answers, and it answers when what it saw is committed and
            // followed: with thousands of new partitions to open that takes longer than a session may be silent.
            let beat = timeout(&self.runtime, self.heartbeat_interval, self.beat(epoch)).await;
            let Ok(outcome) = beat else {
                wait = Duration::ZERO;
                continue;
            };
            match outcome {
                Ok((false, true)) => wait = SOON,
                Ok(_) => {}
                Err(refusal) if refusal.code == ErrorCode::StaleBrokerEpoch => {
                    warn!(%refusal, "registering again");
                    match self.ask(self.registration()).await {
                        Ok(new) => epoch = new,
                        Err(refusal) => warn!(%refusal, "registration refused"),
                    }
                }
                Err(refusal) => debug!(%refusal, "heartbeat not taken"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
