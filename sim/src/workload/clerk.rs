//! A client that makes, grows, reconfigures and deletes topics, each name in turn.

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
        if let Ok(entries) = admin.describe_configs(&resource).await {
            let found = entries.iter().find(|entry| entry.name == "retention.ms");
            let found = found.and_then(|entry| entry.value.as_deref());
            if found != Some(value.as_str()) {
                let what = format!("retention.ms of {name} was set to {value}, and is {found:?}");
                history.surprise(Verdict::LostConfig, None, what);
            }
        }
    }
    if runtime.random().is_multiple_of(2) {
        history.changing_topic(name.as_str());
        if is_done(admin.delete_topics(std::slice::from_ref(name)).await) {
            history.changed_topic(runtime.machine(), name.as_str(), None);
        }
    }
}
