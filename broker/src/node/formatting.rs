//! Formatting the disks of a node that is one of several: what `kafka-storage format` does. Source: KIP-631, KIP-853.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Error;
use super::storage::refuse_foreign;
use crate::config::{HostPort, NodeConfig};
use crate::controller::{KRAFT_VERSION, founding_records, supported_features};
use crate::environment::{Disk as _, Runtime};
use crate::log::{DirectoryError, LogDirectory, META_PROPERTIES};
use crate::metadata::MetadataVersion;
use crate::model::{ClusterId, DirectoryId, NodeId};
use crate::protocol::internal_records::metadata::{FeatureLevelRecord, MetadataRecord};
use crate::raft::{self, Endpoint, ReplicaKey, Voter, VoterSet};

/// Who votes at first in a quorum that knows its voters from its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitialVoters {
    /// This node alone (`--standalone`).
    Standalone,
    /// These (`--initial-controllers`).
    Controllers(Vec<InitialController>),
    /// Others know, or `controller.quorum.voters` says so (`--no-initial-controllers`, and brokers).
    Unsaid,
}

/// One of the first voters, as `kafka-storage` writes them: `id@host:port:directory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialController {
    /// The node.
    pub id: NodeId,
    /// Where it listens for other controllers.
    pub address: HostPort,
    /// The directory id its metadata directory is formatted with.
    pub directory: DirectoryId,
}

impl InitialController {
    /// Reads `id@host:port:directory`; `None` when it is not that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, rest) = text.split_once('@')?;
        let (rest, directory) = rest.rsplit_once(':')?;
        let (host, port) = rest.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let id = id.parse().ok().filter(|id| *id >= 0)?;
        // Kafka keeps the first hundred for itself.
        let directory = DirectoryId::from_text(directory).filter(|id| id.0.as_u128() >= 100)?;
        let address = HostPort { host: host.to_owned(), port: port.parse().ok()? };
        (!host.is_empty()).then_some(Self { id: NodeId(id), address, directory })
    }
}

/// Judges the features that a cluster is to begin with, and says which records those are: none when only the quorum's own is
/// named. Source: KIP-584, KIP-1022.
///
/// # Errors
///
/// [`Error::Unsupported`] when this program has not such a feature or level, or it does not go with the others.
pub fn founding_features(
    config: &NodeConfig,
    voters: &InitialVoters,
    features: &[(String, i16)],
) -> Result<Vec<MetadataRecord>, Error> {
    let refuse = |message: String| Err(Error::Unsupported(message));
    let supported = supported_features();
    let mut asked: BTreeMap<&str, i16> = BTreeMap::new();
    for (name, level) in features {
        let Some(range) = supported.get(name) else {
            let known: Vec<&str> = supported.keys().map(String::as_str).collect();
            return refuse(format!("there is no feature {name} here, but {}", known.join(", ")));
        };
        if !range.contains(*level) {
            let (min, max) = (range.min, range.max);
            return refuse(format!("{name} goes from {min} to {max} here, not to {level}"));
        }
        if asked.insert(name, *level).is_some() {
            return refuse(format!("{name} is named twice"));
        }
    }
    let is_static = !config.quorum.voters.is_empty();
    match asked.remove(KRAFT_VERSION) {
        Some(0) if !is_static || *voters != InitialVoters::Unsaid => {
            return refuse("kraft.version 0 goes with controller.quorum.voters only".to_owned());
        }
        Some(1) if is_static => {
            return refuse(
                "controller.quorum.voters goes with kraft.version 0 only: leave it out, and name the first voters with \
                 --standalone or --initial-controllers"
                    .to_owned(),
            );
        }
        Some(_) | None => {}
    }
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    asked.entry(MetadataVersion::FEATURE).or_insert(MetadataVersion::LATEST.level());
    let record = |(name, feature_level): (&&str, &i16)| {
        let (name, feature_level) = ((*name).to_owned(), *feature_level);
        MetadataRecord::from(FeatureLevelRecord { name, feature_level })
    };
    let wanted: Vec<_> = asked.iter().filter(|(_, level)| **level > 0).map(record).collect();
    match founding_records(wanted.clone()) {
        Some(records) if records.len() == wanted.len() => Ok(records),
        Some(_) | None => {
            let (name, needed) = ("eligible.leader.replicas.version", "metadata.version 23");
            refuse(format!("{name} needs {needed} at least"))
        }
    }
}

/// Formats every directory of a node that is not formatted yet; says which those were. `founding` is what the cluster begins
/// with, where that is said: [`founding_features`].
///
/// # Errors
///
/// [`Error::Unsupported`] when the voters do not go with the configuration; what opening the directories gives.
pub async fn format_storage<R: Runtime>(
    runtime: &R,
    config: &NodeConfig,
    cluster_id: &ClusterId,
    voters: &InitialVoters,
    founding: Option<&[MetadataRecord]>,
) -> Result<Vec<PathBuf>, Error> {
    check(config, voters).map_err(|message| Error::Unsupported(message.to_owned()))?;
    let metadata = &config.metadata_log.directory;
    let mut paths: Vec<&Path> = config.log_dirs.iter().map(PathBuf::as_path).collect();
    if !paths.contains(&metadata.as_path()) {
        paths.push(metadata);
    }
    let mut formatted = Vec::new();
    for path in paths {
        let id = if path == metadata { own_directory(config, voters) } else { None };
        refuse_foreign(runtime, path).await?;
        if path == metadata
            && let Some(founding) = founding
        {
            write_founding(runtime, path, founding).await?;
        }
        if LogDirectory::format_as(runtime, path, cluster_id, config.node_id, id).await? {
            formatted.push(path.to_path_buf());
        }
    }
    let directory =
        LogDirectory::open(runtime.clone(), metadata.clone(), Some(cluster_id), config.node_id)
            .await?;
    if let Some(set) = voter_set(config, voters, directory.id())?
        && !raft::is_formatted(runtime.disk(), metadata).await?
    {
        let now = runtime.wall_clock();
        raft::format(runtime.disk(), metadata, set, Vec::new(), now).await?;
    }
    Ok(formatted)
}

/// Leaves word of what the cluster begins with where its first active controller looks for it: before the directory counts as
/// formatted, so that it is not forgotten if we are killed in between, and instead of what such a death has left.
async fn write_founding<R: Runtime>(
    runtime: &R,
    directory: &Path,
    founding: &[MetadataRecord],
) -> Result<(), Error> {
    let io = |source| DirectoryError::Io { path: directory.to_path_buf(), source };
    let (disk, now) = (runtime.disk(), runtime.wall_clock());
    disk.create_directory(directory).await.map_err(io)?;
    let entries = disk.list(directory).await.map_err(io)?;
    if entries.iter().any(|entry| entry.name == META_PROPERTIES) {
        return Ok(());
    }
    let level = MetadataVersion::LATEST.level();
    let encoded: Result<Vec<_>, _> =
        founding.iter().map(|record| record.encode_at(level)).collect();
    let encoded = encoded.map_err(|error| Error::Metadata(error.to_string()))?;
    Ok(raft::write_bootstrap(disk, directory, encoded, now).await?)
}

/// Kafka's rules for what must be said, and what must not.
fn check(config: &NodeConfig, voters: &InitialVoters) -> Result<(), &'static str> {
    let is_static = !config.quorum.voters.is_empty();
    match voters {
        InitialVoters::Unsaid => Ok(()),
        InitialVoters::Standalone | InitialVoters::Controllers(_) if is_static => Err(
            "controller.quorum.voters names the voters: initial controllers cannot be given as well",
        ),
        InitialVoters::Standalone if !config.roles.controller => {
            Err("a node that is no controller cannot be the first voter")
        }
        InitialVoters::Standalone => Ok(()),
        InitialVoters::Controllers(controllers) => {
            let ids = controllers.iter().map(|one| one.id);
            let mut known: Vec<NodeId> = ids.collect();
            known.sort_unstable();
            let count = known.len();
            known.dedup();
            if known.len() < count {
                return Err("the initial controllers name a node twice");
            }
            if config.roles.controller && !known.contains(&config.node_id) {
                return Err("this node is a controller, but not among the initial controllers");
            }
            Ok(())
        }
    }
}

fn own_directory(config: &NodeConfig, voters: &InitialVoters) -> Option<DirectoryId> {
    match voters {
        InitialVoters::Standalone | InitialVoters::Unsaid => None,
        InitialVoters::Controllers(controllers) => {
            Some(controllers.iter().find(|one| one.id == config.node_id)?.directory)
        }
    }
}

fn voter_set(
    config: &NodeConfig,
    voters: &InitialVoters,
    own: DirectoryId,
) -> Result<Option<VoterSet>, Error> {
    let name = config.controller_listener_names.first().cloned().unwrap_or_default();
    let voter = |id, directory, address: &HostPort| Voter {
        key: ReplicaKey::new(id, directory),
        endpoints: vec![Endpoint {
            name: name.clone(),
            host: address.host.clone(),
            port: address.port,
        }],
        kraft_version_min: 0,
        kraft_version_max: 1,
    };
    match voters {
        InitialVoters::Unsaid => Ok(None),
        InitialVoters::Standalone => {
            let listener = config.advertised_listeners.iter().find(|one| one.name == name);
            let address = listener.map(|listener| HostPort {
                host: listener.host.clone().unwrap_or_else(|| "localhost".to_owned()),
                port: listener.port,
            });
            let Some(address) = address else {
                return Err(Error::Unsupported("there is no controller listener".to_owned()));
            };
            Ok(Some(VoterSet::new([voter(config.node_id, own, &address)])))
        }
        InitialVoters::Controllers(controllers) => {
            let expected = controllers.iter().find(|one| one.id == config.node_id);
            if expected.is_some_and(|expected| expected.directory != own) {
                let path = config.metadata_log.directory.clone();
                let reason = format!("has the directory id {own}, not the one given for this node");
                return Err(DirectoryError::Mismatch { path, reason }.into());
            }
            let set = controllers.iter().map(|one| voter(one.id, one.directory, &one.address));
            Ok(Some(VoterSet::new(set)))
        }
    }
}

/// What one directory of a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageInfo {
    /// The directory.
    pub path: PathBuf,
    /// Cluster and directory id; `None` when it is not formatted.
    pub identity: Option<(ClusterId, DirectoryId)>,
}

/// Looks at the directories of a node that does not run.
///
/// # Errors
///
/// When one cannot be looked at, or belongs to another node.
pub async fn storage_info<R: Runtime>(
    runtime: &R,
    config: &NodeConfig,
) -> Result<Vec<StorageInfo>, Error> {
    let mut found = Vec::new();
    for path in &config.log_dirs {
        let opened = LogDirectory::open(runtime.clone(), path.clone(), None, config.node_id).await;
        let identity = match opened {
            Ok(directory) => Some((directory.cluster_id().clone(), directory.id())),
            Err(DirectoryError::NotFormatted(_)) => None,
            Err(error) => return Err(error.into()),
        };
        found.push(StorageInfo { path: path.clone(), identity });
    }
    Ok(found)
}

/// A new cluster or directory id, in Kafka's text form.
pub fn random_uuid_text<R: Runtime>(runtime: &R) -> String {
    crate::model::uuid_to_text(super::storage::random_uuid(runtime))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_what_this_program_has_and_go_together() {
        let check =
            |quorum: (&str, &str), features: &[(&str, i16)], expected: Result<usize, &str>| {
                let all = [
                    ("process.roles", "controller"),
                    ("node.id", "1"),
                    ("listeners", "CONTROLLER://127.0.0.1:9093"),
                    ("controller.listener.names", "CONTROLLER"),
                    ("log.dirs", "data"),
                    quorum,
                ];
                let all: Vec<_> = all.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
                let config = NodeConfig::read(None, &all).unwrap();
                let features: Vec<_> =
                    features.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect();
                let found = founding_features(&config, &InitialVoters::Unsaid, &features);
                match (found, expected) {
                    (Ok(records), Ok(count)) => assert_eq!(records.len(), count, "{features:?}"),
                    (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
                    (found, _) => panic!("{features:?}: {found:?}"),
                }
            };
        let fixed = ("controller.quorum.voters", "1@127.0.0.1:9093,2@127.0.0.1:9094");
        let dynamic = ("controller.quorum.bootstrap.servers", "127.0.0.1:9093,127.0.0.1:9094");
        let elr = "eligible.leader.replicas.version";
        check(dynamic, &[], Ok(0));
        check(dynamic, &[("kraft.version", 1)], Ok(0));
        check(dynamic, &[("kraft.version", 0)], Err("controller.quorum.voters"));
        check(fixed, &[("kraft.version", 0)], Ok(0));
        check(fixed, &[("kraft.version", 1)], Err("--standalone"));
        check(dynamic, &[(elr, 1)], Ok(2));
        check(dynamic, &[(elr, 0)], Ok(1));
        check(dynamic, &[(elr, 1), ("metadata.version", 22)], Err("23"));
        check(dynamic, &[(elr, 2)], Err("from 0 to 1"));
        check(dynamic, &[(elr, 1), (elr, 1)], Err("twice"));
        check(dynamic, &[("group.version", 1)], Err("no feature group.version here, but eligible"));
    }

    #[test]
    fn initial_controllers_are_read_as_kafka_storage_reads_them() {
        let check = |text: &str, expected: Option<(i32, &str, u16)>| {
            let parsed = InitialController::parse(text);
            let parts = parsed.as_ref().map(|one| (one.id.0, &*one.address.host, one.address.port));
            assert_eq!(parts, expected, "{text}");
        };
        check("1@c1:9093:3Db5QLSqSZieL3rJBUUegA", Some((1, "c1", 9093)));
        check("2@[::1]:9093:3Db5QLSqSZieL3rJBUUegA", Some((2, "::1", 9093)));
        check("1@c1:9093", None);
        check("c1:9093:3Db5QLSqSZieL3rJBUUegA", None);
        check("1@c1:9093:AAAAAAAAAAAAAAAAAAAAAg", None);
        check("1@:9093:3Db5QLSqSZieL3rJBUUegA", None);
        check("-1@c1:9093:3Db5QLSqSZieL3rJBUUegA", None);
    }
}
