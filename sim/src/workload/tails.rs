//! Clients that read all partitions from the beginning while they grow, and again from the beginning when their process
//! was killed. Some ask for little at a time, so that what they are given is cut wherever it can be.

use std::time::Duration;

use ottla::client::{Consumer, Start};
use ottla::environment::Runtime as _;
use ottla::model::Offset;

use super::{Clients, Shared, Workload, judge_poll_error, note_records, pause, reader_settings};
use crate::random::Random;
use crate::runtime::SimRuntime;

pub(super) const WORKLOAD: Workload = Workload { name: "tails", start };

fn start(clients: &mut Clients, random: &mut Random) {
    for number in 1..=random.below(3) {
        clients.add(&format!("tail-{number}"), follow);
    }
}

async fn follow(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    let mut life = history.new_life();
    let mut consumer = Consumer::new(habits.client(runtime.clone()), reader_settings(&runtime));
    consumer.assign(habits.partitions().map(|partition| (partition, Start::At(Offset::new(0)))));
    loop {
        match consumer.poll(Duration::from_secs(1)).await {
            Ok(Some(fetched)) => {
                note_records(history, life, true, &fetched);
                if runtime.random().is_multiple_of(8) {
                    // Again from somewhere in it: also from the middle of a batch.
                    life = history.new_life();
                    let (from, next) = (fetched.from.value(), fetched.next.value());
                    let count = u64::try_from(next - from).unwrap_or(0).max(1);
                    let place = from + i64::try_from(runtime.random() % count).unwrap_or(0);
                    consumer.seek(&fetched.partition, Start::At(Offset::new(place)));
                }
            }
            Ok(None) => {}
            Err(error) => {
                judge_poll_error(history, "a tail", &error);
                pause(&runtime, 2_000).await;
                life = history.new_life();
                for partition in habits.partitions() {
                    consumer.seek(&partition, Start::At(Offset::new(0)));
                }
            }
        }
    }
}
