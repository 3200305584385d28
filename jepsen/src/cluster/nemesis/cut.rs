//! Links cut in both directions: a node from all others, from one other, or from the clients alone.

use super::last;
use crate::Failure;
use crate::cluster::Cluster;
use crate::random::Random;

pub(super) async fn strike(cluster: &Cluster, random: &mut Random) -> Result<String, Failure> {
    let network = cluster.network().await?;
    let (alone, others) = cluster.one_and_others(random);
    // From everybody, from some, or from whom chance names.
    let is_alone = random.chance(40);
    let cut: Vec<_> = others.into_iter().filter(|_| is_alone || random.chance(50)).collect();
    for other in &cut {
        network.cut(*other, alone).await?;
        network.cut(alone, *other).await?;
    }
    let lasted = last(random, 500, 12_000).await;
    network.mend().await?;
    let cut: Vec<String> = cut.iter().map(ToString::to_string).collect();
    Ok(format!("{alone} cut from {} for {lasted:?}", cut.join(", ")))
}
