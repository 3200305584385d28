//! `kill -9`: of one node, and one time in five of several at once, down to the whole cluster.

use super::last;
use crate::Failure;
use crate::cluster::Cluster;
use crate::random::Random;

pub(super) async fn strike(cluster: &Cluster, random: &mut Random) -> Result<String, Failure> {
    let count = if random.chance(20) { 2 + random.index(cluster.nodes.len() - 1) } else { 1 };
    let mut nodes = cluster.some_nodes(random, count).await;
    let numbers: Vec<usize> = nodes.iter().map(|node| node.number + 1).collect();
    for node in &mut nodes {
        node.kill().await?;
    }
    let lasted = last(random, 0, 8_000).await;
    for node in &mut nodes {
        node.start()?;
    }
    Ok(format!("kill -9 of {numbers:?}, started after {lasted:?}"))
}
