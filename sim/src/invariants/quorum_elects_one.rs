//! `two-leaders`: the metadata quorum has had two leaders in one epoch. `high-watermark`: a process has taken back what it took for
//! committed of the metadata log. `incomplete-leader`: a leader began its epoch with a log that ends before something that anybody took for
//! committed in an earlier one.

use std::collections::BTreeMap;

use ottla::model::{LeaderEpoch, NodeId, Offset};

use super::{Breach, Look};
use crate::history::Verdict;

/// What was seen of the quorum.
#[derive(Default)]
pub(super) struct Quorum {
    leaders: BTreeMap<LeaderEpoch, NodeId>,
    /// The most that was taken for committed by anybody, while the newest epoch it had heard of was this one.
    committed_in: BTreeMap<LeaderEpoch, i64>,
    /// Of each broker: which life, and what it took for committed.
    committed: BTreeMap<NodeId, (usize, i64)>,
}

impl Quorum {
    pub(super) fn check(&mut self, look: &Look<'_>) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for process in &look.processes {
            let (id, quorum) = (process.id, &process.view.quorum);
            // In this order: the epoch is no older than what is committed, and so nothing of a later epoch is in it.
            let now = quorum.high_watermark().value();
            let most = self.committed_in.entry(quorum.leader_and_epoch().1).or_default();
            *most = now.max(*most);
            breaches.extend(self.incomplete(id, quorum.leading_since()));
            let leader = quorum
                .leading_epoch()
                .map(|epoch| (epoch, *self.leaders.entry(epoch).or_insert(id)));
            if let Some((epoch, leader)) = leader.filter(|(_, leader)| *leader != id) {
                let what = format!("the quorum is led by {leader} and by {id} in epoch {epoch}");
                breaches.push(Breach { verdict: Verdict::TwoLeaders, partition: None, what });
            }
            let before = self.committed.entry(id).or_default();
            if before.0 == process.life && now < before.1 {
                let what = format!("metadata of {id} was committed to {}, is to {now}", before.1);
                breaches.push(Breach { verdict: Verdict::HighWatermark, partition: None, what });
            }
            *before = (process.life, now);
        }
        breaches
    }

    fn incomplete(&self, id: NodeId, led: Option<(LeaderEpoch, Offset)>) -> Option<Breach> {
        let (epoch, start) = led.map(|(epoch, start)| (epoch, start.value()))?;
        let before = self.committed_in.range(..epoch);
        let (earlier, committed) = before.max_by_key(|(_, committed)| **committed)?;
        if *committed <= start {
            return None;
        }
        let what = format!(
            "{id} began to lead the quorum in epoch {epoch} with a log that ends at {start}, and {committed} was committed in {earlier}"
        );
        Some(Breach { verdict: Verdict::IncompleteLeader, partition: None, what })
    }
}
