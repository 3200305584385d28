//! Where a node listens, and where it says that it does.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use super::Error;
use crate::config::{ListenerAddress, NodeConfig};
use crate::environment::{Listener as _, Runtime};
use crate::metadata::Endpoint;
use crate::protocol::ListenerRole;
use crate::server::Bound;

/// What is bound, and where each listener is, by name.
type Listening<R> = (Vec<Bound<<R as Runtime>::Listener>>, BTreeMap<String, SocketAddr>);

/// Opens all listeners.
pub(super) async fn bind<R: Runtime>(
    runtime: &R,
    config: &NodeConfig,
) -> Result<Listening<R>, Error> {
    let mut bound = Vec::new();
    let mut addresses = BTreeMap::new();
    for listener in &config.listeners {
        let failed = |source| Error::Listen { listener: listener.to_string(), source };
        let host = listener.host.as_deref().unwrap_or("0.0.0.0");
        let resolved = runtime.resolve(host, listener.port).await.map_err(failed)?;
        let address = resolved
            .first()
            .copied()
            .ok_or_else(|| failed(io::ErrorKind::AddrNotAvailable.into()))?;
        let socket = runtime.listen(address).await.map_err(failed)?;
        addresses.insert(listener.name.clone(), socket.local_address());
        let is_controller = config.controller_listener_names.contains(&listener.name);
        let role = if is_controller { ListenerRole::Controller } else { ListenerRole::Broker };
        bound.push(Bound { name: listener.name.clone(), role, listener: socket });
    }
    Ok((bound, addresses))
}

/// The advertised listeners of one role, with the ports and addresses that were really bound where none were given.
pub(super) fn endpoints(
    config: &NodeConfig,
    addresses: &BTreeMap<String, SocketAddr>,
    role: ListenerRole,
) -> Vec<Endpoint> {
    let is_wanted = |listener: &&ListenerAddress| {
        let is_controller = config.controller_listener_names.contains(&listener.name);
        is_controller == (role == ListenerRole::Controller)
    };
    config
        .advertised_listeners
        .iter()
        .filter(is_wanted)
        .map(|listener| {
            let bound = addresses.get(&listener.name);
            let own_host = || match bound.map(SocketAddr::ip) {
                Some(ip) if !ip.is_unspecified() => ip.to_string(),
                Some(_) | None => "localhost".to_owned(),
            };
            let host = listener.host.clone().filter(|host| host != "0.0.0.0" && host != "::");
            Endpoint {
                listener_name: listener.name.clone(),
                host: host.unwrap_or_else(own_host),
                port: if listener.port == 0 {
                    bound.map_or(0, SocketAddr::port)
                } else {
                    listener.port
                },
                security_protocol: listener.protocol.id(),
            }
        })
        .collect()
}
