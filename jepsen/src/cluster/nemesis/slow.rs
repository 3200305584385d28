//! A link that is slow in both directions: by delay where the kernel has netem, else by a rate low enough for queues.

use super::last;
use crate::Failure;
use crate::cluster::Cluster;
use crate::random::Random;

pub(super) async fn strike(cluster: &Cluster, random: &mut Random) -> Result<String, Failure> {
    let network = cluster.network().await?;
    let node = random.index(cluster.nodes.len());
    let how = network.slow(node, random.index(4)).await?;
    let lasted = last(random, 1_000, 10_000).await;
    network.hasten(node).await?;
    Ok(format!("node {} had a slow link ({how}) for {lasted:?}", node + 1))
}
