//! A replaced disk: a node comes back under its id and without its partitions, when all others have them.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::cluster::Cluster;
use crate::random::Random;

const PATIENCE: Duration = Duration::from_secs(120);

pub(super) async fn strike(cluster: &Cluster, random: &mut Random) -> Result<String, Failure> {
    let mut nodes = cluster.some_nodes(random, 1).await;
    let Some(node) = nodes.first_mut() else { return Ok(String::new()) };
    let number = node.number + 1;
    if !cluster.until_in_sync(PATIENCE).await {
        return Ok("no disk wiped: replicas were not in sync".to_owned());
    }
    let held = node.held_bytes()?;
    node.kill().await?;
    node.wipe()?;
    node.start()?;
    // The cluster may not have noticed yet that anything is gone.
    let until = Instant::now() + PATIENCE;
    while node.held_bytes().unwrap_or(0) < held && Instant::now() < until {
        sleep(Duration::from_millis(50)).await;
    }
    let is_back = node.held_bytes().unwrap_or(0) >= held;
    drop(nodes);
    let is_in_sync = cluster.until_in_sync(PATIENCE).await;
    let healed = if is_back && is_in_sync { "in sync again" } else { "NOT IN SYNC" };
    Ok(format!("node {number} came back without its partitions, {healed}"))
}
