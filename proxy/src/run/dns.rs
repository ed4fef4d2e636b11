//! DNS when a node starts: the sockets of its server and of its resolver, and what answers on the server's.

use std::net::SocketAddr;
use std::sync::Arc;

use littoral_geo::server::{Bound, Listeners, serve_with};
use tokio::sync::watch;

use crate::dot::{self, Inside};
use crate::handover::{Inherited, Kind};
use crate::node::Node;

/// The sockets of one list of addresses for DNS.
pub(super) fn sockets(
    key: &str,
    addresses: &[SocketAddr],
    threads: usize,
    inherited: &mut Inherited,
) -> Result<Option<Listeners>, String> {
    let bound = |address: SocketAddr| {
        let mut sockets = |kind| inherited.take(kind, &address.to_string()).into_iter();
        let udp: Vec<_> = sockets(Kind::DnsUdp).map(Into::into).collect();
        let tcp = sockets(Kind::DnsTcp).next().filter(|_| !udp.is_empty())?.into();
        Some(Bound { udp, tcp })
    };
    let bind = || Listeners::bind_for(key, addresses, threads, bound);
    (!addresses.is_empty()).then(bind).transpose()
}

/// Answers DNS, over TLS and HTTPS, too, with the certificates of the first listener that has some.
pub(super) fn answer(
    node: &Arc<Node>,
    dns: Option<Listeners>,
    dot: Vec<std::net::TcpListener>,
    doh: Vec<std::net::TcpListener>,
    stopped: &watch::Receiver<bool>,
) {
    let (Some(directing), Some(dns)) = (&node.directing, dns) else { return };
    let handler = directing.handler(&node.settings.load());
    let secured = node.fronts.iter().find(|front| front.is_tls());
    let dot = dot.into_iter().map(|socket| (Inside::Dns, socket));
    let doh = doh.into_iter().map(|socket| (Inside::Https, socket));
    for (inside, socket, front) in
        dot.chain(doh).filter_map(|(inside, socket)| Some((inside, socket, secured?.clone())))
    {
        tokio::spawn(dot::serve(inside, socket, front, handler.clone()));
    }
    tokio::spawn(serve_with(dns, handler, stopped.clone()));
}

/// Answers the clients of the local resolver.
pub(super) fn resolve(node: &Arc<Node>, sockets: Option<Listeners>, stopped: &watch::Receiver<bool>) {
    if let Some((resolver, sockets)) = node.resolver.clone().zip(sockets) {
        tokio::spawn(resolver.serve(sockets, stopped.clone()));
    }
}
