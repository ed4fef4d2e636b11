//! Opens a component: which interfaces it exports, what it imports, and the core module inside it.

use wasmparser::{ComponentExternalKind, Parser, Payload};

/// The package of the contract and the version this host speaks; later patches of it are the same contract.
const PACKAGE: &str = "littoral:plugin/";
const VERSION: &str = "0.1.";

/// An interface that a policy may export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// `routing`
    Routing,
    /// `rate`
    Rate,
    /// `cache`
    Cache,
    /// `cache-exact`
    Exact,
}

impl Interface {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Routing, Self::Rate, Self::Cache, Self::Exact];

    /// Its name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Routing => "routing",
            Self::Rate => "rate",
            Self::Cache => "cache",
            Self::Exact => "cache-exact",
        }
    }

    /// The world that exports it.
    pub fn world(self) -> &'static str {
        match self {
            Self::Routing => "routing-policy",
            Self::Rate => "rate-policy",
            Self::Cache => "cache-policy",
            Self::Exact => "cache-exact-policy",
        }
    }
}

/// What a component is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Opened {
    /// Names of the instances it exports.
    pub(crate) exports: Vec<String>,
    /// Names of what it imports.
    pub(crate) imports: Vec<String>,
    /// Whether its code asks by HTTP; `give-up` alone, which is of the same interface, asks nobody.
    pub(crate) asks_by_http: bool,
    /// Whether it waits for what is answered.
    pub(crate) waits_for_http: bool,
    /// Where its first core module lies in the file.
    pub(crate) core: std::ops::Range<usize>,
}

/// Opens `bytes`.
///
/// # Errors
/// What it is instead, in a few words.
pub(crate) fn open(bytes: &[u8]) -> Result<Opened, String> {
    if Parser::is_core_wasm(bytes) {
        return Err("it is a core module, not a component: build it with `littoral plugin build DIRECTORY`".into());
    }
    if !Parser::is_component(bytes) {
        return Err("it is no WebAssembly component: build one with `littoral plugin build DIRECTORY`".into());
    }
    let mut opened = Opened::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| format!("it is damaged: {error}"))? {
            Payload::ModuleSection { unchecked_range, .. } => {
                if depth == 0 && opened.core.is_empty() {
                    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                    opened.core = place(unchecked_range.start)..place(unchecked_range.end);
                }
                depth += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.map_err(|error| format!("it is damaged: {error}"))?;
                    if export.kind == ComponentExternalKind::Instance {
                        opened.exports.push(export.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(|error| format!("it is damaged: {error}"))?;
                    opened.imports.push(import.name.name.to_owned());
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(|error| format!("it is damaged: {error}"))?;
                    let waits = is_ours(import.module, "fetch") && import.name == "send";
                    opened.waits_for_http |= waits;
                    opened.asks_by_http |= waits || is_ours(import.module, "swarm-fetch") && import.name == "ask";
                }
            }
            _ => {}
        }
    }
    if opened.core.is_empty() || opened.core.end > bytes.len() {
        return Err("it has no core module".into());
    }
    Ok(opened)
}

impl Opened {
    /// Whether it exports an interface in a version this host speaks.
    pub(crate) fn has(&self, interface: Interface) -> bool {
        self.exports.iter().any(|name| is_ours(name, interface.as_str()))
    }

    /// Checks that it is a policy with `wanted`, and asks for nothing that policies do not get.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub(crate) fn check(&self, wanted: Option<Interface>) -> Result<(), String> {
        let found = if self.exports.is_empty() { "nothing".to_owned() } else { self.exports.join(", ") };
        let expected = |what: &str| format!("it exports {found}; expected {PACKAGE}{what}@{VERSION}x");
        if !self.exports.iter().any(|name| is_ours(name, "control")) {
            return Err(format!("{}: it is no policy of this contract", expected("control")));
        }
        if let Some(interface) = wanted.filter(|interface| !self.has(*interface)) {
            let world = interface.world();
            return Err(format!(
                "{} (world {world}): name another plugin in [policy], or build it for that world",
                expected(interface.as_str())
            ));
        }
        self.imports_only("policy", &OF_POLICIES)
    }
}

/// Whether a file holds a filter. One that cannot be read does not.
pub fn is_filter(file: &std::path::Path) -> bool {
    crate::engine::read(file).and_then(|bytes| open(&bytes)).is_ok_and(|opened| opened.is_filter())
}

/// Whether a file holds a service, of connections or of datagrams, or a swarm. One that cannot be read does not.
pub fn is_service(file: &std::path::Path) -> bool {
    crate::engine::read(file).and_then(|bytes| open(&bytes)).is_ok_and(|opened| opened.is_any_service())
}

/// What a plugin's file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A policy, or what is none of the others.
    Policy,
    /// A filter.
    Filter,
    /// A service, of connections or of datagrams, or a swarm.
    Service,
}

/// What a file holds; `None`: it cannot be read, or is no component.
pub fn role(file: &std::path::Path) -> Option<Role> {
    let opened = crate::engine::read(file).and_then(|bytes| open(&bytes)).ok()?;
    Some(match () {
        () if opened.is_filter() => Role::Filter,
        () if opened.is_any_service() => Role::Service,
        () => Role::Policy,
    })
}

/// What a policy may import.
pub(crate) const OF_POLICIES: [&str; 4] = ["env", "measured", "priced", "named"];

/// A world of those that run on the component runtime.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct World {
    /// What has it, in words.
    pub(crate) what: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// The file of the contract that has it.
    pub(crate) file: &'static str,
    /// What may be imported.
    pub(crate) imports: &'static [&'static str],
}

/// Of services.
const OF_SERVICES: World = World {
    what: "service",
    name: "stream-service",
    file: "service.wit",
    imports: &["env", "ambient", "store", "connection", "durable", "dial", "fetch"],
};
/// Of services of datagrams; of `connection` the types that `dial` uses.
const OF_DATAGRAMS: World = World {
    what: "service of datagrams",
    name: "datagram-service",
    file: "datagram.wit",
    imports: &["env", "ambient", "store", "connection", "durable", "dial", "fetch"],
};
/// Of swarms; of `fetch` the types that `swarm-fetch` uses.
const OF_SWARMS: World = World {
    what: "swarm",
    name: "swarm-service",
    file: "swarm.wit",
    imports: &["env", "ambient", "store", "durable", "fetch", "swarm-fetch", "swarm-host"],
};
/// Of filters; of `connection` the types that `dial` uses.
const OF_FILTERS: World = World {
    what: "filter",
    name: "http-filter",
    file: "filter.wit",
    imports: &["env", "exchange", "ambient", "place", "store", "fetch", "connection", "durable", "dial"],
};
/// All of them.
pub(crate) const WORLDS: [World; 4] = [OF_FILTERS, OF_SERVICES, OF_DATAGRAMS, OF_SWARMS];

impl Opened {
    /// The world of those that run on the component runtime; `None` of a policy.
    pub(crate) fn world(&self) -> Option<World> {
        match () {
            () if self.is_filter() => Some(OF_FILTERS),
            () if self.is_swarm() => Some(OF_SWARMS),
            () if self.is_datagrams() => Some(OF_DATAGRAMS),
            () if self.is_service() => Some(OF_SERVICES),
            () => None,
        }
    }

    /// Whether it exports `filter`.
    pub(crate) fn is_filter(&self) -> bool {
        self.exports.iter().any(|name| is_ours(name, "filter"))
    }

    /// Whether it imports this interface of our package.
    pub(crate) fn imports_ours(&self, interface: &str) -> bool {
        self.imports.iter().any(|name| is_ours(name, interface))
    }

    /// Whether it exports `service`.
    pub(crate) fn is_service(&self) -> bool {
        self.exports.iter().any(|name| is_ours(name, "service"))
    }

    /// Whether it exports `terms`: it tells what its choices are made of.
    pub(crate) fn tells_terms(&self) -> bool {
        self.exports.iter().any(|name| is_ours(name, "terms"))
    }

    /// Whether it exports `timer`: it ticks, if it is a filter or a service.
    pub(crate) fn ticks(&self) -> bool {
        self.exports.iter().any(|name| is_ours(name, "timer"))
    }

    /// Checks that it is a filter and asks for nothing that filters do not get.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub(crate) fn check_filter(&self) -> Result<(), String> {
        if !self.is_filter() {
            return Err(self.is_not("filter", "http-filter", "site.filters"));
        }
        self.imports_only(OF_FILTERS.what, OF_FILTERS.imports)
    }

    /// Checks that it is a service and asks for nothing that services do not get.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub(crate) fn check_service(&self) -> Result<(), String> {
        if !self.is_service() {
            return Err(self.is_not("service", "stream-service", "listen.service"));
        }
        self.imports_only(OF_SERVICES.what, OF_SERVICES.imports)
    }

    /// Whether it exports `datagrams`.
    pub(crate) fn is_datagrams(&self) -> bool {
        self.exports.iter().any(|name| is_ours(name, "datagrams"))
    }

    /// Whether it exports `swarm`.
    pub(crate) fn is_swarm(&self) -> bool {
        self.exports.iter().any(|name| is_ours(name, "swarm"))
    }

    /// Whether it is a service of any kind.
    pub(crate) fn is_any_service(&self) -> bool {
        self.is_service() || self.is_datagrams() || self.is_swarm()
    }

    /// Checks that it is a swarm and asks for nothing that swarms do not get.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub(crate) fn check_swarm(&self) -> Result<(), String> {
        if !self.is_swarm() {
            return Err(self.is_not("swarm", "swarm-service", "listen.swarm"));
        }
        if self.ticks() {
            return Err("it exports timer, and a swarm sets timers (swarm-host.set-timer): leave it out".into());
        }
        if self.waits_for_http {
            return Err("it waits by fetch.send, and a swarm waits for nobody: ask by swarm-fetch.ask".into());
        }
        if self.asks_by_http && !self.exports.iter().any(|name| is_ours(name, "swarm-answers")) {
            return Err(
                "it asks by HTTP and exports no swarm-answers: build it for the world asking-swarm-service".into()
            );
        }
        self.imports_only(OF_SWARMS.what, OF_SWARMS.imports)
    }

    /// Checks that it is a service of datagrams and asks for nothing that those do not get.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub(crate) fn check_datagrams(&self) -> Result<(), String> {
        if !self.is_datagrams() {
            return Err(self.is_not("datagrams", "datagram-service", "listen.datagram"));
        }
        self.imports_only(OF_DATAGRAMS.what, OF_DATAGRAMS.imports)
    }

    fn is_not(&self, interface: &str, world: &str, seat: &str) -> String {
        let found = if self.exports.is_empty() { "nothing".to_owned() } else { self.exports.join(", ") };
        format!(
            "it exports {found}; expected {PACKAGE}{interface}@{VERSION}x (world {world}): name another plugin in {seat}"
        )
    }

    fn imports_only(&self, what: &str, interfaces: &[&str]) -> Result<(), String> {
        let allowed = |name: &&String| interfaces.iter().any(|interface| is_ours(name, interface));
        match self.imports.iter().find(|name| !allowed(name)) {
            Some(stranger) => Err(format!(
                "it imports {stranger}; a {what} may import {} of {PACKAGE}*@{VERSION}x only",
                interfaces.join(", ")
            )),
            None => Ok(()),
        }
    }
}

/// The name of an interface without our package and its version; another's as it is.
pub(crate) fn plain(name: &str) -> &str {
    name.strip_prefix(PACKAGE).map_or(name, |rest| rest.split_once('@').map_or(rest, |(plain, _)| plain))
}

/// Whether `name` is an interface of our package in a version this host speaks.
pub(crate) fn is_ours(name: &str, interface: &str) -> bool {
    let versioned = name.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix(interface));
    versioned.and_then(|rest| rest.strip_prefix('@')).is_some_and(|version| version.starts_with(VERSION))
}
