//! A full disk. The broker may end, which a broker without a directory to write into does; then somebody makes room and starts it again.

use super::last;
use crate::Failure;
use crate::cluster::Cluster;
use crate::random::Random;

pub(super) async fn strike(cluster: &Cluster, random: &mut Random) -> Result<String, Failure> {
    let mut nodes = cluster.some_nodes(random, 1).await;
    let Some(node) = nodes.first_mut() else { return Ok(String::new()) };
    let left = random.below(100_000);
    node.leave_room(left).await?;
    let lasted = last(random, 1_000, 8_000).await;
    let has_ended = node.ended_by_itself()?.is_some();
    node.make_room().await?;
    // A directory that has failed stays away until its broker starts anew.
    node.stop().await?;
    node.start()?;
    let what = if has_ended { "ended" } else { "went on" };
    Ok(format!("node {} {what} with {left} bytes left on its disk, {lasted:?}", node.number + 1))
}
