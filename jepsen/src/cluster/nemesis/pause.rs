//! SIGSTOP: connections stay open and nothing is said, shorter or longer than a session; then SIGCONT, in the middle of what it did.

use super::last;
use crate::Failure;
use crate::cluster::Cluster;
use crate::random::Random;

pub(super) async fn strike(cluster: &Cluster, random: &mut Random) -> Result<String, Failure> {
    let mut nodes = cluster.some_nodes(random, 1).await;
    let numbers: Vec<usize> = nodes.iter().map(|node| node.number + 1).collect();
    for node in &mut nodes {
        node.pause()?;
    }
    let lasted = last(random, 200, 12_000).await;
    for node in &mut nodes {
        node.go_on()?;
    }
    Ok(format!("{numbers:?} paused for {lasted:?}"))
}
