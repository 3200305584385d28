//! `two-leaders`: a partition has had two leaders in one leader epoch. Whichever of them took a record, the other may have
//! given its offset to another one, and no comparison of epochs would see it.

use std::collections::BTreeMap;

use ottla::model::{LeaderEpoch, NodeId};

use super::{Breach, Key, Look};
use crate::history::Verdict;

/// Who has led what.
#[derive(Default)]
pub(super) struct Leaders(BTreeMap<(Key, LeaderEpoch), NodeId>);

impl Leaders {
    pub(super) fn check(&mut self, look: &Look<'_>) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for (process, replica) in look.replicas() {
            let Some(epoch) = replica.leading else { continue };
            let leader = *self.0.entry((replica.key, epoch)).or_insert(process.id);
            if leader != process.id {
                let what = format!(
                    "{} is led by {leader} and by {} in epoch {epoch}",
                    replica.partition, process.id
                );
                breaches.push(replica.breach(Verdict::TwoLeaders, what));
            }
        }
        breaches
    }
}
