//! A client that makes, grows, reconfigures and deletes topics, each name in turn.

use std::time::Duration;

use ottla::client::{Admin, ConfigChange, NewTopic, Resource};
use ottla::environment::Runtime as _;
use ottla::model::TopicName;

use super::{Clients, Shared, Workload, is_done, pause};
use crate::history::Verdict;
use crate::random::Random;
use crate::runtime::SimRuntime;

pub(super) const WORKLOAD: Workload = Workload { name: "clerk", start };

fn start(clients: &mut Clients, random: &mut Random) {
    if random.chance(0.5) {
        clients.add("clerk", change_topics);
    }
}

async fn change_topics(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    let admin = Admin::new(habits.client(runtime.clone()));
    // Names are never used twice, whatever is still on its way for them.
    let life = history.new_life();
    let mut number = 0;
    while !shared.is_over() {
        number += 1;
        let name = TopicName::from(format!("extra-{life}-{number}").as_str());
        history.changing_topic(name.as_str());
        if is_done(admin.create_topics(&[NewTopic::new(name.clone(), 2)]).await) {
            history.changed_topic(runtime.machine(), name.as_str(), Some(2));
            pause(&runtime, 2_000).await;
            change(&runtime, &shared, &admin, &name).await;
        }
        pause(&runtime, 3_000).await;
    }
    std::future::pending::<()>().await;
}

/// Does to a topic, which is there, what may be done.
async fn change(
    runtime: &SimRuntime,
    shared: &Shared,
    admin: &Admin<SimRuntime>,
    name: &TopicName,
) {
    let history = &shared.history;
    if runtime.random().is_multiple_of(3) {
        history.changing_topic(name.as_str());
        // One that had no answer may have been done: then nobody can say any more.
        if admin.create_partitions(name, 5).await.is_err() {
            return;
        }
        history.changed_topic(runtime.machine(), name.as_str(), Some(5));
    }
    if runtime.random().is_multiple_of(3) {
        let value = (runtime.random() % 1_000 + 60_000).to_string();
        let changes = [ConfigChange::Set("retention.ms".to_owned(), value.clone())];
        let resource = Resource::Topic(name.clone());
        if admin.alter_configs(&resource, &changes).await.is_err() {
            return;
        }
        pause(runtime, 1_000).await;
        let found = retention_of(runtime, shared, admin, &resource, &value).await;
        if let Some(found) = found.filter(|found| found.as_deref() != Some(value.as_str())) {
            let what = format!("retention.ms of {name} was set to {value}, and is {found:?}");
            history.surprise(Verdict::LostConfig, None, what);
        }
    }
    if runtime.random().is_multiple_of(2) {
        history.changing_topic(name.as_str());
        if is_done(admin.delete_topics(std::slice::from_ref(name)).await) {
            history.changed_topic(runtime.machine(), name.as_str(), None);
        }
    }
}

/// What a broker says of it; none when none does. One of several may have lost the others, and says what it last heard: then
/// another one is asked, until it is what was set or [`APART_MAX`] has passed.
async fn retention_of(
    runtime: &SimRuntime,
    shared: &Shared,
    admin: &Admin<SimRuntime>,
    resource: &Resource,
    set: &str,
) -> Option<Option<String>> {
    let deadline = runtime.now() + APART_MAX;
    loop {
        let entries = admin.describe_configs(resource).await.ok()?;
        let found = entries.into_iter().find(|entry| entry.name == "retention.ms");
        let found = found.and_then(|entry| entry.value);
        let is_alone = shared.habits.brokers.len() == 1;
        if is_alone || found.as_deref() == Some(set) || runtime.now() >= deadline {
            return Some(found);
        }
        pause(runtime, 2_000).await;
    }
}

/// Longer than brokers of one cluster are apart.
const APART_MAX: Duration = Duration::from_secs(120);
