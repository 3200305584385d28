//! What has to be done now and then: flushing by time, checkpoints, retention, removing what was deleted.

use std::sync::Arc;
use std::time::Duration;

use crate::environment::{Instant, Runtime, Stop, select};
use crate::log::LogManager;

/// How often each chore is due.
#[derive(Clone, Debug)]
pub(super) struct Intervals {
    pub(super) flush: Duration,
    pub(super) recovery_point_checkpoint: Duration,
    pub(super) log_start_checkpoint: Duration,
    pub(super) high_watermark_checkpoint: Duration,
    pub(super) retention: Duration,
    pub(super) removal: Duration,
    pub(super) producer_expiration: Duration,
}

/// The first look at retention comes soon after the start, as in Kafka.
const FIRST_RETENTION: Duration = Duration::from_secs(30);

#[derive(Clone, Copy)]
enum Chore {
    Flush,
    RecoveryPoints,
    LogStarts,
    HighWatermarks,
    Retention,
    Removal,
    Producers,
}

/// Does the chores until `stop`, one after the other: they compete for the same disk.
pub(super) async fn run<R: Runtime>(
    runtime: R,
    logs: Arc<LogManager<R>>,
    intervals: Intervals,
    stop: Stop,
) {
    let now = runtime.now();
    let mut due: Vec<(Instant, Duration, Chore)> = vec![
        (now + intervals.flush, intervals.flush, Chore::Flush),
        (
            now + intervals.recovery_point_checkpoint,
            intervals.recovery_point_checkpoint,
            Chore::RecoveryPoints,
        ),
        (now + intervals.log_start_checkpoint, intervals.log_start_checkpoint, Chore::LogStarts),
        (
            now + intervals.high_watermark_checkpoint,
            intervals.high_watermark_checkpoint,
            Chore::HighWatermarks,
        ),
        (now + FIRST_RETENTION.min(intervals.retention), intervals.retention, Chore::Retention),
        (now + intervals.removal, intervals.removal, Chore::Removal),
        (now + intervals.producer_expiration, intervals.producer_expiration, Chore::Producers),
    ];
    loop {
        let next = due.iter().map(|(at, ..)| *at).min().unwrap_or(Instant::FAR);
        select! {
            () = stop.stopped() => return,
            () = runtime.sleep_until(next) => {}
        }
        let now = runtime.now();
        for (at, interval, chore) in &mut due {
            if *at <= now {
                *at = now + *interval;
                do_chore(&runtime, &logs, *chore).await;
            }
        }
    }
}

async fn do_chore<R: Runtime>(runtime: &R, logs: &LogManager<R>, chore: Chore) {
    match chore {
        Chore::Flush => {
            logs.flush_due(runtime.wall_clock());
            logs.checkpoint_new_recovery_points().await;
        }
        Chore::RecoveryPoints => logs.checkpoint_recovery_points().await,
        Chore::LogStarts => {
            logs.checkpoint_log_starts().await;
        }
        Chore::HighWatermarks => logs.checkpoint_high_watermarks().await,
        Chore::Retention => {
            let deleted = logs.apply_retention(runtime.wall_clock()).await;
            if deleted > 0 {
                tracing::info!(segments = deleted, "retention deleted old segments");
            }
        }
        Chore::Removal => logs.remove_deleted().await,
        Chore::Producers => logs.expire_producers(runtime.wall_clock()),
    }
}
