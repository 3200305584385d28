//! Log directories at start: who they belong to, and an empty one is formatted by itself.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use tracing::{info, warn};
use uuid::Uuid;

use super::Error;
use crate::config::{HostPort, NodeConfig};
use crate::environment::{Disk, Runtime};
use crate::log::{DirectoryError, LogDirectory, META_PROPERTIES};
use crate::model::{ClusterId, uuid_to_text};
use crate::raft::{self, Endpoint, ReplicaKey, Voter, VoterSet};

/// All log directories of a node, open and locked; the first is the one with the metadata log.
pub(super) struct Storage<R: Runtime> {
    pub(super) cluster_id: ClusterId,
    /// `log.dirs`, in that order.
    pub(super) directories: Vec<Arc<LogDirectory<R>>>,
    /// The one with the metadata log; also in `directories` unless it has a place of its own.
    pub(super) metadata: Arc<LogDirectory<R>>,
}

/// Opens what is formatted and formats what is empty.
pub(super) async fn open<R: Runtime>(
    runtime: &R,
    config: &NodeConfig,
) -> Result<Storage<R>, Error> {
    let metadata_path = &config.metadata_log.directory;
    let created = runtime.disk().create_directory(metadata_path).await;
    created.map_err(|source| DirectoryError::Io { path: metadata_path.clone(), source })?;
    // Before it is opened: even a lock would be a file in somebody else's directory.
    refuse_foreign(runtime, metadata_path).await?;
    let is_lone = is_lone_voter(config);
    let cluster_id = match LogDirectory::open(
        runtime.clone(),
        metadata_path.clone(),
        None,
        config.node_id,
    )
    .await
    {
        Ok(directory) => directory.cluster_id().clone(),
        Err(DirectoryError::NotFormatted(path)) if !is_lone => {
            return Err(Error::NotFormatted(path));
        }
        Err(DirectoryError::NotFormatted(_)) => ClusterId::new(uuid_to_text(random_uuid(runtime))),
        Err(error) => return Err(error.into()),
    };
    let mut directories = Vec::new();
    for path in &config.log_dirs {
        match open_one(runtime, path, &cluster_id, config).await {
            Ok(directory) => directories.push(directory),
            // One bad disk does not stop a node with others (KIP-112); the metadata log's does.
            Err(Error::Directory(error @ DirectoryError::Io { .. }))
                if path != metadata_path && config.log_dirs.len() > 1 =>
            {
                warn!(%error, "a log directory is left out");
            }
            Err(error) => return Err(error),
        }
    }
    let own = directories.iter().find(|directory| directory.path() == metadata_path).cloned();
    let metadata = match own {
        Some(directory) => directory,
        None => open_one(runtime, metadata_path, &cluster_id, config).await?,
    };
    Ok(Storage { cluster_id, directories, metadata })
}

async fn open_one<R: Runtime>(
    runtime: &R,
    path: &Path,
    cluster_id: &ClusterId,
    config: &NodeConfig,
) -> Result<Arc<LogDirectory<R>>, Error> {
    refuse_foreign(runtime, path).await?;
    if LogDirectory::format(runtime, path, cluster_id, config.node_id).await? {
        info!(path = %path.display(), %cluster_id, node = %config.node_id, "formatted an empty log directory");
    }
    Ok(LogDirectory::open(runtime.clone(), path.to_path_buf(), Some(cluster_id), config.node_id)
        .await?)
}

/// An unformatted directory with things in it is somebody else's, unless all there is is what an own format left that lost
/// power before the end.
pub(super) async fn refuse_foreign<R: Runtime>(runtime: &R, path: &Path) -> Result<(), Error> {
    let entries = match runtime.disk().list(path).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(DirectoryError::Io { path: path.to_path_buf(), source }.into()),
    };
    if entries.iter().any(|entry| entry.name == META_PROPERTIES) {
        return Ok(());
    }
    let is_foreign = |name: &str| !name.starts_with('.') && !OWN_OR_NOBODYS.contains(&name);
    let foreign = entries.iter().find(|entry| is_foreign(&entry.name));
    match foreign {
        Some(entry) => {
            Err(Error::ForeignDirectory { path: path.to_path_buf(), found: entry.name.clone() })
        }
        None => Ok(()),
    }
}

/// True when this node is the only voter that its configuration knows: it may found a cluster on an empty disk without being
/// told to. A bootstrap server counts as this node when it is one of its own controller listeners.
pub(super) fn is_lone_voter(config: &NodeConfig) -> bool {
    if !config.roles.controller {
        return false;
    }
    let quorum = &config.quorum;
    let is_own_listener = |server: &HostPort| {
        let mut own = config.advertised_listeners.iter().chain(&config.listeners);
        own.any(|listener| {
            let host = listener.host.as_deref().unwrap_or("0.0.0.0");
            let is_own_host = host == server.host
                || (host == "0.0.0.0" || host == "::" || is_loopback(host))
                    && is_loopback(&server.host);
            config.controller_listener_names.contains(&listener.name)
                // A port that the system chooses is known to nobody else.
                && (listener.port == server.port || listener.port == 0)
                && is_own_host
        })
    };
    quorum.voters.iter().all(|voter| voter.id == config.node_id)
        && quorum.bootstrap_servers.iter().all(is_own_listener)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Begins the metadata log of a lone voter where there is none; whoever is one of several is told its voters when it is
/// formatted, or finds them in the log.
pub(super) async fn format_metadata<R: Runtime>(
    runtime: &R,
    config: &NodeConfig,
    storage: &Storage<R>,
    endpoints: Vec<Endpoint>,
) -> Result<ReplicaKey, Error> {
    let directory = &config.metadata_log.directory;
    let key = ReplicaKey::new(config.node_id, storage.metadata.id());
    if !is_lone_voter(config) || raft::is_formatted(runtime.disk(), directory).await? {
        return Ok(key);
    }
    let voters =
        VoterSet::new([Voter { key, endpoints, kraft_version_min: 0, kraft_version_max: 1 }]);
    // What a cluster begins with is written into the log by its first active controller, for others to follow.
    raft::format(runtime.disk(), directory, voters, Vec::new(), runtime.wall_clock()).await?;
    Ok(key)
}

/// A random (version 4) uuid that reads well in Kafka's text form: none of Kafka's begins with a dash.
pub(super) fn random_uuid<R: Runtime>(runtime: &R) -> Uuid {
    loop {
        let bits = (u128::from(runtime.random()) << 64) | u128::from(runtime.random());
        let uuid = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
        if !uuid_to_text(uuid).starts_with('-') {
            return uuid;
        }
    }
}

/// What may be in a directory that is to be formatted: what a file system puts there, and what is written before
/// `meta.properties` is whole.
const OWN_OR_NOBODYS: [&str; 4] =
    ["lost+found", "meta.properties.tmp", "bootstrap.checkpoint", "bootstrap.checkpoint.part"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::OpenMode;
    use crate::environment::tokio::TokioRuntime;

    /// Opens some of: a good directory, one that is a file in truth, somebody else's.
    async fn opened(log_dirs: &[&str]) -> Result<usize, String> {
        let runtime = TokioRuntime::new();
        let home = std::env::temp_dir().join(format!("ottla-storage-{:016x}", runtime.random()));
        runtime.disk().create_directory(&home.join("good")).await.unwrap();
        runtime.disk().open(&home.join("file"), OpenMode::Create).await.unwrap();
        runtime.disk().create_directory(&home.join("foreign")).await.unwrap();
        runtime.disk().open(&home.join("foreign/diary"), OpenMode::Create).await.unwrap();
        let place = |name: &&str| home.join(name).display().to_string();
        let paths: Vec<String> = log_dirs.iter().map(place).collect();
        let overrides = [("log.dirs".to_owned(), paths.join(","))];
        let config = NodeConfig::dev(&paths[0], &overrides).unwrap();
        let outcome = open(&runtime, &config).await;
        let kept = runtime.disk().list(&home.join("foreign")).await.unwrap();
        assert_eq!(kept.len(), 1, "nothing is left behind there: {kept:?}");
        let removed = std::fs::remove_dir_all(&home);
        removed.unwrap();
        outcome
            .map(|storage| storage.directories.len())
            .map_err(|error| error.to_string().replace(&home.display().to_string(), "HOME"))
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_used_is_named() {
        let error = opened(&["file"]).await.unwrap_err();
        assert!(error.starts_with("cannot use HOME/file"), "{error}");
    }

    #[tokio::test]
    async fn a_directory_of_somebody_else_is_refused_and_left_as_it_is() {
        let refused =
            "HOME/foreign is not empty and was not formatted by Kafka or Ottla (found diary)";
        assert_eq!(opened(&["foreign"]).await.unwrap_err(), refused);
        assert_eq!(opened(&["good", "foreign"]).await.unwrap_err(), refused);
    }

    #[tokio::test]
    async fn a_bad_directory_beside_a_good_one_is_left_out() {
        assert_eq!(opened(&["good", "file"]).await, Ok(1));
        assert!(opened(&["file", "good"]).await.is_err(), "the first has the metadata log");
    }

    #[tokio::test]
    async fn directory_with_what_an_interrupted_format_left_is_ours() {
        let runtime = TokioRuntime::new();
        let path = std::env::temp_dir().join(format!("ottla-storage-{:016x}", runtime.random()));
        runtime.disk().create_directory(&path).await.unwrap();
        let make = async |name: &str| {
            drop(runtime.disk().open(&path.join(name), OpenMode::CreateNew).await.unwrap());
        };
        make("meta.properties.tmp").await;
        make(".lock").await;
        refuse_foreign(&runtime, &path).await.unwrap();
        make("holiday.jpg").await;
        let refused = refuse_foreign(&runtime, &path).await;
        runtime.disk().remove_directory(&path).await.unwrap();
        assert!(
            matches!(refused, Err(Error::ForeignDirectory { found, .. }) if found == "holiday.jpg")
        );
    }
}
