//! Clusters by the names that the operator gives them in `[[cluster]]`. Known in [`Routing::clusters`](super::Routing::clusters) alone, which
//! is called whenever one changed.
//!
//! A component imports this interface of the node when it calls [`cluster`], or [`Who::index`]. Native tests tell names first: [`tell`].

use serde::Deserialize;

use super::{CLUSTERS_MAX, NONE};

pub use here::cluster;
#[cfg(not(target_arch = "wasm32"))]
pub use here::tell;

/// A cluster as an operator writes it in the config of a policy: by its name, or as a number in the order of `[[cluster]]`, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a cluster: its name, or its number")]
pub enum Who {
    /// By its place.
    Number(u16),
    /// By its `id`.
    Name(String),
}

impl Who {
    /// Its place in candidate masks; [`NONE`]: there is none of that name now, which is logged. See the module for when names are known.
    #[must_use]
    pub fn index(&self) -> u16 {
        match self {
            Self::Number(number) => *number,
            Self::Name(name) => {
                let found = cluster(name);
                if found == NONE {
                    crate::warn!("no [[cluster]] has the id {name:?}: it is passed over");
                }
                found
            }
        }
    }

    /// For [`Routing::new`](super::Routing::new), when names are not known yet.
    ///
    /// # Errors
    /// For a number that no cluster can have.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Number(number) if usize::from(*number) >= CLUSTERS_MAX => {
                Err(format!("there is no cluster {number}: they are 0 to {}", CLUSTERS_MAX - 1))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "functions of the host are foreign")]
mod here {
    #[link(wasm_import_module = "littoral:plugin/named@0.1.0")]
    unsafe extern "C" {
        #[link_name = "cluster"]
        fn host_cluster(name: *const u8, bytes: usize) -> i32;
    }

    /// The cluster of this name; [`NONE`](super::NONE): none has it.
    pub fn cluster(name: &str) -> u16 {
        // SAFETY: the flat signature of `named.cluster`; the host reads the name's bytes during the call and keeps no pointer.
        unsafe { host_cluster(name.as_ptr(), name.len()) as u16 }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod here {
    use std::cell::RefCell;

    thread_local!(static TOLD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) });

    /// The names from now on, in the order of clusters, for policies that this thread tells of them.
    pub fn tell(names: &[&str]) {
        TOLD.set(names.iter().map(|name| (*name).to_owned()).collect());
    }

    /// The cluster of this name; [`NONE`](super::NONE): none has it.
    pub fn cluster(name: &str) -> u16 {
        let place = TOLD.with_borrow(|told| told.iter().position(|known| known == name));
        place.and_then(|place| u16::try_from(place).ok()).unwrap_or(super::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::logged;

    #[test]
    fn a_cluster_is_found_by_its_name_or_number_and_one_that_is_not_there_is_said() {
        tell(&["ams", "fra"]);
        let who = |text: &str| crate::config::<Who>(text).unwrap();
        assert_eq!([r#""fra""#, "1", "7"].map(|text| who(text).index()), [1, 1, 7]);
        assert!(logged().is_empty());
        assert_eq!(who(r#""lhr""#).index(), NONE);
        assert!(logged().iter().any(|(_, line)| line.contains("\"lhr\"")), "{:?}", logged());
        tell(&[]);
        assert_eq!(who(r#""fra""#).index(), NONE);
    }

    #[test]
    fn what_can_be_no_cluster_is_refused() {
        assert_eq!(Who::Number(64).check(), Err("there is no cluster 64: they are 0 to 63".into()));
        assert_eq!([Who::Number(63).check(), Who::Name("ams".into()).check()], [Ok(()), Ok(())]);
        assert!(crate::config::<Who>("[1]").unwrap_err().contains("expected a cluster: its name, or its number"));
    }
}
