//! A machine is made by replaying its partition.

use std::time::Duration;

use super::{Event, Load, PartitionWriter, ReadBatches};
use crate::coordinator::batches;
use crate::coordinator::machine::Machine;
use crate::environment::{Runtime, Stop};
use crate::model::{LeaderEpoch, Offset};

/// What a load needs beside the machine.
pub(super) struct Source<R, W> {
    pub(super) runtime: R,
    pub(super) writer: W,
    pub(super) load: Load,
    pub(super) epoch: LeaderEpoch,
    pub(super) buffer_bytes: usize,
    pub(super) stop: Stop,
}

/// Replays a partition from its start to its end. Tries again when it cannot be read, until told to stop.
pub(super) async fn load_machine<R: Runtime, W: PartitionWriter, M: Machine>(
    source: Source<R, W>,
    mut machine: M,
) -> Event<M> {
    let partition = source.load.partition;
    let mut from = Offset::ZERO;
    let mut last = None;
    let mut retry = LOAD_RETRY;
    while !source.stop.is_stopped() {
        match load_some(&source, &mut machine, from).await {
            Ok((next, is_end)) => {
                retry = LOAD_RETRY;
                if let Some(next) = next {
                    from = next;
                    last = next.value().checked_sub(1).and_then(Offset::from_wire);
                }
                if is_end {
                    return Event::Loaded(source.load, machine, last);
                }
            }
            Err(reason) => {
                tracing::warn!(partition = partition.0, %from, reason, "coordinator cannot load yet");
                source.runtime.sleep(retry).await;
                retry = (retry * 2).min(LOAD_RETRY_MAX);
            }
        }
    }
    Event::Abandoned
}

/// Replays the next piece: the offset after it, and whether the log ends there.
async fn load_some<R: Runtime, W: PartitionWriter, M: Machine>(
    source: &Source<R, W>,
    machine: &mut M,
    from: Offset,
) -> Result<(Option<Offset>, bool), String> {
    let partition = source.load.partition;
    let is_tiny = source.runtime.buggify("coordinator.tiny_read");
    let bytes_max = if is_tiny { 1 } else { source.buffer_bytes };
    let read = source.writer.read(partition, source.epoch, from, bytes_max).await;
    let ReadBatches { batches, is_end } = read.map_err(|error| error.to_string())?;
    let next = batches::replay(machine, partition, batches).map_err(|error| error.to_string())?;
    if next.is_none_or(|next| next <= from) && !is_end {
        // Also when damage put older batches behind newer ones: to go on from there would never end.
        return Err(format!("what was read from {from} on does not lead to the end"));
    }
    Ok((next, is_end))
}

/// After a load failed, the next attempt is made so much later; twice as much after each further failure.
const LOAD_RETRY: Duration = Duration::from_millis(100);

/// But not later than this.
const LOAD_RETRY_MAX: Duration = Duration::from_secs(5);
