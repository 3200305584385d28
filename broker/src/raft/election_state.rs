use std::fmt::Write as _;
use std::io::{self, IoSlice};
use std::path::Path;

use serde::Deserialize;

use super::voters::{ReplicaKey, VoterSet};
use crate::environment::{Disk, File, FileExt, OpenMode};
use crate::model::{DirectoryId, LeaderEpoch, NodeId, uuid_to_text};

/// What a replica must not forget: its epoch, whom it voted for in it, and who leads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ElectionState {
    /// The highest epoch heard of.
    pub epoch: LeaderEpoch,
    /// Its leader, once known.
    pub leader: Option<NodeId>,
    /// Whom we voted for in it.
    pub voted: Option<ReplicaKey>,
}

/// The name of the file in the directory of the metadata log.
pub const QUORUM_STATE_FILE: &str = "quorum-state";

const FILE_BYTES_MAX: u64 = 1 << 20;

/// The file's JSON as Kafka writes it, both versions in one; fields of the other version are left out or ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QuorumStateData {
    leader_id: i32,
    leader_epoch: i32,
    #[serde(default = "none")]
    voted_id: i32,
    voted_directory_id: Option<String>,
    #[serde(rename = "data_version")]
    data_version: i16,
}

const fn none() -> i32 {
    -1
}

impl ElectionState {
    /// The file's content. Version 1 knows directory ids, version 0 (`kraft.version` 0) lists the voters instead.
    #[must_use]
    pub fn to_json(&self, kraft_version: i16, voters: &VoterSet) -> String {
        let leader = self.leader.map_or(-1, |id| id.0);
        let voted = self.voted.map_or(-1, |key| key.id.0);
        let epoch = self.epoch;
        if kraft_version > 0 {
            let directory =
                self.voted.and_then(|key| key.directory_id).unwrap_or(DirectoryId::ZERO);
            let directory = uuid_to_text(directory.0);
            return format!(
                r#"{{"leaderId":{leader},"leaderEpoch":{epoch},"votedId":{voted},"votedDirectoryId":"{directory}","data_version":1}}"#
            );
        }
        let mut text = format!(
            r#"{{"clusterId":"","leaderId":{leader},"leaderEpoch":{epoch},"votedId":{voted},"appliedOffset":0,"currentVoters":["#
        );
        for (index, id) in voters.ids().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(text, r#"{comma}{{"voterId":{id}}}"#);
        }
        text.push_str(r#"],"data_version":0}"#);
        text
    }

    /// Reads the file's content.
    ///
    /// # Errors
    ///
    /// `InvalidData` when it is not what [`to_json`](Self::to_json) or Kafka writes.
    pub fn from_json(text: &[u8]) -> io::Result<Self> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let data: QuorumStateData =
            serde_json::from_slice(text).map_err(|error| invalid(error.to_string()))?;
        if !(0..=1).contains(&data.data_version) {
            return Err(invalid(format!("data_version {} is not known", data.data_version)));
        }
        let epoch = LeaderEpoch::from_wire(data.leader_epoch)
            .ok_or_else(|| invalid(format!("leader epoch {}", data.leader_epoch)))?;
        let directory_id = match &data.voted_directory_id {
            None => DirectoryId::ZERO,
            Some(text) => DirectoryId::from_text(text)
                .ok_or_else(|| invalid(format!("directory id {text:?}")))?,
        };
        let node = |id: i32| (id >= 0).then_some(NodeId(id));
        Ok(Self {
            epoch,
            leader: node(data.leader_id),
            voted: node(data.voted_id).map(|id| ReplicaKey::new(id, directory_id)),
        })
    }

    /// Reads `quorum-state` in `directory`; the initial state when there is no such file.
    ///
    /// # Errors
    ///
    /// The disk's; `InvalidData` when the file is not understood.
    pub async fn load<D: Disk>(disk: &D, directory: &Path) -> io::Result<Self> {
        let path = directory.join(QUORUM_STATE_FILE);
        let file = match disk.open(&path, OpenMode::Read).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        Self::from_json(&file.read_all(FILE_BYTES_MAX).await?)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// Writes `quorum-state` in `directory`; durable, and whole or not at all, when this returns.
    ///
    /// # Errors
    ///
    /// The disk's; the old or the new state may be found then.
    pub async fn store<D: Disk>(
        &self,
        disk: &D,
        directory: &Path,
        kraft_version: i16,
        voters: &VoterSet,
    ) -> io::Result<()> {
        let path = directory.join(QUORUM_STATE_FILE);
        let temporary = directory.join("quorum-state.tmp");
        let text = self.to_json(kraft_version, voters);
        let file = disk.open(&temporary, OpenMode::Create).await?;
        file.set_length(0).await?;
        file.write_all_at(&[IoSlice::new(text.as_bytes())], 0).await?;
        file.sync_data().await?;
        disk.rename(&temporary, &path).await?;
        disk.sync_directory(directory).await
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::raft::voters::Voter;

    fn key(id: i32, directory: u128) -> ReplicaKey {
        ReplicaKey::new(NodeId(id), DirectoryId(Uuid::from_u128(directory)))
    }

    fn two_voters() -> VoterSet {
        VoterSet::new([1, 2].map(|id| Voter {
            key: key(id, 0),
            endpoints: Vec::new(),
            kraft_version_min: 0,
            kraft_version_max: 1,
        }))
    }

    #[test]
    fn the_file_is_the_one_that_kafka_writes() {
        let leader =
            ElectionState { epoch: LeaderEpoch::new(1), leader: Some(NodeId(1)), voted: None };
        assert_eq!(
            leader.to_json(1, &two_voters()),
            r#"{"leaderId":1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#
        );
        assert_eq!(
            leader.to_json(0, &two_voters()),
            r#"{"clusterId":"","leaderId":1,"leaderEpoch":1,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1},{"voterId":2}],"data_version":0}"#
        );
    }

    #[test]
    fn what_was_written_is_read_back() {
        let voted =
            ElectionState { epoch: LeaderEpoch::new(7), leader: None, voted: Some(key(2, 99)) };
        let read = |state: &ElectionState, version| {
            ElectionState::from_json(state.to_json(version, &two_voters()).as_bytes()).unwrap()
        };
        assert_eq!(read(&voted, 1), voted);
        assert_eq!(read(&voted, 0), ElectionState { voted: Some(key(2, 0)), ..voted });
        assert_eq!(read(&ElectionState::default(), 1), ElectionState::default());
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_a_fresh_start() {
        let check =
            |text: &str| assert!(ElectionState::from_json(text.as_bytes()).is_err(), "{text}");
        check("");
        check("{}");
        check(r#"{"leaderId":1,"leaderEpoch":-5,"votedId":-1,"data_version":1}"#);
        check(r#"{"leaderId":1,"leaderEpoch":5,"votedId":-1,"data_version":2}"#);
        check(
            r#"{"leaderId":1,"leaderEpoch":5,"votedId":1,"votedDirectoryId":"?","data_version":1}"#,
        );
    }
}
