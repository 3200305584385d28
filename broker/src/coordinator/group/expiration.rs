use super::offsets::tombstone;
use super::records::GroupRecord;
use super::requests::{CommittedOffset, GroupState};
use super::{Group, GroupMachine, TimerKey};
use crate::coordinator::timer::Now;
use crate::model::{GroupId, Timestamp};

/// From when on an offset's age counts. Source: KIP-211.
#[derive(Clone, Copy)]
enum Since {
    /// The group became empty then.
    Empty(Timestamp),
    /// Each offset by itself.
    Commit,
}

impl Group {
    /// None while the group's offsets do not age at all.
    fn offsets_age_since(&self) -> Option<Since> {
        let group = &self.classic;
        if group.protocol_type.is_none() {
            return Some(Since::Commit);
        }
        match group.state() {
            GroupState::Empty => Some(group.state_since.map_or(Since::Commit, Since::Empty)),
            // Only topics that nobody subscribes to any more; the caller looks at that.
            GroupState::Stable
                if group.is_consumer_group() && group.subscribed_topics.is_some() =>
            {
                Some(Since::Commit)
            }
            GroupState::Stable
            | GroupState::PreparingRebalance
            | GroupState::CompletingRebalance
            | GroupState::Dead => None,
        }
    }
}

const fn is_expired(
    offset: &CommittedOffset,
    since: Since,
    now: Timestamp,
    retention_ms: i64,
) -> bool {
    match (offset.expire_timestamp, since) {
        (Some(expires), _) => now.millis() >= expires.millis(),
        (None, Since::Empty(start)) => now.millis_since(start) >= retention_ms,
        (None, Since::Commit) => now.millis_since(offset.commit_timestamp) >= retention_ms,
    }
}

impl GroupMachine {
    /// Tombstones for what has expired, group by group, and for groups of which nothing is left.
    pub(super) fn expire(&mut self, now: Now) -> Vec<Vec<GroupRecord>> {
        let next = now.instant.plus_millis(self.settings.retention_check_interval_ms);
        self.timers.schedule(TimerKey::Expiration, next);
        self.groups
            .iter()
            .map(|(id, group)| self.expire_group(id, group, now.wall))
            .filter(|records| !records.is_empty())
            .collect()
    }

    fn expire_group(&self, id: &GroupId, group: &Group, now: Timestamp) -> Vec<GroupRecord> {
        let mut records = Vec::new();
        let mut is_all_expired = !self.offsets.has_pending(id);
        for (topic, partitions) in self.offsets.of(id).into_iter().flatten() {
            let is_subscribed =
                group.classic.is_subscribed_to(topic) && group.classic.protocol_type.is_some();
            for (partition, offset) in partitions {
                let has_expired = group.offsets_age_since().is_some_and(|since| {
                    !is_subscribed
                        && is_expired(offset, since, now, self.settings.offsets_retention_ms)
                        && !self.offsets.is_pending(id, topic, *partition)
                });
                if has_expired {
                    records.push(tombstone(id, topic.clone(), *partition));
                } else {
                    is_all_expired = false;
                }
            }
        }
        if !records.is_empty() {
            tracing::info!(group = %id, count = records.len(), "offsets expired");
        }
        let is_unused =
            group.classic.state() == GroupState::Empty && group.classic.pending_joins.is_empty();
        if is_all_expired && is_unused {
            records.push(GroupRecord::Group { group: id.clone(), value: None });
        }
        records
    }
}
