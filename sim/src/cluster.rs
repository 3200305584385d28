//! Several nodes that are one cluster: each broker and controller, with the voters of its metadata quorum said beforehand.

use std::sync::Arc;

use ottla::config::NodeConfig;
use ottla::model::ClusterId;
use ottla::node::{InitialController, InitialVoters, founding_features};

use crate::broker::{DATA_DIRECTORY, Formatting, SimBroker};
use crate::random::Random;
use crate::world::World;

/// How many nodes a cluster has, and what they have in common.
#[derive(Debug)]
pub struct Layout {
    /// How many.
    pub count: u32,
    /// Whether the voters stand in `controller.quorum.voters`, or in the first snapshot (KIP-853).
    pub is_static: bool,
    /// Features that the cluster is formatted with, and their levels.
    pub features: Vec<(&'static str, i16)>,
    /// Settings of all nodes.
    pub overrides: Vec<(&'static str, String)>,
}

impl Layout {
    /// Starts all nodes, each on a machine of its own.
    ///
    /// # Panics
    ///
    /// When the settings do not go together, or there are more nodes than [`NODES_MAX`].
    #[must_use]
    pub fn start(&self, world: &Arc<World>) -> Vec<SimBroker> {
        (1..=self.count).map(|id| self.start_node(world, id)).collect()
    }

    fn start_node(&self, world: &Arc<World>, id: u32) -> SimBroker {
        let host = name(id);
        let listeners = |host: &str| format!("PLAINTEXT://{host}:9092,CONTROLLER://{host}:9093");
        let all =
            |text: fn(u32) -> String| (1..=self.count).map(text).collect::<Vec<_>>().join(",");
        let (voters, servers) = if self.is_static {
            (all(|id| format!("{id}@{}:9093", name(id))), String::new())
        } else {
            (String::new(), all(|id| format!("{}:9093", name(id))))
        };
        let own = [
            ("node.id", id.to_string()),
            ("listeners", listeners("0.0.0.0")),
            ("advertised.listeners", listeners(&host)),
            ("controller.quorum.voters", voters),
            ("controller.quorum.bootstrap.servers", servers),
            // A supervisor would start again what has waited for the others in vain.
            ("initial.broker.registration.timeout.ms", "600000".to_owned()),
        ];
        let all = own.iter().chain(&self.overrides);
        let all: Vec<_> = all.map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let config = NodeConfig::dev(DATA_DIRECTORY, &all);
        let config = config.expect("the settings go together");
        let formatting = self.formatting(&config);
        SimBroker::start_node(world, &host, config, Some(formatting))
    }

    fn formatting(&self, config: &NodeConfig) -> Formatting {
        let controller = |id: u32| {
            let text = format!("{id}@{}:9093:{}", name(id), DIRECTORIES[id as usize - 1]);
            InitialController::parse(&text).expect("it is written as it must be")
        };
        let voters = if self.is_static {
            InitialVoters::Unsaid
        } else {
            InitialVoters::Controllers((1..=self.count).map(controller).collect())
        };
        let features: Vec<_> =
            self.features.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect();
        let founding = founding_features(config, &voters, &features);
        let founding = founding.expect("the features go together");
        Formatting { cluster_id: ClusterId::from(CLUSTER), voters, founding }
    }
}

/// Settings of the metadata quorum that make rare things happen in a short run.
pub(crate) fn draw_quorum_overrides(random: &mut Random) -> Vec<(&'static str, String)> {
    let mut overrides = Vec::new();
    let mut maybe = |name, choices: &[u64]| {
        if random.chance(0.5) {
            overrides.push((name, random.pick(choices).to_string()));
        }
    };
    maybe("metadata.log.max.record.bytes.between.snapshots", &[200, 1_000]);
    maybe("metadata.log.segment.ms", &[500, 2_000]);
    maybe("controller.quorum.fetch.snapshot.max.bytes", &[100, 1_000]);
    maybe("controller.quorum.fetch.max.bytes", &[1, 300]);
    maybe("controller.quorum.election.timeout.ms", &[200, 3_000]);
    maybe("controller.quorum.fetch.timeout.ms", &[500, 4_000]);
    maybe("broker.session.timeout.ms", &[5_000]);
    overrides
}

/// The name of the machine of a node.
#[must_use]
pub fn name(id: u32) -> String {
    format!("node-{id}")
}

/// More nodes than this have no directory ids.
pub const NODES_MAX: u32 = 5;

const CLUSTER: &str = "3Db5QLSqSZieL3rJBUUegA";

/// The directory ids of the nodes.
const DIRECTORIES: [&str; NODES_MAX as usize] = [
    "go04439kSB2DvJMjZ9B0cg",
    "3Db5QLSqSZieL3rJBUUegA",
    "T1CYXg2DQPmdSYSUI-FNFw",
    "b2bG1sX8Sc2mAvQv0n3hWw",
    "wQ0Xv5mVQ1Cw1jv5mB8x3A",
];
