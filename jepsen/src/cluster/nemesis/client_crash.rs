//! Clients die, with records under way, and come back as others.

use crate::Failure;
use crate::cluster::Cluster;
use crate::random::Random;

#[expect(clippy::unused_async, reason = "all faults are struck alike")]
pub(super) async fn strike(cluster: &Cluster, random: &mut Random) -> Result<String, Failure> {
    let crashed = cluster.crashes.strike(random);
    Ok(format!("{crashed} killed"))
}
