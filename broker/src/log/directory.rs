//! A directory of `log.dirs`: who it belongs to, that nobody else uses it, and whether it still works.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::future;
use uuid::Uuid;

use super::checkpoint;
use super::partition_log::lock;
use crate::environment::{Disk, Runtime};
use crate::model::{BrokerEpoch, ClusterId, DirectoryId, NodeId};

/// Who a log directory belongs to; the first file in it.
pub(crate) const META_PROPERTIES: &str = "meta.properties";
const LOCK: &str = ".lock";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

/// Why a log directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process has it.
    #[error("{} is locked by another process", .0.display())]
    Locked(PathBuf),
    /// It was never formatted.
    #[error("{} has no meta.properties: it must be formatted first", .0.display())]
    NotFormatted(PathBuf),
    /// It belongs to another cluster or node, or cannot be understood.
    #[error("{}: {reason}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The disk failed, or does not let us.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DirectoryError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }
}

/// One directory of `log.dirs`: locked, identified, online or not.
pub struct LogDirectory<R: Runtime> {
    path: PathBuf,
    properties: Properties,
    /// Held for as long as the directory is ours.
    _lock: <R::Disk as Disk>::Lock,
    offline: Mutex<Option<String>>,
    /// Taken by whoever writes a checkpoint: the temporary file has one name.
    pub(super) checkpoints: tokio::sync::Mutex<()>,
}

/// What `meta.properties` says, version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Properties {
    cluster_id: ClusterId,
    node_id: NodeId,
    directory_id: DirectoryId,
}

impl<R: Runtime> LogDirectory<R> {
    /// Writes `meta.properties` where it is missing; says whether it was.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Mismatch`] when it belongs to another cluster or node.
    pub async fn format(
        runtime: &R,
        path: &Path,
        cluster_id: &ClusterId,
        node_id: NodeId,
    ) -> Result<bool, DirectoryError> {
        Self::format_as(runtime, path, cluster_id, node_id, None).await
    }

    /// [`format`](Self::format), with the id that the directory gets.
    ///
    /// # Errors
    ///
    /// As [`format`](Self::format).
    pub async fn format_as(
        runtime: &R,
        path: &Path,
        cluster_id: &ClusterId,
        node_id: NodeId,
        directory_id: Option<DirectoryId>,
    ) -> Result<bool, DirectoryError> {
        let created = runtime.disk().create_directory(path).await;
        created.map_err(DirectoryError::io(path))?;
        match read_properties(runtime, path, Some(cluster_id), node_id).await {
            Ok(_) => {
                // Whoever formatted it may have been killed before it was durable under its name.
                for place in [path.to_path_buf(), checkpoint::parent(path)] {
                    let synced = runtime.disk().sync_directory(&place).await;
                    let is_forbidden =
                        matches!(&synced, Err(e) if e.kind() == io::ErrorKind::PermissionDenied);
                    if !is_forbidden {
                        synced.map_err(DirectoryError::io(&place))?;
                    }
                }
                Ok(false)
            }
            Err(DirectoryError::NotFormatted(_)) => {
                let directory_id = directory_id.unwrap_or_else(|| random_id(runtime));
                let cluster_id = cluster_id.clone();
                let properties = Properties { cluster_id, node_id, directory_id };
                let parent = checkpoint::parent(path);
                let written = write_properties(runtime, path, &properties);
                let (written, synced) =
                    future::join(written, runtime.disk().sync_directory(&parent)).await;
                written?;
                synced.map_err(DirectoryError::io(&parent))?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Locks a formatted directory and reads who it is. `cluster_id` is checked when given.
    ///
    /// # Errors
    ///
    /// See [`DirectoryError`].
    pub async fn open(
        runtime: R,
        path: PathBuf,
        cluster_id: Option<&ClusterId>,
        node_id: NodeId,
    ) -> Result<Arc<Self>, DirectoryError> {
        if !is_directory(&runtime, &path).await? {
            return Err(DirectoryError::NotFormatted(path));
        }
        let lock = match runtime.disk().lock(&path.join(LOCK)).await {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(DirectoryError::Locked(path));
            }
            Err(error) => return Err(DirectoryError::io(&path)(error)),
        };
        let properties = read_properties(&runtime, &path, cluster_id, node_id).await?;
        Ok(Arc::new(Self {
            path,
            properties,
            _lock: lock,
            offline: Mutex::new(None),
            checkpoints: tokio::sync::Mutex::new(()),
        }))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its identity (`directory.id`).
    #[must_use]
    pub fn id(&self) -> DirectoryId {
        self.properties.directory_id
    }

    /// The cluster it belongs to.
    #[must_use]
    pub fn cluster_id(&self) -> &ClusterId {
        &self.properties.cluster_id
    }

    /// Takes it out of use for good; the first reason stays. Says whether it was online until now.
    pub fn go_offline(&self, reason: &str) -> bool {
        let mut offline = lock(&self.offline);
        if offline.is_some() {
            return false;
        }
        tracing::error!(path = %self.path.display(), reason, "a log directory goes offline");
        *offline = Some(reason.to_owned());
        true
    }

    /// Why it is offline, if it is.
    #[must_use]
    pub fn offline_reason(&self) -> Option<String> {
        lock(&self.offline).clone()
    }

    /// True while it works.
    #[must_use]
    pub fn is_online(&self) -> bool {
        lock(&self.offline).is_none()
    }

    /// Takes away the file that a clean stop left, and says what it said: `None` when there was none, else the
    /// broker epoch of that time where it is known.
    pub(super) async fn take_clean_shutdown(
        &self,
        runtime: &R,
    ) -> io::Result<Option<Option<BrokerEpoch>>> {
        let path = self.path.join(CLEAN_SHUTDOWN);
        let text = match checkpoint::read_text(runtime, &path).await {
            Ok(None) => return Ok(None),
            Ok(Some(text)) => text,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(error) => return Err(error),
        };
        // From here on the directory is in use: after a crash it must not look clean.
        runtime.disk().remove_file(&path).await?;
        runtime.disk().sync_directory(&self.path).await?;
        let shutdown: Option<CleanShutdown> = serde_json::from_str(&text).ok();
        let epoch = shutdown.and_then(|shutdown| shutdown.broker_epoch).filter(|epoch| *epoch >= 0);
        Ok(Some(epoch.map(BrokerEpoch)))
    }

    /// Leaves word that everything in here was closed properly.
    pub(super) async fn write_clean_shutdown(
        &self,
        runtime: &R,
        epoch: Option<BrokerEpoch>,
    ) -> io::Result<()> {
        let epoch = epoch.map_or(-1, |epoch| epoch.0);
        let text = format!("{{\"version\":0,\"brokerEpoch\":{epoch}}}");
        checkpoint::replace_file(runtime, &self.path.join(CLEAN_SHUTDOWN), text.as_bytes()).await
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct CleanShutdown {
    broker_epoch: Option<i64>,
}

async fn is_directory<R: Runtime>(runtime: &R, path: &Path) -> Result<bool, DirectoryError> {
    match runtime.disk().list(path).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(DirectoryError::io(path)(error)),
    }
}

/// Reads `meta.properties` and compares. One without a directory id, from before Kafka 3.7, is given one.
async fn read_properties<R: Runtime>(
    runtime: &R,
    directory: &Path,
    cluster_id: Option<&ClusterId>,
    node_id: NodeId,
) -> Result<Properties, DirectoryError> {
    let path = directory.join(META_PROPERTIES);
    let text = match checkpoint::read_text(runtime, &path).await {
        Ok(Some(text)) => text,
        Ok(None) => return Err(DirectoryError::NotFormatted(directory.to_owned())),
        Err(error) => return Err(DirectoryError::io(&path)(error)),
    };
    let refuse = |reason: String| DirectoryError::Mismatch { path: path.clone(), reason };
    let found = parse_properties(&text).map_err(refuse)?;
    if found.node_id != node_id {
        return Err(refuse(format!("belongs to node {}, this is node {node_id}", found.node_id)));
    }
    if let Some(expected) = cluster_id.filter(|expected| **expected != found.cluster_id) {
        return Err(refuse(format!("belongs to cluster {}, not {expected}", found.cluster_id)));
    }
    if found.directory_id != DirectoryId::ZERO {
        return Ok(found);
    }
    let named = Properties { directory_id: random_id(runtime), ..found };
    write_properties(runtime, directory, &named).await?;
    Ok(named)
}

/// Understands the part of Java's properties format that such files use.
fn parse_properties(text: &str) -> Result<Properties, String> {
    let value = |name: &str| {
        text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!'])).find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().replace('\\', ""))
        })
    };
    let version = value("version").ok_or("version is missing")?;
    if version != "1" {
        return Err(format!("version {version} is not supported, only 1 is"));
    }
    let node_id = value("node.id").ok_or("node.id is missing")?;
    let node_id = node_id.parse().map_err(|_| format!("node.id {node_id} is not a number"))?;
    let cluster_id = value("cluster.id").ok_or("cluster.id is missing")?;
    let directory_id = match value("directory.id") {
        None => DirectoryId::ZERO,
        Some(id) => {
            DirectoryId::from_text(&id).ok_or_else(|| format!("directory.id {id} is not an id"))?
        }
    };
    Ok(Properties {
        cluster_id: ClusterId::new(cluster_id),
        node_id: NodeId(node_id),
        directory_id,
    })
}

async fn write_properties<R: Runtime>(
    runtime: &R,
    directory: &Path,
    properties: &Properties,
) -> Result<(), DirectoryError> {
    let Properties { cluster_id, node_id, directory_id } = properties;
    let text = format!(
        "#\ncluster.id={cluster_id}\ndirectory.id={directory_id}\nnode.id={node_id}\nversion=1\n"
    );
    let path = directory.join(META_PROPERTIES);
    let written = checkpoint::replace_file(runtime, &path, text.as_bytes()).await;
    written.map_err(DirectoryError::io(&path))
}

/// A new id. Kafka avoids those that begin with a dash, for the sake of command lines.
fn random_id<R: Runtime>(runtime: &R) -> DirectoryId {
    loop {
        let bits = u128::from(runtime.random()) << 64 | u128::from(runtime.random());
        let id = DirectoryId(uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid());
        if !id.to_string().starts_with('-') {
            return id;
        }
    }
}

/// A number for the name of a directory that is put away.
pub(super) fn unique<R: Runtime>(runtime: &R) -> Uuid {
    random_id(runtime).0
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Directory;
    use super::*;
    use crate::environment::tokio::TokioRuntime;

    #[test]
    fn properties_of_kafka_are_understood() {
        let text = "#\n#Sat Nov 21 04:00:00 UTC 2026\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\n\
                    directory.id=AAAAAAAAAAAAAAAAAAAAZQ\nnode.id=3\nversion=1\n";
        let found = parse_properties(text).unwrap();
        assert_eq!(found.cluster_id.as_str(), "MkU3OEVBNTcwNTJENDM2Qk");
        assert_eq!(found.node_id, NodeId(3));
        for (from, to) in
            [("version=1", "version=0"), ("node.id=3", "node.id=x"), ("cluster.id", "c")]
        {
            assert!(parse_properties(&text.replace(from, to)).is_err());
        }
    }

    #[tokio::test]
    async fn a_directory_is_formatted_once_and_belongs_to_one() {
        let runtime = TokioRuntime::new();
        let directory = Directory::new(&runtime);
        let path = directory.0.clone();
        let cluster = ClusterId::from("MkU3OEVBNTcwNTJENDM2Qk");
        type Ours = LogDirectory<TokioRuntime>;
        let error = Ours::open(runtime.clone(), path.clone(), None, NodeId(1)).await.err();
        assert!(matches!(error, Some(DirectoryError::NotFormatted(_))));
        assert!(Ours::format(&runtime, &path, &cluster, NodeId(1)).await.unwrap());
        assert!(!Ours::format(&runtime, &path, &cluster, NodeId(1)).await.unwrap());
        let error = Ours::format(&runtime, &path, &ClusterId::from("other"), NodeId(1)).await.err();
        assert!(matches!(error, Some(DirectoryError::Mismatch { .. })));
        let ours =
            Ours::open(runtime.clone(), path.clone(), Some(&cluster), NodeId(1)).await.unwrap();
        let error = Ours::open(runtime.clone(), path.clone(), None, NodeId(1)).await.err();
        assert!(matches!(error, Some(DirectoryError::Locked(_))));
        let id = ours.id();
        assert_eq!(ours.take_clean_shutdown(&runtime).await.unwrap(), None);
        ours.write_clean_shutdown(&runtime, Some(BrokerEpoch(18))).await.unwrap();
        assert_eq!(ours.take_clean_shutdown(&runtime).await.unwrap(), Some(Some(BrokerEpoch(18))));
        assert_eq!(ours.take_clean_shutdown(&runtime).await.unwrap(), None);
        drop(ours);
        let error = Ours::open(runtime.clone(), path.clone(), None, NodeId(2)).await.err();
        assert!(matches!(error, Some(DirectoryError::Mismatch { .. })));
        assert_eq!(Ours::open(runtime, path, None, NodeId(1)).await.unwrap().id(), id);
    }
}
