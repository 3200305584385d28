//! What a new controller does first: it looks which brokers died together with its predecessor.
//!
//! A broker whose process dies is noticed by the connection over which it heartbeats, but a new controller has none yet. So
//! it dials those who have not come by themselves. Refused is the only evidence: a process that is slow, or stopped, or
//! behind a cut link refuses nothing, and has its whole session.

use std::io;
use std::time::Duration;

use futures_util::future;
use tracing::debug;

use crate::controller::{self, BrokerMissing, BrokerSilent, UnheardBroker, UnheardBrokers};
use crate::environment::{Runtime, timeout};
use crate::model::LeaderEpoch;
use crate::raft;

/// How long a broker that refuses connections still has to be heard. One that lives has noticed by then that the former
/// controller is gone, and looked for the next.
const GRACE: Duration = Duration::from_millis(500);

/// How long one look takes at most, and how long after it the next is taken.
const LOOK: Duration = Duration::from_millis(250);

/// Looks after those who have not been heard of until there are none left, or another controls.
pub(super) async fn call<R: Runtime>(
    runtime: R,
    quorum: raft::Handle<R>,
    controller: controller::Handle,
    epoch: LeaderEpoch,
    listener: String,
) {
    if let Some((broker_id, at)) = quorum.last_heard() {
        let silence = runtime.now().since(at);
        let _ = controller.ask(BrokerSilent { broker_id, silence }).await;
    }
    while quorum.leading_epoch() == Some(epoch) {
        let Ok(unheard) = controller.ask(UnheardBrokers).await else { return };
        if unheard.is_empty() {
            return;
        }
        let looks = unheard.iter().map(|broker| is_missing(&runtime, broker, &listener));
        let found = future::join_all(looks).await;
        for (broker, _) in unheard.iter().zip(found).filter(|(_, is_missing)| *is_missing) {
            let (broker_id, broker_epoch) = (broker.id, broker.epoch);
            debug!(broker = broker_id.0, "nobody listens where this broker should be");
            let missing = BrokerMissing { broker_id, broker_epoch, grace: GRACE };
            let _ = controller.ask(missing).await;
        }
        runtime.sleep(LOOK).await;
    }
}

/// True when every address of the broker refuses connections.
async fn is_missing<R: Runtime>(runtime: &R, broker: &UnheardBroker, listener: &str) -> bool {
    let endpoints = &broker.endpoints;
    let named = endpoints.iter().find(|endpoint| endpoint.listener_name == listener);
    let Some(endpoint) = named.or_else(|| endpoints.first()) else { return false };
    let look = async {
        let addresses = runtime.resolve(&endpoint.host, endpoint.port).await.ok()?;
        for address in &addresses {
            match runtime.connect(*address).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Ok(_) | Err(_) => return None,
            }
        }
        (!addresses.is_empty()).then_some(())
    };
    timeout(runtime, LOOK, look).await.is_ok_and(|found| found.is_some())
}
