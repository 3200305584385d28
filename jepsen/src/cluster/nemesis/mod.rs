//! What is done to a cluster: one fault a file.
//!
//! A fault strikes, lasts, and is undone in one call. Two go on side by side most of the time, so that one comes into the middle of
//! another; one that takes a node's process waits until no other has it. A wiped disk alone is given a whole cluster and left
//! time to heal: a replica that forgets while others are away would rightly lose records.

mod client_crash;
mod clock_step;
mod cut;
mod disk_full;
mod kill;
mod one_way;
mod lossy;
mod pause;
mod rolling_restart;
mod slow;
mod wipe;

use std::time::Duration;

use super::Cluster;
use super::sandbox::Abilities;
use crate::Failure;
use crate::random::Random;

/// Lists every fault once: its name, its file.
macro_rules! nemeses {
    ($($(#[doc = $doc:literal])+ $nemesis:ident = $name:literal, $file:ident;)+) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(in crate::cluster) enum Nemesis { $($(#[doc = $doc])+ $nemesis,)+ }

        impl Nemesis {
            /// All of them.
            pub(in crate::cluster) const ALL: &[Self] = &[$(Self::$nemesis),+];

            /// Its name on the command line.
            pub(in crate::cluster) const fn name(self) -> &'static str {
                match self { $(Self::$nemesis => $name),+ }
            }

            /// Strikes, lasts, is undone. Says what was done.
            pub(in crate::cluster) async fn strike(
                self,
                cluster: &Cluster,
                random: &mut Random,
            ) -> Result<String, Failure> {
                match self { $(Self::$nemesis => $file::strike(cluster, random).await),+ }
            }
        }
    };
}

nemeses! {
    /// SIGKILL for one node, now and then for two or all.
    Kill = "kill", kill;
    /// SIGSTOP, and SIGCONT later.
    Pause = "pause", pause;
    /// A node hears nothing from some others, nor they from it.
    Cut = "cut", cut;
    /// A node is not heard, but hears; or the other way round.
    OneWay = "one-way", one_way;
    /// A node's link is slow.
    Slow = "slow", slow;
    /// A node's link loses packets.
    Lossy = "lossy", lossy;
    /// A node's file system is full.
    DiskFull = "disk-full", disk_full;
    /// A node's clock steps.
    ClockStep = "clock-step", clock_step;
    /// One node after the other is stopped in order and started again.
    RollingRestart = "rolling-restart", rolling_restart;
    /// A node comes back without its partitions.
    Wipe = "wipe", wipe;
    /// Clients are killed and come back as new ones.
    ClientCrash = "client-crash", client_crash;
}

impl Nemesis {
    pub(in crate::cluster) fn named(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ");
        let found = Self::ALL.iter().copied().find(|nemesis| nemesis.name() == name);
        found.ok_or_else(|| format!("there are: {}", names()))
    }

    /// Why it cannot be done here.
    pub(in crate::cluster) fn obstacle(self, abilities: &Abilities) -> Option<&'static str> {
        match self {
            Self::Kill | Self::Pause | Self::RollingRestart | Self::Wipe | Self::ClientCrash => {
                None
            }
            Self::Cut | Self::OneWay | Self::Lossy => {
                abilities.namespaces.err().or(abilities.filter.err())
            }
            Self::Slow => abilities.namespaces.err().or(abilities.rate.err()),
            Self::DiskFull => abilities.namespaces.err(),
            Self::ClockStep => abilities.faketime.as_ref().err().copied(),
        }
    }
}

/// Lets a fault last.
async fn last(random: &mut Random, ms_min: u64, ms_max: u64) -> Duration {
    let lasts = Duration::from_millis(ms_min + random.below(ms_max - ms_min));
    tokio::time::sleep(lasts).await;
    lasts
}

#[cfg(test)]
mod tests {
    use super::Nemesis;
    use crate::cluster::sandbox::Abilities;

    #[test]
    fn without_namespaces_every_fault_of_links_and_disks_says_why_not() {
        let abilities = Abilities::loopback("because");
        let hindered: Vec<&str> = Nemesis::ALL
            .iter()
            .filter(|nemesis| nemesis.obstacle(&abilities) == Some("because"))
            .map(|nemesis| nemesis.name())
            .collect();
        assert_eq!(hindered, ["cut", "one-way", "slow", "lossy", "disk-full"]);
    }

    #[test]
    fn names_name_one_fault_each() {
        for nemesis in Nemesis::ALL {
            assert_eq!(Nemesis::named(nemesis.name()), Ok(*nemesis));
        }
        assert!(Nemesis::named("rain").is_err());
    }
}
