//! What an operator does to bring a new version: one node after the other, each when all is in sync again.

use std::time::Duration;

use crate::Failure;
use crate::cluster::Cluster;
use crate::random::Random;

/// The operator does not wait forever: other faults go on.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn strike(cluster: &Cluster, _: &mut Random) -> Result<String, Failure> {
    let mut late = 0;
    for number in 0..cluster.nodes.len() {
        let mut node = cluster.node(number).await;
        if !node.stop().await? {
            late += 1;
        }
        node.start()?;
        drop(node);
        cluster.until_in_sync(PATIENCE).await;
    }
    Ok(format!("rolling restart, {late} stops by force"))
}
