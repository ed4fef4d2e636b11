//! Looking the names of origins up, and again when what was found no longer holds.
//!
//! DNS servers are asked, those of `node.resolvers` or of the system: they tell for how long an answer holds. Names without a
//! dot are left to the system's own resolver, and so are, without `node.resolvers`, names that it has in its hosts file and
//! whatever no server answers; it tells nothing of that time and is asked every [`LOOK_UP_EVERY`]. DNS itself is `littoral_geo::stub`'s. Invariant: an
//! origin keeps the addresses it has until there are others, so that a name that vanishes takes no origin away.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::StreamExt;
use littoral_geo::stub;

use super::Origin;
use crate::clock::elapsed_ms;
use crate::node::Node;

/// How often names are looked up again of which nobody tells how long their addresses hold.
pub const LOOK_UP_EVERY: Duration = Duration::from_secs(30);
/// How often those are that have no address yet, or whose last lookup failed; also how often it is seen whose time is over.
pub const LOOK_UP_FAILED_EVERY: Duration = Duration::from_secs(2);
/// The shortest time an answer is taken to hold, whatever its TTL.
pub const HOLDS_MIN: Duration = Duration::from_secs(1);
/// The longest.
pub const HOLDS_MAX: Duration = Duration::from_secs(3600);
/// How long one server is given, over UDP.
pub const SERVER_PATIENCE: Duration = Duration::from_millis(1200);
/// DNS servers asked for a name, one after the other (as resolv.conf(5) has it).
pub const SERVERS_MAX: usize = 3;
/// Addresses kept of a name.
pub const ADDRESSES_MAX: usize = 64;
/// How long one name may take.
pub const NAME_PATIENCE: Duration = Duration::from_secs(4);
/// How long a start, a reload or a round of looking up waits for the names at most.
pub const LOOK_UP_PATIENCE: Duration = Duration::from_secs(5);
/// Names looked up at a time: each may take a thread of the blocking pool until the system's resolver gives up.
pub const LOOK_UPS_MAX: usize = 16;
/// Bytes of a system's file that are read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Whom to ask for names.
#[derive(Debug, Default)]
struct Resolvers {
    servers: Vec<SocketAddr>,
    /// Whether they are the system's, which then has the last word.
    of_system: bool,
    /// The hosts file, where the system's own order counts.
    hosts: String,
}

impl Resolvers {
    fn of(node: &Node) -> Self {
        let configured = node.settings.load().node.resolvers.clone();
        match configured.is_empty() {
            true => {
                let servers = servers_of(&text_of(Path::new("/etc/resolv.conf")));
                Self { servers, of_system: true, hosts: text_of(Path::new("/etc/hosts")) }
            }
            false => Self { servers: configured, of_system: false, hosts: String::new() },
        }
    }

    /// The addresses of a name, and for how long they hold.
    async fn addresses(&self, host: &str) -> std::io::Result<(Vec<IpAddr>, Duration)> {
        let for_servers = host.contains('.') && !is_in_hosts(&self.hosts, host);
        let mut last = String::new();
        for server in self.servers.iter().filter(|_| for_servers).take(SERVERS_MAX) {
            match stub::addresses(*server, host, SERVER_PATIENCE).await {
                Ok(told) => {
                    let holds = Duration::from_secs(told.ttl_s.into()).clamp(HOLDS_MIN, HOLDS_MAX);
                    return Ok((told.found, holds));
                }
                Err(error) => {
                    tracing::debug!(host, %error, "a DNS server did not help");
                    last = error.to_string();
                }
            }
        }
        if for_servers && !self.of_system {
            return Err(std::io::Error::other(last));
        }
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok((found.map(|address| address.ip()).collect(), LOOK_UP_EVERY))
    }
}

/// The addresses of a name that is no origin's, and for how long they hold.
///
/// # Errors
/// When nobody knows it.
pub(crate) async fn addresses_of(node: &Node, host: &str) -> std::io::Result<(Vec<IpAddr>, Duration)> {
    Resolvers::of(node).addresses(host).await
}

/// Looks the names of origins up, and waits for [`LOOK_UP_PATIENCE`] at most. What fails is a warning and counted: an origin
/// keeps the addresses it has.
pub async fn look_up(node: &Node, origins: Vec<Arc<Origin>>) {
    let named: Vec<_> = origins.into_iter().filter(|origin| !origin.is_literal()).collect();
    if named.is_empty() {
        return;
    }
    let resolvers = &Resolvers::of(node);
    let lookups = named.into_iter().map(|origin| async move {
        let looked_up = tokio::time::timeout(NAME_PATIENCE, resolve(&origin, resolvers)).await;
        let counter = match looked_up.unwrap_or_else(|late| Err(late.into())) {
            Ok(()) => 0,
            Err(error) => {
                tracing::warn!(%origin, %error, "cannot look the origin up; trying again later");
                1
            }
        };
        node.figures.lookups[counter].add(1);
    });
    let all = futures_util::stream::iter(lookups).buffer_unordered(LOOK_UPS_MAX).for_each(|()| std::future::ready(()));
    if tokio::time::timeout(LOOK_UP_PATIENCE, all).await.is_err() {
        tracing::warn!(seconds = LOOK_UP_PATIENCE.as_secs(), "looking origins up takes too long; trying again later");
    }
}

/// Looks the origins of a node up whenever their addresses no longer hold, for ever.
pub async fn keep_looking_up(node: Arc<Node>) {
    loop {
        tokio::time::sleep(HOLDS_MIN).await;
        let now = elapsed_ms();
        let origins = node.sites.load().origins();
        look_up(&node, origins.into_iter().filter(|origin| origin.live.due_ms.load(Relaxed) <= now).collect()).await;
    }
}

/// Looks one up.
async fn resolve(origin: &Origin, resolvers: &Resolvers) -> std::io::Result<()> {
    // Before it is known how it ends, so that one that takes too long is not asked for again at once.
    origin.live.due_ms.store(elapsed_ms() + millis(LOOK_UP_FAILED_EVERY), Relaxed);
    let (mut found, holds) = resolvers.addresses(&origin.host).await?;
    found.truncate(ADDRESSES_MAX);
    if found.is_empty() {
        return Err(std::io::Error::other("the name has no address"));
    }
    let addresses: Vec<_> = found.into_iter().map(|address| SocketAddr::new(address, origin.port)).collect();
    if *origin.live.addresses.load_full() != addresses {
        tracing::info!(%origin, ?addresses, "origin has new addresses");
        origin.live.addresses.store(Arc::new(addresses));
    }
    origin.live.due_ms.store(elapsed_ms() + millis(holds), Relaxed);
    Ok(())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The text of a file of the system, as far as it can be read.
fn text_of(file: &Path) -> String {
    use std::io::Read;
    let mut text = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut text));
    read.map(|_| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

/// The servers of a resolv.conf(5).
fn servers_of(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        Some(SocketAddr::new(address.parse().ok()?, 53))
    });
    servers.take(SERVERS_MAX).collect()
}

/// Whether hosts(5) has a name.
fn is_in_hosts(text: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let names = text.lines().flat_map(|line| line.split('#').next().unwrap_or("").split_whitespace().skip(1));
    names.into_iter().any(|name| name.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_servers_are_read_as_resolv_conf_has_them() {
        let text = "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\nnameserver x\n nameserver  ::1 \nnameserver 192.0.2.2\nnameserver 192.0.2.3\n";
        let servers: Vec<String> = servers_of(text).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[::1]:53", "192.0.2.2:53"]);
        assert!(servers_of("").is_empty());
    }

    #[test]
    fn names_of_the_hosts_file_are_left_to_the_system() {
        let text = "127.0.0.1 localhost\n192.0.2.1\tOrigin.example o # note.example\n";
        let found =
            ["origin.example.", "o", "note.example", "192.0.2.1", "example"].map(|host| is_in_hosts(text, host));
        assert_eq!(found, [true, true, false, false, false]);
    }
}
