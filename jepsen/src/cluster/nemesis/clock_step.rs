//! A wall clock that steps, forwards or back, and steps back to the right time later.

use super::last;
use crate::Failure;
use crate::cluster::Cluster;
use crate::random::Random;

pub(super) async fn strike(cluster: &Cluster, random: &mut Random) -> Result<String, Failure> {
    let nodes = cluster.some_nodes(random, 1).await;
    let Some(node) = nodes.first() else { return Ok(String::new()) };
    // Beyond an hour brokers rightly refuse what clients with the right time send (`message.timestamp.after.max.ms`).
    let reach = [2_i64, 30, 600, 3000][random.index(4)];
    let seconds = if random.chance(50) { reach } else { -reach };
    node.set_clock(seconds)?;
    let lasted = last(random, 1_000, 10_000).await;
    node.set_clock(0)?;
    Ok(format!("node {}'s clock was {seconds:+} s off for {lasted:?}", node.number + 1))
}
