//! `high-watermark`: one process has taken its high watermark of a partition back, or has it behind the end of its log. Readers may
//! have been given what is not committed any more.

use std::collections::BTreeMap;

use ottla::model::NodeId;

use super::{Breach, Key, Look};
use crate::history::Verdict;

/// The highest of each life of each replica.
#[derive(Default)]
pub(super) struct Marks(BTreeMap<(NodeId, Key), (usize, i64)>);

impl Marks {
    pub(super) fn check(&mut self, look: &Look<'_>) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for (process, replica) in look.replicas() {
            let before = self.0.entry((process.id, replica.key)).or_default();
            if before.0 != process.life {
                *before = (process.life, 0);
            }
            let (now, end) = (replica.high_watermark, replica.log_end);
            let problem = if now > end {
                Some(format!("{now}, and ends at {end}"))
            } else {
                (now < before.1).then(|| format!("{now}, and had {}", before.1))
            };
            before.1 = now.max(before.1);
            if let Some(problem) = problem {
                let what =
                    format!("{} of {} has high watermark {problem}", replica.partition, process.id);
                breaches.push(replica.breach(Verdict::HighWatermark, what));
            }
        }
        breaches
    }
}
