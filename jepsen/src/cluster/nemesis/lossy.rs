//! A link that loses some of what arrives at a node.

use super::last;
use crate::Failure;
use crate::cluster::Cluster;
use crate::random::Random;

pub(super) async fn strike(cluster: &Cluster, random: &mut Random) -> Result<String, Failure> {
    let network = cluster.network().await?;
    let (one, _) = cluster.one_and_others(random);
    let percent = 5 + random.below(40);
    network.lose(one, percent).await?;
    let lasted = last(random, 1_000, 10_000).await;
    network.mend().await?;
    Ok(format!("{one} lost {percent} % of packets for {lasted:?}"))
}
