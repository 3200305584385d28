//! The ways from this node to the active controller.

use crate::api::ActiveController;
use crate::client::{self, ControllerChannel, ControllerChannelSettings};
use crate::config::NodeConfig;
use crate::controller;
use crate::environment::Runtime;
use crate::raft;

/// How many requests of clients are handed on at a time; others wait.
const FORWARDED_MAX: usize = 16;

/// How many questions of its own a broker asks at a time.
const ASKED_MAX: usize = 4;

/// One controller, and three ways to it, so that what one waits for does not hold up the others.
pub(super) struct Controllers<R: Runtime> {
    /// Registrations and heartbeats.
    pub(super) for_lifecycle: ActiveController<R>,
    /// What this broker needs to know or to have changed.
    pub(super) for_broker: ActiveController<R>,
    /// What clients ask.
    pub(super) for_clients: ActiveController<R>,
}

impl<R: Runtime> Controllers<R> {
    pub(super) fn new(
        runtime: &R,
        config: &NodeConfig,
        quorum: &raft::Handle<R>,
        local: controller::Handle,
    ) -> Self {
        let node = config.node_id;
        let channel = |purpose: &str, calls_max| {
            let listeners = config.controller_listener_names.clone();
            let quorum = quorum.clone();
            let settings = ControllerChannelSettings {
                request_timeout: config.lifecycle.controller_socket_timeout,
                connect_timeout: config.sockets.connection_setup_timeout,
                calls_max,
                ..ControllerChannelSettings::new(format!("{purpose}-{node}"))
            };
            let find = move || find(&quorum, &listeners);
            ControllerChannel::new(runtime.clone(), find, settings)
        };
        let of_leadership = quorum.clone();
        let is_local = move || of_leadership.leader_and_epoch().0 == Some(node);
        let heartbeats = channel("heartbeat", 1);
        let for_lifecycle = ActiveController::new(runtime.clone(), local, is_local, heartbeats);
        Self {
            for_broker: for_lifecycle.over(channel("broker", ASKED_MAX)),
            for_clients: for_lifecycle.over(channel("forwarding", FORWARDED_MAX)),
            for_lifecycle,
        }
    }
}

/// Where the leader of the quorum listens, as far as the quorum has told: by the listener that comes first here, or else
/// the first it has.
fn find<R: Runtime>(quorum: &raft::Handle<R>, listeners: &[String]) -> Option<client::Endpoint> {
    let (_, endpoints) = quorum.leader_endpoints()?;
    let named = listeners.iter().find_map(|name| endpoints.iter().find(|one| one.name == *name));
    let endpoint = named.or_else(|| endpoints.first())?;
    Some(client::Endpoint::new(endpoint.host.as_str(), endpoint.port))
}
