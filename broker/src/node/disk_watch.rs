//! What a node does when a log directory fails: its partitions go offline, and a broker without any directory left stops.

use std::sync::Arc;

use tracing::error;

use crate::environment::{Runtime, Stop, Stopper, select};
use crate::log::{LogDirectory, LogManager};
use crate::replication::ReplicaManager;

/// Takes the partitions of failed directories offline until `stop`; pulls `halt` when none is left. Failures from before it
/// runs are waiting for it.
pub(super) async fn run<R: Runtime>(
    logs: Arc<LogManager<R>>,
    replicas: Arc<ReplicaManager<R>>,
    stop: Stop,
    halt: Stopper,
) {
    loop {
        let failure = select! {
            () = stop.stopped() => return,
            failure = logs.next_failure() => failure,
        };
        error!(
            directory = %failure.directory,
            partitions = failure.partitions.len(),
            reason = failure.reason,
            "log directory is offline; mend the disk and start the broker again"
        );
        replicas.take_offline(&failure.partitions);
        if none_is_left(&logs) {
            error!("all log directories are offline: stopping");
            halt.pull();
            return;
        }
    }
}

/// Which directories failed and why, when no other is left.
pub(super) fn all_that_failed<R: Runtime>(logs: &LogManager<R>) -> Option<String> {
    let told = |directory: &Arc<LogDirectory<R>>| {
        let reason = directory.offline_reason()?;
        Some(format!("{}: {reason}", directory.path().display()))
    };
    let told: Vec<String> = logs.directories().iter().filter_map(told).collect();
    (none_is_left(logs) && !told.is_empty()).then(|| told.join("; "))
}

fn none_is_left<R: Runtime>(logs: &LogManager<R>) -> bool {
    logs.directories().iter().all(|directory| !directory.is_online())
}
