//! Settings that act while the node runs, other than those that topics inherit. Source: KIP-226.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{info, warn};

use crate::config::{NodeConfig, SocketConfig};
use crate::environment::Runtime;
use crate::metadata::MetadataImage;
use crate::server::{Admission, AdmissionLimits};

/// Hands what the cluster says of this node to those it concerns.
pub(super) struct DynamicSettings<R: Runtime> {
    runtime: R,
    config: Arc<NodeConfig>,
    /// Who may connect to the listeners of the broker, and of the controller: each counts for itself, as in Kafka.
    admissions: [Admission; 2],
}

impl<R: Runtime> DynamicSettings<R> {
    pub(super) const fn new(
        runtime: R,
        config: Arc<NodeConfig>,
        admissions: [Admission; 2],
    ) -> Self {
        Self { runtime, config, admissions }
    }

    /// Lets what `image` says act. What does not go together leaves everything as it is.
    pub(super) async fn apply(&self, image: &MetadataImage) {
        let dynamic = image.configurations().of_node(self.config.node_id);
        let limits = match self.config.updated(dynamic) {
            Ok(updated) => admission_limits(&self.runtime, &updated.sockets).await,
            Err(error) => Err(error.to_string()),
        };
        match limits {
            Ok(limits) => {
                for admission in &self.admissions {
                    if admission.set_limits(limits.clone()) {
                        info!(?limits, "limits of connections changed");
                    }
                }
            }
            Err(error) => {
                warn!(%error, "what is set for this broker cannot act; the former settings stay");
            }
        }
    }
}

/// What the configuration says about the number of connections; names of hosts are looked up, and stand for the first of
/// their addresses, as in Kafka.
pub(super) async fn admission_limits<R: Runtime>(
    runtime: &R,
    sockets: &SocketConfig,
) -> Result<AdmissionLimits, String> {
    let mut overrides = BTreeMap::new();
    for (host, max) in &sockets.max_connections_per_ip_overrides {
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let found = runtime.resolve(name, 0).await.map_err(|error| error.to_string());
        let address = found.and_then(|found| {
            found.first().copied().ok_or_else(|| "the host has no address".to_owned())
        });
        let address = address
            .map_err(|error| format!("max.connections.per.ip.overrides names {host}: {error}"))?;
        overrides.insert(address.ip().to_canonical(), *max);
    }
    Ok(AdmissionLimits {
        connections_max: sockets.max_connections,
        connections_per_ip_max: sockets.max_connections_per_ip,
        connections_per_ip_overrides: overrides,
    })
}
