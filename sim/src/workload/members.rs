//! Consumers of one classic group that commit what they were given, and come and go: some leave in good order and join
//! again, some are killed by the nemesis.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::client::{Fetched, GroupConsumer, GroupEvent, GroupSettings, MissingTopic, OffsetSpec};
use ottla::environment::Runtime as _;
use ottla::model::{GroupId, TopicName, TopicPartition};

use super::{Clients, Shared, TOPIC, Workload, judge_poll_error, note_records, pause};
use crate::history::{History, Verdict, show};
use crate::random::Random;
use crate::runtime::SimRuntime;

/// The group of the members.
const MEMBERS: &str = "members";

pub(super) const WORKLOAD: Workload = Workload { name: "members", start };

fn start(clients: &mut Clients, random: &mut Random) {
    let count = random.below(4);
    let leaves = random.chance(0.5);
    for number in 1..=count {
        let name = format!("member-{number}");
        if leaves {
            clients.add(&name, come_and_go)
        } else {
            clients.add(&name, stay)
        };
    }
    clients.expect_group(MEMBERS, count);
}

async fn stay(runtime: SimRuntime, shared: Shared) {
    until_there_is_a_topic(&runtime, &shared).await;
    take_part(&runtime, &shared, u64::MAX).await;
}

async fn come_and_go(runtime: SimRuntime, shared: Shared) {
    until_there_is_a_topic(&runtime, &shared).await;
    while !shared.is_over() {
        let polls = 10 + runtime.random() % 50;
        take_part(&runtime, &shared, polls).await;
        pause(&runtime, 3_000).await;
    }
    take_part(&runtime, &shared, u64::MAX).await;
}

/// A member that joins before gets no partitions of it, until the next rebalance.
pub(super) async fn until_there_is_a_topic(runtime: &SimRuntime, shared: &Shared) {
    let client = shared.habits.client(runtime.clone());
    while client.topic(&TopicName::from(TOPIC), MissingTopic::Leave).await.is_err() {
        pause(runtime, 1_000).await;
    }
}

/// Of a member of this group.
pub(super) fn settings(group: &str) -> GroupSettings {
    GroupSettings {
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(20),
        heartbeat_interval: Duration::from_secs(1),
        auto_commit: None,
        reset: Some(OffsetSpec::Earliest),
        ..GroupSettings::new(GroupId::from(group), vec![TopicName::from(TOPIC)])
    }
}

/// One life as a member, which ends in good order after so many polls.
async fn take_part(runtime: &SimRuntime, shared: &Shared, polls: u64) {
    let Shared { habits, history, .. } = shared;
    let life = history.new_life();
    let mut member = GroupConsumer::new(habits.client(runtime.clone()), settings(MEMBERS));
    let mut floors: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    let mut handed_out: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for _ in 0..polls {
        match member.poll(Duration::from_millis(500)).await {
            Ok(Some(GroupEvent::Assigned { partitions, .. })) => {
                let floor = |p: TopicPartition| (history.committed_at_least(MEMBERS, &p), p);
                floors = partitions.into_iter().map(floor).map(|(floor, p)| (p, floor)).collect();
                handed_out.clear();
            }
            Ok(Some(GroupEvent::Revoked { .. })) => handed_out.clear(),
            Ok(Some(GroupEvent::Records(fetched))) => {
                check_start(history, floors.remove(&fetched.partition), &fetched);
                note_records(history, life, false, &fetched);
                handed_out.insert(fetched.partition.clone(), fetched.next.value());
            }
            Ok(None) => {}
            Err(error) => {
                judge_poll_error(history, "a member", &error);
                pause(runtime, 1_000).await;
            }
        }
        if !handed_out.is_empty() && runtime.random().is_multiple_of(3) {
            for (partition, offset) in &handed_out {
                history.committing(MEMBERS, partition, *offset);
            }
            let outcome = member.commit().await;
            for (partition, offset) in std::mem::take(&mut handed_out) {
                match outcome {
                    Ok(()) => history.committed(runtime.machine(), MEMBERS, &partition, offset),
                    // It goes along with the next commit, unless the partition is taken away before.
                    Err(_) => drop(handed_out.insert(partition, offset)),
                }
            }
        }
    }
    // A refusal is no matter: the session ends by itself.
    let _ = member.leave().await;
}

/// The first records after an assignment stand where the group has committed, or later.
fn check_start(history: &History, floor: Option<i64>, fetched: &Fetched) {
    if let Some(floor) = floor.filter(|floor| fetched.from.value() < *floor) {
        let what = format!(
            "a member begins {} at {}, but {floor} was committed",
            show(&fetched.partition),
            fetched.from.value()
        );
        history.surprise(Verdict::LostCommit, Some(&fetched.partition), what);
    }
}
