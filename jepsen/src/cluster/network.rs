//! A bridge, on it every node with an address and a network namespace of its own, and the clients on the bridge itself.
//!
//! What a node is not to hear is dropped where it arrives, so that each direction of a link can be cut alone, and nobody is told.

use super::sandbox::run;
use crate::Failure;

/// One end of links: a node, or all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Node(usize),
    Clients,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {}", node + 1),
            Self::Clients => f.write_str("the clients"),
        }
    }
}

impl Place {
    /// Its address.
    pub(super) fn address(self) -> String {
        match self {
            Self::Node(node) => format!("10.77.0.{}", node + 1),
            Self::Clients => "10.77.0.254".to_owned(),
        }
    }

    fn namespace(self) -> Option<String> {
        match self {
            Self::Node(node) => Some(format!("n{}", node + 1)),
            Self::Clients => None,
        }
    }

    /// What a command begins with to run there.
    pub(super) fn prefix(self) -> Vec<String> {
        let enter =
            |name| vec!["nsenter".to_owned(), format!("--net=/run/netns/{name}"), "--".to_owned()];
        self.namespace().map_or_else(Vec::new, enter)
    }

    async fn run(self, command: &str) -> Result<(), Failure> {
        let prefix = self.prefix();
        let words: Vec<&str> =
            prefix.iter().map(String::as_str).chain(command.split_whitespace()).collect();
        run(&words).await
    }
}

const BRIDGE: &str = "jepsen";

/// The links of a cluster.
#[derive(Debug)]
pub(super) struct Network {
    node_count: usize,
    has_filter: bool,
    has_netem: bool,
}

impl Network {
    /// Lays all links.
    pub(super) async fn lay(
        node_count: usize,
        has_filter: bool,
        has_netem: bool,
    ) -> Result<Self, Failure> {
        let network = Self { node_count, has_filter, has_netem };
        let clients = Place::Clients.address();
        let on_clients_side = [
            // Names of network namespaces are files; these are to go with our mounts.
            "mount -t tmpfs jepsen /run".to_owned(),
            "ip link set lo up".to_owned(),
            format!("ip link add {BRIDGE} type bridge"),
            format!("ip addr add {clients}/24 dev {BRIDGE}"),
            format!("ip link set {BRIDGE} up"),
        ];
        for command in &on_clients_side {
            Place::Clients.run(command).await?;
        }
        for node in 0..node_count {
            let (place, link) = (Place::Node(node), link(node));
            let name = place.namespace().unwrap_or_default();
            for command in [
                format!("ip netns add {name}"),
                format!("ip link add {link} type veth peer name eth0 netns {name}"),
                format!("ip link set {link} master {BRIDGE} up"),
            ] {
                Place::Clients.run(&command).await?;
            }
            for command in [
                "ip link set lo up".to_owned(),
                format!("ip addr add {}/24 dev eth0", place.address()),
                "ip link set eth0 up".to_owned(),
            ] {
                place.run(&command).await?;
            }
        }
        if has_filter {
            for place in network.places() {
                place.run("nft add table inet jepsen").await?;
                place
                    .run("nft add chain inet jepsen input { type filter hook input priority 0 ; }")
                    .await?;
            }
        }
        Ok(network)
    }

    /// All ends.
    pub(super) fn places(&self) -> Vec<Place> {
        (0..self.node_count).map(Place::Node).chain([Place::Clients]).collect()
    }

    /// Nothing goes this way any more.
    pub(super) async fn cut(&self, from: Place, to: Place) -> Result<(), Failure> {
        to.run(&format!("nft add rule inet jepsen input ip saddr {} drop", from.address())).await
    }

    /// So many of a hundred packets to a place are lost.
    pub(super) async fn lose(&self, to: Place, percent: u64) -> Result<(), Failure> {
        let rule = format!("nft add rule inet jepsen input numgen random mod 100 < {percent} drop");
        to.run(&rule).await
    }

    /// The link of a node is slow in both directions; `strength` is between 0 and 3. Says what was done.
    pub(super) async fn slow(&self, node: usize, strength: usize) -> Result<String, Failure> {
        let how = if self.has_netem {
            let ms = [20, 80, 200, 500][strength.min(3)];
            format!("netem delay {ms}ms {}ms", ms / 2)
        } else {
            let kilobits = [2000, 1000, 400, 150][strength.min(3)];
            format!("tbf rate {kilobits}kbit burst 16kb latency 3s")
        };
        Place::Clients.run(&format!("tc qdisc add dev {} root {how}", link(node))).await?;
        Place::Node(node).run(&format!("tc qdisc add dev eth0 root {how}")).await?;
        Ok(how)
    }

    /// A node's link is as fast as it was.
    pub(super) async fn hasten(&self, node: usize) -> Result<(), Failure> {
        Place::Clients.run(&format!("tc qdisc del dev {} root", link(node))).await?;
        Place::Node(node).run("tc qdisc del dev eth0 root").await
    }

    /// Everything arrives everywhere.
    pub(super) async fn mend(&self) -> Result<(), Failure> {
        if self.has_filter {
            for place in self.places() {
                place.run("nft flush chain inet jepsen input").await?;
            }
        }
        Ok(())
    }
}

fn link(node: usize) -> String {
    format!("v{}", node + 1)
}
