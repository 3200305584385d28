use std::collections::BTreeMap;

use super::{Random, Refusal};
use crate::metadata::{ClusterImage, MetadataVersion};
use crate::model::{ErrorCode, NodeId};

/// Deals replicas out to brokers so that leaders and followers spread evenly over brokers and racks.
///
/// The first replicas of consecutive partitions take the racks in turn, and within a rack its brokers in turn; the
/// other replicas go on from there, one rack after the other. Unfenced brokers come first and only they lead; fenced
/// ones fill up. After as many partitions as there are unfenced brokers everything is shuffled, so that the same sets do
/// not repeat. Where each turn begins is drawn.
///
/// Source: KIP-36 and the behaviour of Kafka's striped placer.
pub(super) struct Placement {
    racks: Vec<Rack>,
    broker_count: usize,
    unfenced_count: usize,
    /// Which rack the next first replica is taken from.
    rack_offset: usize,
    /// Counts partitions placed since the last shuffle.
    round: usize,
}

#[derive(Default)]
struct Rack {
    unfenced: Ring,
    fenced: Ring,
}

/// Brokers handed out each at most once a round, beginning one further each round.
#[derive(Default)]
struct Ring {
    brokers: Vec<NodeId>,
    offset: usize,
    round: usize,
    taken: usize,
}

impl Placement {
    /// Prepares to place on the brokers of `cluster` that take new replicas.
    pub(super) fn new(
        cluster: &ClusterImage,
        version: MetadataVersion,
        random: &mut Random<'_>,
    ) -> Self {
        let mut by_rack: BTreeMap<Option<String>, Rack> = BTreeMap::new();
        let (mut broker_count, mut unfenced_count) = (0, 0);
        for broker in cluster.brokers() {
            let is_leaving = broker.in_controlled_shutdown && !broker.is_fenced;
            let is_cordoned = version.has_cordoned_directories()
                && broker.cordoned_directories.as_ref().is_some_and(|cordoned| {
                    !broker.directories.is_empty()
                        && broker.directories.iter().all(|directory| cordoned.contains(directory))
                });
            if is_leaving || is_cordoned {
                continue;
            }
            let rack = by_rack.entry(broker.rack.clone()).or_default();
            broker_count += 1;
            if broker.is_fenced {
                rack.fenced.brokers.push(broker.id);
            } else {
                unfenced_count += 1;
                rack.unfenced.brokers.push(broker.id);
            }
        }
        let mut racks: Vec<Rack> = by_rack.into_values().collect();
        for rack in &mut racks {
            rack.fenced.offset = draw(random, rack.fenced.brokers.len());
            rack.unfenced.offset = draw(random, rack.unfenced.brokers.len());
        }
        let rack_offset = draw(random, racks.len());
        Self { racks, broker_count, unfenced_count, rack_offset, round: 0 }
    }

    /// The replicas of the next `partition_count` partitions, each `replication_factor` different brokers.
    ///
    /// # Errors
    ///
    /// `INVALID_REPLICATION_FACTOR` when there are not so many brokers, or none that is unfenced.
    pub(super) fn place(
        &mut self,
        partition_count: usize,
        replication_factor: usize,
        random: &mut Random<'_>,
    ) -> Result<Vec<Vec<NodeId>>, Refusal> {
        let refuse = |message| Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
        if replication_factor == 0 {
            return refuse(
                "Invalid replication factor 0: the replication factor must be positive.".to_owned(),
            );
        }
        if self.unfenced_count == 0 {
            return refuse("All brokers are currently fenced.".to_owned());
        }
        if replication_factor > self.broker_count {
            return refuse(format!(
                "The target replication factor of {replication_factor} cannot be reached because only {} broker(s) are \
                 registered or some brokers have all their log directories cordoned.",
                self.broker_count
            ));
        }
        Ok((0..partition_count).map(|_| self.place_one(replication_factor, random)).collect())
    }

    fn place_one(&mut self, replication_factor: usize, random: &mut Random<'_>) -> Vec<NodeId> {
        // A single unfenced broker would be shuffled after every partition, for nothing.
        if self.round == self.unfenced_count && self.unfenced_count > 1 {
            self.shuffle(random);
            self.round = 0;
        }
        let rack_count = self.racks.len();
        let round = self.round;
        let start = self.rack_offset % rack_count;
        let mut replicas = Vec::with_capacity(replication_factor);
        let mut leader_rack = start;
        while replicas.is_empty() {
            match self.racks.get_mut(leader_rack).and_then(|rack| rack.unfenced.next(round)) {
                Some(broker) => replicas.push(broker),
                None => leader_rack = (leader_rack + 1) % rack_count,
            }
        }
        let mut skip_leader_rack = true;
        let mut rack = start;
        while replicas.len() < replication_factor {
            if skip_leader_rack && rack == leader_rack {
                skip_leader_rack = false;
            } else if let Some(rack) = self.racks.get_mut(rack) {
                replicas.extend(rack.unfenced.next(round).or_else(|| rack.fenced.next(round)));
            }
            rack = (rack + 1) % rack_count;
        }
        self.round += 1;
        self.rack_offset = (start + 1) % rack_count;
        replicas
    }

    fn shuffle(&mut self, random: &mut Random<'_>) {
        shuffle(&mut self.racks, random);
        for rack in &mut self.racks {
            shuffle(&mut rack.unfenced.brokers, random);
            shuffle(&mut rack.fenced.brokers, random);
        }
    }
}

impl Ring {
    /// The next broker of this round; `None` when the round has had them all.
    fn next(&mut self, round: usize) -> Option<NodeId> {
        if self.round != round {
            self.round = round;
            self.taken = 0;
            self.offset += 1;
        }
        if self.taken >= self.brokers.len() {
            return None;
        }
        let place = (self.offset + self.taken) % self.brokers.len();
        self.taken += 1;
        self.brokers.get(place).copied()
    }
}

/// A number below `bound`; 0 when `bound` is.
fn draw(random: &mut Random<'_>, bound: usize) -> usize {
    let Ok(bound) = u64::try_from(bound) else { return 0 };
    if bound == 0 { 0 } else { usize::try_from(random() % bound).unwrap_or(0) }
}

fn shuffle<T>(items: &mut [T], random: &mut Random<'_>) {
    for last in (1..items.len()).rev() {
        items.swap(last, draw(random, last + 1));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::Placement;
    use crate::metadata::{
        BrokerRegistration, CommittedBatch, MetadataImage, MetadataLoader, MetadataVersion,
    };
    use crate::model::{BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, Offset, Timestamp};
    use crate::protocol::internal_records::metadata::{MetadataRecord, RegisterBrokerRecord};

    /// Brokers from 1 on, each with its rack; `!` before it for a fenced one.
    fn cluster(racks: &[&str]) -> MetadataImage {
        let brokers = (1..).zip(racks).map(|(id, rack)| {
            let directory = DirectoryId(Uuid::from_u128(1_000 + id));
            let registration = BrokerRegistration {
                id: NodeId(i32::try_from(id).unwrap()),
                epoch: BrokerEpoch(1),
                incarnation_id: Uuid::nil(),
                endpoints: Vec::new(),
                supported_features: BTreeMap::new(),
                rack: Some(rack.trim_start_matches(['!', '#']).to_owned()),
                directories: vec![directory],
                cordoned_directories: rack.starts_with('#').then(|| vec![directory]),
                is_fenced: rack.starts_with('!'),
                in_controlled_shutdown: false,
                is_migrating_zk_broker: false,
            };
            MetadataRecord::from(RegisterBrokerRecord::from(&registration))
        });
        let records: Vec<_> = brokers.map(|record| record.encode_at(33).unwrap()).collect();
        let batch = CommittedBatch {
            base_offset: Offset::ZERO,
            last_offset: Offset::new(i64::try_from(records.len()).unwrap() - 1),
            epoch: LeaderEpoch::ZERO,
            append_time: Timestamp(0),
            records,
        };
        MetadataLoader::new().load_batch(&batch).unwrap().image
    }

    fn place(racks: &[&str], partitions: usize, replicas: usize) -> Vec<Vec<i32>> {
        let mut state = 5_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 20
        };
        let image = cluster(racks);
        let mut placement = Placement::new(image.cluster(), MetadataVersion::LATEST, &mut random);
        let placed = placement.place(partitions, replicas, &mut random).unwrap();
        placed.into_iter().map(|ids| ids.into_iter().map(|id| id.0).collect()).collect()
    }

    fn count(ids: impl Iterator<Item = i32>) -> BTreeMap<i32, usize> {
        super::super::topics::occurrences(ids)
    }

    #[test]
    fn leaders_and_replicas_spread_evenly_over_brokers() {
        let placed = place(&["a", "a", "a", "a"], 40, 3);
        let leaders = count(placed.iter().map(|replicas| replicas[0]));
        assert!(leaders.values().all(|leads| *leads == 10), "{leaders:?}");
        let all = count(placed.iter().flatten().copied());
        assert!(all.values().all(|has| (28..=32).contains(has)), "{all:?}");
    }

    #[test]
    fn replicas_of_a_partition_lie_in_different_racks_and_on_different_brokers() {
        for replicas in place(&["a", "a", "b", "b", "c", "c"], 60, 3) {
            let racks: std::collections::BTreeSet<i32> =
                replicas.iter().map(|id| (id + 1) / 2).collect();
            assert_eq!(racks.len(), 3, "{replicas:?}");
        }
        for replicas in place(&["a", "a", "a", "b"], 60, 4) {
            let mut sorted = replicas.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [1, 2, 3, 4], "{replicas:?}");
        }
    }

    #[test]
    fn fenced_brokers_fill_up_and_never_lead() {
        let placed = place(&["a", "!b", "a"], 30, 3);
        assert!(placed.iter().all(|replicas| replicas[0] != 2 && replicas.contains(&2)));
    }

    #[test]
    fn cordoned_brokers_get_nothing() {
        assert!(place(&["a", "#a", "a"], 30, 2).iter().flatten().all(|id| *id != 2));
    }

    #[test]
    fn one_broker_takes_any_number_of_partitions() {
        assert_eq!(place(&["a"], 10_000, 1).len(), 10_000);
    }
}
