//! This node's part in the metadata quorum: who its voters are, and the wait until there is a leader.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tracing::{info, warn};

use super::storage::Storage;
use super::{Error, endpoints, storage};
use crate::config::{HostPort, NodeConfig, StaticVoter};
use crate::controller::{bootstrap_records, founding_records};
use crate::environment::{Runtime, Stopper, timeout};
use crate::model::Offset;
use crate::protocol::ListenerRole;
use crate::protocol::internal_records::metadata::MetadataRecord;
use crate::raft;

/// How long a node waits for the quorum before it says, again and again, that it does.
const SAY_SO: Duration = Duration::from_secs(5);

/// Refuses what this program does not have yet, saying so.
pub(super) fn check_supported(config: &NodeConfig) -> Result<(), Error> {
    let foreign = config
        .listeners
        .iter()
        .find(|listener| listener.protocol != crate::config::SecurityProtocol::Plaintext);
    match foreign {
        Some(listener) => Err(Error::Unsupported(format!(
            "listener {listener} uses {}: only PLAINTEXT is supported yet",
            listener.protocol.name()
        ))),
        None => Ok(()),
    }
}

/// Opens the metadata log and takes part in its quorum: as a voter, or looking on.
pub(super) async fn start<R: Runtime>(
    runtime: &R,
    config: &NodeConfig,
    storage: &Storage<R>,
    addresses: &BTreeMap<String, SocketAddr>,
    stop: &Stopper,
) -> Result<raft::Handle<R>, Error> {
    let own: Vec<raft::Endpoint> = endpoints(config, addresses, ListenerRole::Controller)
        .into_iter()
        .map(|endpoint| raft::Endpoint {
            name: endpoint.listener_name,
            host: endpoint.host,
            port: endpoint.port,
        })
        .collect();
    let local = storage::format_metadata(runtime, config, storage, own.clone()).await?;
    let quorum = &config.quorum;
    let listener_name = config.controller_listener_names.first().cloned().unwrap_or_default();
    let settings = raft::Settings {
        election_timeout: quorum.election_timeout,
        election_backoff_max: quorum.election_backoff_max,
        fetch_timeout: quorum.fetch_timeout,
        request_timeout: quorum.request_timeout,
        retry_backoff: quorum.retry_backoff,
        listener_name: listener_name.clone(),
        endpoints: if config.roles.controller { own } else { Vec::new() },
        joins_by_itself: config.roles.controller && quorum.is_auto_join_enabled,
        ..raft::Settings::new(storage.cluster_id.clone(), local)
    };
    let endpoint = |address: &HostPort| raft::Endpoint {
        name: listener_name.clone(),
        host: address.host.clone(),
        port: address.port,
    };
    let options = raft::Options {
        log_directory: config.metadata_log.directory.clone(),
        settings,
        static_voters: static_voters(config, endpoint),
        bootstrap: quorum.bootstrap_servers.iter().map(endpoint).collect(),
        fetch_bytes_max: quorum.fetch_max_bytes,
        snapshot_bytes_max: quorum.fetch_snapshot_max_bytes,
        segment_bytes: u64::try_from(config.metadata_log.segment_bytes).unwrap_or(u64::MAX),
        segment_ms: i64::try_from(config.metadata_log.segment_age.as_millis()).unwrap_or(i64::MAX),
        listener_name: listener_name.clone(),
    };
    Ok(raft::start(runtime.clone(), options, stop.stop()).await?)
}

/// What the cluster begins with if this node founds it: what Kafka's tool has written when it formatted the directory, as far
/// as this program can do it, or else everything that it can do.
pub(super) async fn bootstrap<R: Runtime>(
    runtime: &R,
    config: &NodeConfig,
) -> Result<Vec<MetadataRecord>, Error> {
    let asked = match raft::read_bootstrap(runtime.disk(), &config.metadata_log.directory).await {
        Ok(Some(asked)) => asked,
        Ok(None) => return Ok(bootstrap_records()),
        // It is needed once in the life of a cluster, and this is hardly that time: no reason not to start.
        Err(error) => {
            warn!(%error, "bootstrap.checkpoint cannot be read; it would only count in a new cluster");
            return Ok(bootstrap_records());
        }
    };
    let records: Result<Vec<_>, _> =
        asked.iter().map(|bytes| MetadataRecord::decode(bytes)).collect();
    let records = records.map_err(|error| Error::Metadata(error.to_string()))?;
    founding_records(records).ok_or_else(|| {
        let message =
            "bootstrap.checkpoint asks for a metadata.version that this program does not have";
        Error::Unsupported(message.to_owned())
    })
}

/// `controller.quorum.voters`. A node that is alone in there is formatted as the first voter of a quorum that others may
/// join.
fn static_voters(
    config: &NodeConfig,
    endpoint: impl Fn(&HostPort) -> raft::Endpoint,
) -> Option<raft::VoterSet> {
    let voters = &config.quorum.voters;
    if voters.is_empty() || storage::is_lone_voter(config) {
        return None;
    }
    let voter = |voter: &StaticVoter| raft::Voter {
        key: raft::ReplicaKey { id: voter.id, directory_id: None },
        endpoints: vec![endpoint(&voter.address)],
        kraft_version_min: 0,
        kraft_version_max: 1,
    };
    Some(raft::VoterSet::new(voters.iter().map(voter)))
}

/// Waits until this node has all that was committed when it first heard of a leader, and says up to where that is.
pub(super) async fn caught_up<R: Runtime>(
    runtime: &R,
    quorum: &raft::Handle<R>,
) -> Result<Offset, raft::Error> {
    let mut waited = false;
    loop {
        match timeout(runtime, SAY_SO, quorum.caught_up()).await {
            Ok(caught_up) => {
                if waited && caught_up.is_ok() {
                    info!("the metadata quorum has a leader, and this node its log");
                }
                return caught_up;
            }
            Err(_) => {
                waited = true;
                let (leader, epoch) = quorum.leader_and_epoch();
                let voters: Vec<i32> = quorum.voters().0.ids().map(|id| id.0).collect();
                warn!(
                    leader = leader.map(|id| id.0),
                    epoch = epoch.value(),
                    ?voters,
                    "waiting for the metadata quorum: a majority of its voters must run and reach one another"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
