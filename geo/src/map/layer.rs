//! What one source says of all addresses: a database, the coverage zones, the corrections of an operator.
//!
//! Invariant: each value is kept once, and where nothing is said it is the default one, number 0.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use ipnet::IpNet;

use super::space::Space;
use crate::address::{bounds, key};

/// Values of addresses.
#[derive(Debug)]
pub(crate) struct Layer<V> {
    pub(super) v4: Space<u32>,
    pub(super) v6: Space<u64>,
    pub(super) values: Vec<V>,
}

/// A layer in the making.
pub(crate) struct Draft<V> {
    layer: Layer<V>,
    numbers: HashMap<V, u32>,
    /// Last key of the last prefix, by family.
    last: [Option<u128>; 2],
}

impl<V: Copy + Default + Eq + Hash> Default for Layer<V> {
    fn default() -> Self {
        Self { v4: Space::default(), v6: Space::default(), values: vec![V::default()] }
    }
}

impl<V: Copy + Default + Eq + Hash> Layer<V> {
    /// Of prefixes, which may lie within each other: each changes by `apply` what those around it say. They come back
    /// in order; of equal ones the later in the order of `T` is applied last.
    pub(crate) fn nested<T: Ord>(prefixes: &mut [(IpNet, T)], apply: impl Fn(V, &T) -> V) -> Self {
        prefixes.iter_mut().for_each(|(prefix, _)| *prefix = prefix.trunc());
        prefixes.sort_unstable();
        let mut draft = Draft::default();
        // Last keys and values of the prefixes that the next one may lie in.
        let mut open: Vec<(u128, V)> = Vec::new();
        let mut family = true;
        for (prefix, what) in &*prefixes {
            let v4 = matches!(prefix, IpNet::V4(_));
            let (first, last) = bounds(*prefix);
            close(&mut draft, &mut open, family, if v4 == family { first } else { u128::MAX });
            if v4 != family {
                (family, open) = (v4, Vec::new());
            }
            let value = apply(open.last().map_or(V::default(), |(_, value)| *value), what);
            draft.begin(v4, first, value);
            open.push((last, value));
        }
        close(&mut draft, &mut open, family, u128::MAX);
        draft.finish()
    }

    /// What is said of `address`, and the length of the widest prefix around it of which the same is said.
    pub(crate) fn find(&self, address: IpAddr) -> (V, u8) {
        let (value, scope) = match address {
            IpAddr::V4(_) => self.v4.find(key(address)),
            IpAddr::V6(_) => self.v6.find(key(address)),
        };
        (self.values[value as usize], scope)
    }

    /// Bytes of memory it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes() + self.values.capacity() * size_of::<V>()
    }
}

/// Ends the prefixes that end before `first`: behind each, what is around it holds again.
fn close<V: Copy + Default + Eq + Hash>(draft: &mut Draft<V>, open: &mut Vec<(u128, V)>, v4: bool, first: u128) {
    while let Some((last, _)) = open.last().copied().filter(|(last, _)| *last < first) {
        open.pop();
        draft.begin(v4, last + 1, open.last().map_or(V::default(), |(_, value)| *value));
    }
}

impl<V: Copy + Default + Eq + Hash> Default for Draft<V> {
    fn default() -> Self {
        Self { layer: Layer::default(), numbers: HashMap::from([(V::default(), 0)]), last: [None; 2] }
    }
}

impl<V: Copy + Default + Eq + Hash> Draft<V> {
    /// The number of a value.
    pub(crate) fn number(&mut self, value: V) -> u32 {
        let values = &mut self.layer.values;
        *self.numbers.entry(value).or_insert_with(|| {
            values.push(value);
            values.len() as u32 - 1
        })
    }

    /// Says `number` of a prefix, which lies behind all those before it.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn say(&mut self, prefix: IpNet, number: u32) -> Result<(), &'static str> {
        let (first, last) = bounds(prefix);
        let v4 = matches!(prefix, IpNet::V4(_));
        let behind = &mut self.last[usize::from(v4)];
        if behind.is_some_and(|behind| behind >= first) {
            return Err("its networks overlap or are out of order");
        }
        *behind = Some(last);
        self.set(v4, first, number);
        if last != u128::MAX {
            self.set(v4, last + 1, 0);
        }
        Ok(())
    }

    fn begin(&mut self, v4: bool, first: u128, value: V) {
        let number = self.number(value);
        self.set(v4, first, number);
    }

    fn set(&mut self, v4: bool, first: u128, number: u32) {
        if v4 {
            self.layer.v4.begin(first, number);
        } else {
            self.layer.v6.begin(first, number);
        }
    }

    /// The layer.
    pub(crate) fn finish(self) -> Layer<V> {
        let Layer { v4, v6, values } = self.layer;
        Layer { v4: v4.built(), v6: v6.built(), values }
    }
}
