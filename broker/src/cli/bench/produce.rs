use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::payload::Values;
use super::report::Tally;
use super::schedule::Schedule;
use super::{Load, prepare};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::client::{Message, Producer, Receipt};
use crate::environment::tokio::TokioRuntime;
use crate::environment::{Instant, Runtime as _};
use crate::model::TopicName;

pub(super) async fn run(context: &mut Context, load: &Load) -> Result<(), Failure> {
    prepare(context, &load.target).await?;
    let start = context.runtime.now();
    let tallies = spawn(context, load, start, None)?;
    let mut total = Tally::new(start + Duration::from_secs(load.warmup))?;
    for tally in tallies {
        total.add(tally.await.map_err(|_| ended_early())??)?;
    }
    let result = total.result("produce");
    result.write(load.target.output, &mut context.out)?;
    result.judge()
}

fn ended_early() -> Failure {
    Failure::new(crate::cli::failure::FAILED, "a producer ended early")
}

type Outcome = oneshot::Receiver<Result<Tally, Failure>>;

/// Starts all producers; `stamp` writes the time a record was due into it, for those who read it.
pub(super) fn spawn(
    context: &Context,
    load: &Load,
    start: Instant,
    stamp: Option<fn(&Bytes, Instant) -> Bytes>,
) -> Result<Vec<Outcome>, Failure> {
    let left = Arc::new(AtomicU64::new(load.limits().0));
    let mut outcomes = Vec::new();
    for place in 0..load.producers {
        let client = context.client();
        let tally = Tally::new(start + Duration::from_secs(load.warmup))?;
        let driver = Driver {
            runtime: context.runtime.clone(),
            producer: Producer::new(client, load.producer()),
            values: Values::new(load.payload, load.size, u64::from(place) + 1),
            schedule: Schedule::new(start, load.rate, (place.into(), load.producers.into())),
            load: load.clone(),
            place: place.into(),
            start,
            left: Arc::clone(&left),
            stamp,
        };
        let (sender, outcome) = oneshot::channel();
        context.runtime.spawn("bench", async move {
            // Nobody waits for it when the command has failed.
            let _ = sender.send(driver.drive(tally).await);
        });
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// One producer and its share of the load.
struct Driver {
    runtime: TokioRuntime,
    producer: Producer<TokioRuntime>,
    values: Values,
    schedule: Schedule,
    load: Load,
    place: u64,
    start: Instant,
    left: Arc<AtomicU64>,
    stamp: Option<fn(&Bytes, Instant) -> Bytes>,
}

/// A record that was sent.
struct Sent {
    due: Instant,
    receipt: Receipt,
    bytes: usize,
}

impl Driver {
    async fn drive(self, tally: Tally) -> Result<Tally, Failure> {
        let (sent, receipts) = mpsc::unbounded_channel();
        let (sender, counted) = oneshot::channel();
        self.runtime.spawn("bench-count", async move {
            let _ = sender.send(count(tally, receipts).await);
        });
        let sending = self.send_all(&sent).await;
        // The producer's buffer is what bounds the records under way: this never fills without end.
        drop(sent);
        self.producer.flush().await;
        let tally = counted.await.map_err(|_| ended_early())?;
        sending?;
        Ok(tally)
    }

    async fn send_all(&self, sent: &mpsc::UnboundedSender<Sent>) -> Result<(), Failure> {
        let (_, limit) = self.load.limits();
        let end = self.start + limit;
        let topic = TopicName::from(self.load.target.topic.as_str());
        for index in 0.. {
            let now = self.runtime.now();
            let due = self.schedule.due(index).unwrap_or(now);
            if due >= end || now >= end + DRAIN || !self.take() {
                return Ok(());
            }
            if due > now {
                self.runtime.sleep_until(due).await;
            } else if index % YIELD_EVERY == 0 {
                tokio::task::yield_now().await;
            }
            let value = self.values.get(index);
            let value = self.stamp.map_or(value.clone(), |stamp| stamp(&value, due));
            let bytes = value.len();
            let key = self.key(index);
            let receipt = self.producer.send(Message::new(topic.clone(), key, Some(value))).await?;
            // The counter lives as long as this.
            let _ = sent.send(Sent { due, receipt, bytes });
        }
        Ok(())
    }

    /// Takes one record of those that are to be sent in all.
    fn take(&self) -> bool {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        taken.is_ok()
    }

    fn key(&self, index: u64) -> Option<Bytes> {
        let number =
            (index * u64::from(self.load.producers) + self.place).checked_rem(self.load.keys)?;
        Some(Bytes::from(format!("key-{number:012}")))
    }
}

async fn count(mut tally: Tally, mut receipts: mpsc::UnboundedReceiver<Sent>) -> Tally {
    while let Some(Sent { due, receipt, bytes }) = receipts.recv().await {
        // Each answer carries the time of its arrival: looking at it late does not make it late.
        match receipt.wait().await {
            Ok(delivered) => tally.record(due, delivered.at, bytes),
            Err(error) => tally.error(error),
        }
    }
    tally
}

/// A driver that never waits must let others go on now and then.
const YIELD_EVERY: u64 = 64;

/// An open loop that is this late is given up: the broker will not catch up.
const DRAIN: Duration = Duration::from_secs(60);
