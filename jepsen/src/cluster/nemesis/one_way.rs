//! Links cut in one direction: what a node says is lost, or what it is told.

use super::last;
use crate::Failure;
use crate::cluster::Cluster;
use crate::random::Random;

pub(super) async fn strike(cluster: &Cluster, random: &mut Random) -> Result<String, Failure> {
    let network = cluster.network().await?;
    let (one, others) = cluster.one_and_others(random);
    let (is_deaf, is_total) = (random.chance(50), random.chance(40));
    let cut: Vec<_> = others.into_iter().filter(|_| is_total || random.chance(50)).collect();
    for other in &cut {
        let (from, to) = if is_deaf { (*other, one) } else { (one, *other) };
        network.cut(from, to).await?;
    }
    let lasted = last(random, 500, 12_000).await;
    network.mend().await?;
    let cut: Vec<String> = cut.iter().map(ToString::to_string).collect();
    let how = if is_deaf { "does not hear" } else { "is not heard by" };
    Ok(format!("{one} {how} {} for {lasted:?}", cut.join(", ")))
}
