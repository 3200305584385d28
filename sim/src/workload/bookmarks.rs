//! Groups without members whose offsets one client sets, larger each time, and reads back.

use std::collections::BTreeSet;

use ottla::client::Admin;
use ottla::environment::Runtime as _;
use ottla::model::{GroupId, Offset};

use super::{Clients, Shared, Workload, pause};
use crate::history::{Verdict, show};
use crate::random::Random;
use crate::runtime::SimRuntime;

pub(super) const WORKLOAD: Workload = Workload { name: "bookmarks", start };

fn start(clients: &mut Clients, random: &mut Random) {
    if random.chance(0.5) {
        clients.add("bookmark", set_bookmarks);
    }
}

/// Sets the bookmark, larger each time.
///
/// A commit without an answer, of this life or of an earlier one, may still be on its way and arrive after later ones. So
/// after each of them another group is the bookmark, and nobody commits for the old one any more.
async fn set_bookmarks(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    let admin = Admin::new(habits.client(runtime.clone()));
    while !shared.is_over() {
        let name = format!("{BOOKMARK}-{}", history.new_life());
        let mut next = 0;
        while !shared.is_over() {
            next += 1;
            if !set_bookmark(&runtime, &shared, &admin, &name, next).await {
                break;
            }
            pause(&runtime, 1_000).await;
            if runtime.random().is_multiple_of(4) {
                check_bookmark(&shared, &admin, &name).await;
            }
        }
    }
    std::future::pending::<()>().await;
}

/// True when it has certainly been set.
async fn set_bookmark(
    runtime: &SimRuntime,
    shared: &Shared,
    admin: &Admin<SimRuntime>,
    name: &str,
    next: i64,
) -> bool {
    let Shared { habits, history, .. } = shared;
    let chosen: BTreeSet<_> =
        habits.partitions().filter(|_| !runtime.random().is_multiple_of(3)).collect();
    for partition in &chosen {
        history.committing(name, partition, next);
    }
    let offsets = chosen.iter().map(|partition| (partition.clone(), Offset::new(next)));
    let outcome = admin.set_group_offsets(&GroupId::from(name), &offsets.collect()).await;
    if outcome.is_ok() {
        for partition in &chosen {
            history.committed(runtime.machine(), name, partition, next);
        }
    }
    outcome.is_ok()
}

async fn check_bookmark(shared: &Shared, admin: &Admin<SimRuntime>, name: &str) {
    let Shared { habits, history, .. } = shared;
    let Ok(found) = admin.group_offsets(&GroupId::from(name)).await else { return };
    for partition in habits.partitions() {
        let committed = history.committed_at_least(name, &partition);
        let found = found.get(&partition).map_or(0, |found| found.offset.value());
        if found < committed {
            let shown = show(&partition);
            let what = format!("{name} in {shown}: {committed} set, {found} found");
            history.surprise(Verdict::LostCommit, Some(&partition), what);
        }
    }
}

/// Groups whose names begin so: nobody else commits for them.
const BOOKMARK: &str = "bookmark";
