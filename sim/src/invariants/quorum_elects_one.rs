//! `two-leaders`: the metadata quorum has had two leaders in one epoch. `high-watermark`: a process has taken back what it took for
//! committed of the metadata log.

use std::collections::BTreeMap;

use ottla::model::{LeaderEpoch, NodeId};

use super::{Breach, Look};
use crate::history::Verdict;

/// What was seen of the quorum.
#[derive(Default)]
pub(super) struct Quorum {
    leaders: BTreeMap<LeaderEpoch, NodeId>,
    /// Of each broker: which life, and what it took for committed.
    committed: BTreeMap<NodeId, (usize, i64)>,
}

impl Quorum {
    pub(super) fn check(&mut self, look: &Look<'_>) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for process in &look.processes {
            let (id, quorum) = (process.id, &process.view.quorum);
            let leader = quorum
                .leading_epoch()
                .map(|epoch| (epoch, *self.leaders.entry(epoch).or_insert(id)));
            if let Some((epoch, leader)) = leader.filter(|(_, leader)| *leader != id) {
                let what = format!("the quorum is led by {leader} and by {id} in epoch {epoch}");
                breaches.push(Breach { verdict: Verdict::TwoLeaders, partition: None, what });
            }
            let now = quorum.high_watermark().value();
            let before = self.committed.entry(id).or_default();
            if before.0 == process.life && now < before.1 {
                let what = format!("metadata of {id} was committed to {}, is to {now}", before.1);
                breaches.push(Breach { verdict: Verdict::HighWatermark, partition: None, what });
            }
            *before = (process.life, now);
        }
        breaches
    }
}
