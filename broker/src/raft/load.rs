//! What the disk says when the driver starts: snapshot, log, election state.

use std::sync::Arc;

use super::batches;
use super::driver::Options;
use super::election_state::ElectionState;
use super::error::Error;
use super::log_state::LogState;
use super::snapshots::{self, METADATA_LOG, Snapshot};
use super::voters::VoterHistory;
use super::wire::{METADATA_TOPIC, METADATA_TOPIC_ID};
use crate::environment::{Disk, Runtime};
use crate::log::{self, OpenOptions, PartitionLog};
use crate::model::{Offset, OffsetAndEpoch, TopicPartition};
use crate::record::split_all;

/// How many bytes the start reads from the log at once, at least.
const LOAD_BYTES: u64 = 4 << 20;

/// What the disk said.
pub(super) struct Loaded<R: Runtime> {
    pub(super) log: Arc<PartitionLog<R>>,
    pub(super) election: ElectionState,
    pub(super) history: VoterHistory,
    pub(super) state: LogState,
    pub(super) snapshot: Option<OffsetAndEpoch>,
}

pub(super) async fn load<R: Runtime>(runtime: &R, options: &Options) -> Result<Loaded<R>, Error> {
    let disk = runtime.disk();
    let directory = options.log_directory.join(METADATA_LOG);
    if !snapshots::is_formatted(disk, &options.log_directory).await? {
        disk.create_directory(&directory).await?;
    }
    snapshots::remove_leftovers(disk, &directory).await?;
    // A process that was killed may have given these names and not made them durable; from here on we build on them.
    disk.sync_directory(&options.log_directory).await?;
    disk.sync_directory(&directory).await?;
    let newest = snapshots::read_newest(disk, &directory).await?;
    let ids = snapshots::list_snapshots(disk, &directory).await?;
    let log = open_log(runtime, options, ids.first().copied()).await?;
    let base = newest.as_ref().map(|snapshot| snapshot.id);
    let base_offset = base.map_or(Offset::ZERO, |id| id.offset);
    if log.log_start_offset() > base_offset {
        return Err(Error::NoSnapshot { log_start: log.log_start_offset().value() });
    }
    if log.log_end_offset() < base_offset {
        // The crash came between the snapshot's installation and the cut of the log.
        log.truncate_fully_and_start_at(base_offset).await?;
    }
    let history = history(options, newest.as_ref());
    let (epochs, history) = scan(&log, base_offset, history).await?;
    let readable = ids.into_iter().filter(|id| Some(*id) <= base).collect();
    let state = LogState::new(log.log_start_offset(), log.log_end_offset(), epochs, readable);
    let election = ElectionState::load(disk, &directory).await?;
    Ok(Loaded { log, election, history, state, snapshot: base })
}

fn history(options: &Options, newest: Option<&Snapshot>) -> VoterHistory {
    let static_voters = options.static_voters.clone().unwrap_or_default();
    match newest {
        Some(Snapshot { voters: Some(voters), kraft_version, .. }) => {
            VoterHistory::new(voters.clone(), *kraft_version)
        }
        Some(_) | None => VoterHistory::new(static_voters, 0),
    }
}

async fn open_log<R: Runtime>(
    runtime: &R,
    options: &Options,
    earliest: Option<OffsetAndEpoch>,
) -> Result<Arc<PartitionLog<R>>, Error> {
    let settings = log::Settings {
        segment_bytes: options.segment_bytes,
        segment_ms: options.segment_ms,
        max_message_bytes: batches::BATCH_BYTES_MAX as u64,
        retention_ms: None,
        retention_bytes: None,
        ..log::Settings::default()
    };
    let open = OpenOptions {
        // Read through at every start; nobody compacts it, so a hole in it can only be a loss.
        recovery_point: Some(Offset::ZERO),
        log_start_offset: earliest.map_or(Offset::ZERO, |id| id.offset),
        topic_id: Some(METADATA_TOPIC_ID),
        ..OpenOptions::default()
    };
    let (log, report) = PartitionLog::open(
        runtime.clone(),
        options.log_directory.join(METADATA_LOG),
        TopicPartition::new(METADATA_TOPIC, 0),
        settings,
        open,
    )
    .await?;
    tracing::info!(
        start = log.log_start_offset().value(),
        end = log.log_end_offset().value(),
        truncated_bytes = report.bytes_truncated,
        "the metadata log is open"
    );
    Ok(log)
}

/// Reads the whole log once: where each epoch began, and, from `base` on, who votes.
async fn scan<R: Runtime>(
    log: &PartitionLog<R>,
    base: Offset,
    mut history: VoterHistory,
) -> Result<(Vec<OffsetAndEpoch>, VoterHistory), Error> {
    let mut epochs: Vec<OffsetAndEpoch> = Vec::new();
    let (mut position, end) = (log.log_start_offset(), log.log_end_offset());
    while position < end {
        let mut bytes = log.read_bytes(position, LOAD_BYTES).await?;
        let before = position;
        for batch in split_all(&mut bytes)? {
            batch.verify_crc()?;
            let summary = batches::summary(&batch)?;
            if epochs.last().is_none_or(|last| last.epoch < summary.epoch) {
                let offset = summary.base_offset.max(log.log_start_offset());
                epochs.push(OffsetAndEpoch { offset, epoch: summary.epoch });
            }
            position = summary.last_offset.plus(1);
            for (offset, change) in summary.changes {
                if offset >= base {
                    history.add(offset, change);
                }
            }
        }
        if position == before {
            return Err(Error::Read(format!("nothing can be read at offset {position}")));
        }
    }
    Ok((epochs, history))
}
