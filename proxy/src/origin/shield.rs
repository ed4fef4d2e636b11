//! Nodes that are asked before the origins of a site: a parent tier, or the siblings of a cluster.
//!
//! Each object has its node, by consistent hashing, so that the nodes together keep one copy and the origin is asked once.
//! Whoever is meant itself asks the origin. Requests to such a node say by which list they were sent ([`Shield::tier`], a
//! parameter of `CDN-Loop`), and what came by the same list is not sent on by it: nodes that see loads and health differently
//! do not pass a request round. A list of another tier is another list, so that tiers can follow each other.

use std::sync::Arc;

use super::choice::{Origins, Wish, hash_of};
use super::{Origin, Slot};

/// The nodes of a site's shield.
#[derive(Debug)]
pub struct Shield {
    /// Those nodes.
    pub nodes: Origins,
    /// Which list it is: the same on every node that has the same one.
    pub tier: String,
}

impl Shield {
    /// Of these nodes.
    pub fn new(nodes: Origins) -> Self {
        let mut urls: Vec<String> = nodes.all().iter().map(ToString::to_string).collect();
        urls.sort();
        let tier = format!("{:016x}", hash_of(urls.join(" ").as_bytes()));
        Self { nodes, tier }
    }

    /// A place at the node that an object belongs to; `None` when the origin is to be asked: this node, `own`, is meant itself,
    /// or none is in, or the one that is has no room.
    pub async fn enter(&self, wish: &Wish<'_>, own: &str) -> Option<Slot> {
        let node = self.nodes.pick_in(wish).filter(|node| !is_named(node, own) && node.has_room())?;
        Slot::at(node).await.ok()
    }

    /// Whether the node called `own` is among the first so many that an object belongs to. Where it is no node of this list, or nothing says whose an
    /// object is, it has no siblings and all is its own.
    pub fn owns(&self, own: &str, key: u64, copies: usize) -> bool {
        let owners = self.nodes.owners(key, copies);
        let is_sibling = self.nodes.all().iter().any(|node| is_named(node, own));
        !is_sibling || owners.is_empty() || owners.into_iter().any(|node| is_named(node, own))
    }
}

fn is_named(node: &Arc<Origin>, name: &str) -> bool {
    node.name.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::origin::{Balance, Origin as Raw, Retry};

    fn shield(nodes: &[(&str, &str)]) -> Shield {
        let node = |(name, url): &(&str, &str)| {
            Arc::new(Origin::of(&Raw { name: Some((*name).to_owned()), ..Raw::of_url(url) }).unwrap())
        };
        Shield::new(Origins::new(nodes.iter().map(node).collect(), Balance::Hash, Duration::ZERO, &Retry::default()))
    }

    const ABC: [(&str, &str); 3] = [("a", "http://10.0.0.1"), ("b", "http://10.0.0.2"), ("c", "http://10.0.0.3")];

    async fn owner(shield: &Shield, key: u64, own: &str) -> Option<String> {
        let slot = shield.enter(&Wish { now_ms: 0, key, tried: &[] }, own).await?;
        slot.origin().name.clone()
    }

    #[tokio::test]
    async fn siblings_agree_on_whose_an_object_is_and_its_node_asks_the_origin() {
        let (one, other) = (shield(&ABC), shield(&[ABC[2], ABC[0], ABC[1]]));
        for key in (0..50_u64).map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            let name = owner(&one, key, "elsewhere").await.unwrap();
            assert_eq!(owner(&other, key, "elsewhere").await.as_ref(), Some(&name));
            assert_eq!(owner(&one, key, &name.to_uppercase()).await, None);
        }
        assert_eq!(one.tier, other.tier);
        assert_ne!(one.tier, shield(&ABC[..2]).tier);
    }

    #[tokio::test]
    async fn what_is_placed_at_a_sibling_is_what_it_is_asked_for_and_copies_are_at_others() {
        let one = shield(&ABC);
        for key in (0..200_u64).map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            let name = owner(&one, key, "elsewhere").await.unwrap();
            for copies in 1..=3 {
                let having = ABC.iter().filter(|(node, _)| one.owns(&node.to_uppercase(), key, copies)).count();
                assert_eq!((having, one.owns(&name, key, copies)), (copies, true));
            }
            assert!(one.owns("elsewhere", key, 1), "it has no siblings");
        }
    }

    #[tokio::test]
    async fn without_a_node_that_is_in_the_origin_is_asked() {
        let one = shield(&ABC[..1]);
        for _ in 0..crate::origin::health::FAILURES_MAX {
            one.nodes.failed(&one.nodes.all()[0], 0);
        }
        assert_eq!(owner(&one, 0, "elsewhere").await, None);
    }
}
