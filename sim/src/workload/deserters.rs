//! Members of a group who go without a word and never come back, while one who stays wants what they had.
//!
//! Nobody of them comes later than the deserter goes, and so no rebalance takes it out: its session must.

use std::time::Duration;

use ottla::client::GroupConsumer;
use ottla::environment::Runtime as _;

use super::members::{settings, until_there_is_a_topic};
use super::{Clients, Shared, Workload, pause};
use crate::random::Random;
use crate::runtime::SimRuntime;

pub(super) const WORKLOAD: Workload = Workload { name: "deserters", start };

/// Their group.
const DESERTED: &str = "deserted";

fn start(clients: &mut Clients, random: &mut Random) {
    if random.chance(0.2) {
        clients.add("widow", stay);
        clients.add("deserter", desert);
        clients.expect_group(DESERTED, 1);
    }
}

async fn stay(runtime: SimRuntime, shared: Shared) {
    until_there_is_a_topic(&runtime, &shared).await;
    let client = shared.habits.client(runtime.clone());
    let mut member = GroupConsumer::new(client, settings(DESERTED));
    loop {
        if member.poll(Duration::from_millis(500)).await.is_err() {
            pause(&runtime, 1_000).await;
        }
    }
}

/// The process ends in the middle of it.
async fn desert(runtime: SimRuntime, shared: Shared) {
    until_there_is_a_topic(&runtime, &shared).await;
    let client = shared.habits.client(runtime.clone());
    let mut member = GroupConsumer::new(client, settings(DESERTED));
    for _ in 0..5 + runtime.random() % 20 {
        if member.poll(Duration::from_millis(500)).await.is_err() {
            pause(&runtime, 1_000).await;
        }
        if shared.is_over() {
            return;
        }
    }
    runtime.world().events().count("member gone without a word", 1);
}
