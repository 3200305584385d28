//! `incomplete-leader`: a replica leads, and its log ends before something that a leader of an earlier epoch, or a follower,
//! took for committed. What is missing is lost, whether or not a client ever asks for it.
//!
//! Leaders whose epoch is over are not judged: they do not know yet what has been committed since.

use super::{Breach, Look, Of};
use crate::history::Verdict;

/// What was committed of each partition, and the newest leader epoch that anybody has heard of.
#[derive(Default)]
pub(super) struct Committed(Of<(i64, i32)>);

impl Committed {
    pub(super) fn check(&mut self, look: &Look<'_>) -> Vec<Breach> {
        for (_, replica) in look.replicas() {
            let (committed, newest) = self.0.entry(replica.key).or_default();
            *committed = replica.high_watermark.max(*committed);
            *newest = replica.epoch.value().max(*newest);
        }
        let mut breaches = Vec::new();
        for (process, replica) in look.replicas() {
            let Some((committed, newest)) = self.0.get(&replica.key) else { continue };
            let is_newest = replica.leading.is_some_and(|epoch| epoch.value() == *newest);
            if is_newest && replica.log_end < *committed {
                let what = format!(
                    "{} leads {} in epoch {newest} with records before {}, and {committed} was committed",
                    process.id, replica.partition, replica.log_end
                );
                breaches.push(replica.breach(Verdict::IncompleteLeader, what));
            }
        }
        breaches
    }
}
