//! Which nodes of a cluster a client gets, and in which order: by weight, and for the same client always the same.
//!
//! Weighted rendezvous: each node draws a figure for each bucket of clients, and the highest come first; so of the clients of a
//! node that goes away, or is down, each goes to its next one, and nobody else moves. Drawn once per config, and of a cluster again when
//! other nodes of it are down. Invariant: an order names each node of its family at most once.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Cluster, Node, hash};

/// Addresses in one answer at most.
pub(crate) const ANSWERS_MAX: usize = 8;
/// Buckets that clients fall into.
const BUCKETS: usize = 256;
/// Bits of an address that tell clients apart, by family: those of an access network, whose clients share caches, too.
const CLIENT_BITS: (u8, u8) = (24, 48);

/// Orders of the nodes of all clusters.
#[derive(Debug, Clone)]
pub(super) struct Orders {
    clusters: Vec<Arc<Ordered>>,
}

/// Those of a cluster, of IPv4 and of IPv6.
#[derive(Debug)]
struct Ordered {
    all: Arc<[Family; 2]>,
    /// Of the nodes that are up, while some are up and some are down: when none is, what is left is the cluster's state to say.
    up: Option<[Family; 2]>,
    /// Addresses of its nodes that are down.
    down: Vec<IpAddr>,
}

/// The nodes of a cluster in one family.
#[derive(Debug)]
struct Family {
    addresses: Vec<IpAddr>,
    /// By bucket: places among the addresses.
    orders: Vec<[u16; ANSWERS_MAX]>,
}

impl Orders {
    pub(super) fn of(clusters: &[Cluster]) -> Self {
        let ordered = |cluster| Arc::new(Ordered { all: families(cluster, &[]).into(), up: None, down: Vec::new() });
        Self { clusters: clusters.iter().map(ordered).collect() }
    }

    /// The same where these addresses of the cluster at `index` are down, of which those that it does not have are left out; `None` when
    /// that is how it is anyway.
    pub(super) fn with_down(&self, index: usize, cluster: &Cluster, down: &[IpAddr]) -> Option<Self> {
        let old = self.clusters.get(index)?;
        let own: Vec<IpAddr> = cluster.addresses().collect();
        let down: Vec<IpAddr> = own.iter().copied().filter(|address| down.contains(address)).collect();
        if down == old.down {
            return None;
        }
        let is_split = !down.is_empty() && down.len() < own.len();
        let up = is_split.then(|| families(cluster, &down));
        let mut clusters = self.clusters.clone();
        clusters[index] = Arc::new(Ordered { all: old.all.clone(), up, down });
        Some(Self { clusters })
    }

    /// Addresses of a cluster's nodes that are down.
    pub(super) fn down(&self, index: usize) -> &[IpAddr] {
        self.clusters.get(index).map_or(&[][..], |ordered| ordered.down.as_slice())
    }

    /// Addresses of a cluster for a client (canonical) of the service with this key, without those of nodes that are down. Of a cluster
    /// whose nodes all are, all of them.
    pub(super) fn addresses(
        &self,
        cluster: u16,
        v6: bool,
        client: IpAddr,
        key: u64,
    ) -> impl Iterator<Item = IpAddr> + '_ {
        let ordered = self.clusters.get(usize::from(cluster));
        let family = ordered.map(|ordered| &ordered.up.as_ref().unwrap_or(&ordered.all)[usize::from(v6)]);
        family.into_iter().flat_map(move |family| family.order(bucket(client, key)))
    }

    /// The same of all its nodes, however they are.
    pub(super) fn all_addresses(
        &self,
        cluster: u16,
        v6: bool,
        client: IpAddr,
        key: u64,
    ) -> impl Iterator<Item = IpAddr> + '_ {
        let family = self.clusters.get(usize::from(cluster)).map(|ordered| &ordered.all[usize::from(v6)]);
        family.into_iter().flat_map(move |family| family.order(bucket(client, key)))
    }
}

/// The nodes of a cluster by family, without those of these addresses.
fn families(cluster: &Cluster, without: &[IpAddr]) -> [Family; 2] {
    let family = |address: fn(&Node) -> Option<IpAddr>| {
        let nodes = cluster.nodes.iter().filter_map(|node| Some((address(node)?, node.weight.max(1))));
        Family::new(nodes.filter(|(address, _)| !without.contains(address)).collect())
    };
    [family(|node| node.v4.map(IpAddr::V4)), family(|node| node.v6.map(IpAddr::V6))]
}

impl Family {
    fn new(nodes: Vec<(IpAddr, u32)>) -> Self {
        let addresses: Vec<IpAddr> = nodes.iter().map(|(address, _)| *address).collect();
        let order = |bucket: usize| {
            let mut drawn: Vec<(f64, u16)> =
                (0..).zip(&nodes).map(|(place, (address, weight))| (draw(bucket, *address, *weight), place)).collect();
            drawn.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut order = [u16::MAX; ANSWERS_MAX];
            order.iter_mut().zip(&drawn).for_each(|(slot, (_, place))| *slot = *place);
            order
        };
        // One node has one order.
        let buckets = if nodes.len() > 1 { BUCKETS } else { nodes.len() };
        Self { orders: (0..buckets).map(order).collect(), addresses }
    }

    fn order(&self, bucket: usize) -> impl Iterator<Item = IpAddr> + '_ {
        let order = self.orders.get(bucket % self.orders.len().max(1));
        order.into_iter().flatten().map_while(|place| self.addresses.get(usize::from(*place)).copied())
    }
}

/// The bucket of a client.
fn bucket(client: IpAddr, key: u64) -> usize {
    let bits = if client.is_ipv4() { CLIENT_BITS.0 } else { CLIENT_BITS.1 };
    hash(&(crate::address::key(crate::address::masked(client, bits)), key)) as usize % BUCKETS
}

/// The figure of a node in a bucket: the higher, the heavier it is.
fn draw(bucket: usize, address: IpAddr, weight: u32) -> f64 {
    const UNIT: f64 = (1_u64 << 53) as f64;
    let uniform = ((hash(&(bucket, address)) >> 11) as f64 + 0.5) / UNIT;
    -f64::from(weight) / uniform.ln()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn orders(weights: &[u32]) -> Orders {
        Orders::of(&[cluster(weights)])
    }

    fn cluster(weights: &[u32]) -> Cluster {
        let node = |(at, weight): (u8, &u32)| Node { v4: Some([192, 0, 2, at].into()), v6: None, weight: *weight };
        Cluster {
            id: "one".into(),
            deep: false,
            at: [0.0; 2],
            capacity_mbps: 1,
            nodes: (0..).zip(weights).map(node).collect(),
            draining: false,
            prefixes: Vec::new(),
            systems: Vec::new(),
        }
    }

    fn client(at: u32) -> IpAddr {
        IpAddr::V4((10 << 24 | at << 8).into())
    }

    fn first(orders: &Orders, at: u32) -> IpAddr {
        orders.addresses(0, false, client(at), 1).next().unwrap()
    }

    #[test]
    fn nodes_get_clients_by_their_weight_and_each_client_the_same_ones_again() {
        let orders = orders(&[1, 1, 2]);
        let mut met: HashMap<IpAddr, u32> = HashMap::new();
        (0..20_000).for_each(|at| *met.entry(first(&orders, at)).or_default() += 1);
        let share = |node: u8| f64::from(met[&IpAddr::from([192, 0, 2, node])]) / 20_000.0;
        assert!((0.18..0.32).contains(&share(0)) && (0.18..0.32).contains(&share(1)), "{met:?}");
        assert!((0.42..0.58).contains(&share(2)), "{met:?}");
        let all: Vec<IpAddr> = orders.addresses(0, false, client(7), 1).collect();
        assert_eq!(all, orders.addresses(0, false, IpAddr::from([10, 0, 7, 99]), 1).collect::<Vec<_>>());
        assert_eq!(all.len(), 3);
        assert_eq!(orders.addresses(0, true, client(7), 1).count(), 0);
        assert_eq!(orders.addresses(9, false, client(7), 1).count(), 0);
    }

    #[test]
    fn when_a_node_goes_only_its_clients_move_and_no_answer_has_more_than_eight() {
        let (before, after) = (orders(&[1; 4]), orders(&[1; 3]));
        let gone = IpAddr::from([192, 0, 2, 3]);
        for at in 0..2000 {
            let mut order = before.addresses(0, false, client(at), 1).filter(|node| *node != gone);
            assert_eq!(order.next(), Some(first(&after, at)));
        }
        assert_eq!(orders(&[1; 20]).addresses(0, false, client(1), 1).count(), ANSWERS_MAX);
    }

    #[test]
    fn when_nodes_are_down_only_their_clients_move_and_when_all_are_all_are_left() {
        let (cluster, all) = (cluster(&[1; 20]), orders(&[1; 20]));
        let down: Vec<IpAddr> = (0..12).map(|at| IpAddr::from([192, 0, 2, at])).collect();
        let some = all.with_down(0, &cluster, &down).unwrap();
        assert_eq!(some.down(0), down);
        for at in 0..2000 {
            let left: Vec<_> = some.addresses(0, false, client(at), 1).collect();
            assert!(left.len() == 8 && left.iter().all(|address| !down.contains(address)), "{left:?}");
            let was = first(&all, at);
            assert!(down.contains(&was) || left[0] == was);
        }
        assert!(some.with_down(0, &cluster, &down).is_none(), "nothing new");
        let strangers = some.with_down(0, &cluster, &[[203, 0, 113, 1].into()]).unwrap();
        assert!(strangers.down(0).is_empty() && all.with_down(9, &cluster, &down).is_none());
        let every: Vec<IpAddr> = cluster.addresses().collect();
        let none = all.with_down(0, &cluster, &every).unwrap();
        assert_eq!((first(&none, 7), none.down(0).len()), (first(&all, 7), 20));
    }
}
