//! The contract as it stands in `plugins/wit`, for what makes components and references of it.

use include_dir::{Dir, include_dir};
use wit_parser::{PackageId, Resolve, SourceMap, WorldId};

mod reference;

pub use reference::reference;

/// The directory.
pub(crate) static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../wit");

/// Its one package.
pub(crate) struct Contract {
    pub(crate) resolve: Resolve,
    pub(crate) package: PackageId,
}

impl Contract {
    /// Reads it.
    ///
    /// # Errors
    /// None for a contract that the tests of this crate have seen.
    pub(crate) fn read() -> Result<Self, String> {
        let mut sources = SourceMap::new();
        for file in WIT.files().filter(|file| file.path().extension().is_some_and(|extension| extension == "wit")) {
            sources.push_str(&file.path().to_string_lossy(), file.contents_utf8().unwrap_or_default());
        }
        let parsed = sources.parse().map_err(|(_, error)| format!("plugins/wit: {error}"))?;
        let mut resolve = Resolve::default();
        let package = resolve.push_group(parsed).map_err(|error| format!("plugins/wit: {error}"))?;
        Ok(Self { resolve, package })
    }

    /// A world by its name.
    pub(crate) fn world(&self, name: &str) -> Option<WorldId> {
        self.resolve.packages.get(self.package)?.worlds.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_one_package_with_all_its_worlds() {
        let contract = Contract::read().unwrap();
        for world in [
            "routing-policy",
            "explained-routing-policy",
            "rate-policy",
            "cache-policy",
            "cache-exact-policy",
            "any-policy",
            "http-filter",
            "stream-service",
            "datagram-service",
            "swarm-service",
            "asking-swarm-service",
            "timed-http-filter",
            "timed-stream-service",
            "timed-datagram-service",
        ] {
            assert!(contract.world(world).is_some(), "{world}");
        }
        assert!(contract.world("nonsense").is_none());
    }
}
