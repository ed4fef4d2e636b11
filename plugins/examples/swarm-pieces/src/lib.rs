//! A server of pieces: peers ask for the pieces of one object that the cache has, and get them from there.
//!
//! A line each: `have` is answered with the object's length, the bytes of a piece, and how many pieces were served; `piece N` with `piece N LENGTH`
//! and the bytes behind it; `sum N` with the SHA-1 of the piece. By UDP `ping` is answered with `pong`. The config has the `url`, and the `bytes` of
//! a piece (65536). The bytes of a piece go from the cache to the peer: they are never here.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use littoral_plugin::swarm::{Algorithm, Host, Swarm, Unsent};
use serde::Deserialize;

/// Bytes of a line.
const LINE_BYTES_MAX: usize = 64;
/// What one peer may have asked for at a time.
const ASKED_MAX: usize = 64;
/// How long until what the cache does not have is looked for again, ms.
const AGAIN_MS: u32 = 200;
/// The timer for that.
const LOOK: u32 = 0;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: String,
    #[serde(default = "bytes_default")]
    bytes: u32,
}

fn bytes_default() -> u32 {
    64 << 10
}

/// What the cache has of the object.
#[derive(Debug, Clone, Copy)]
struct Object {
    content: u32,
    length: u64,
}

/// What a peer asked for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Have,
    Piece(u64),
    /// The bytes of a piece of which the line before them was sent.
    Bytes(u64),
    Sum(u64),
}

#[derive(Debug, Default)]
struct Peer {
    line: Vec<u8>,
    asked: VecDeque<Asked>,
    /// The sum that is under way for it; what it asked after that waits.
    sum: Option<(u32, u64)>,
}

/// All peers, and the object.
#[derive(Debug)]
pub struct Pieces {
    config: Config,
    object: Option<Object>,
    peers: HashMap<u32, Peer>,
    served: u64,
}

/// Whether a line was sent. A peer that has no room for one does not read what it asks for, and is let go.
fn say(connection: u32, line: &str, host: &mut impl Host) -> bool {
    let sent = host.send(connection, line.as_bytes()) == line.len();
    if !sent {
        host.close(connection);
    }
    sent
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn asked(line: &[u8]) -> Option<Asked> {
    let line = std::str::from_utf8(line).ok()?;
    match line.split_once(' ') {
        None if line == "have" => Some(Asked::Have),
        Some(("piece", number)) => number.parse().ok().map(Asked::Piece),
        Some(("sum", number)) => number.parse().ok().map(Asked::Sum),
        _ => None,
    }
}

impl Pieces {
    /// Where a piece begins, and how long it is.
    fn piece(&self, number: u64, object: Object) -> Option<(u64, u32)> {
        let at = number.checked_mul(self.config.bytes.into())?;
        let left = object.length.checked_sub(at).filter(|left| *left > 0)?;
        Some((at, left.min(self.config.bytes.into()) as u32))
    }

    /// The object is not there: it is looked for again.
    fn look_again(&mut self, host: &mut impl Host) {
        if let Some(object) = self.object.take() {
            host.release(object.content);
        }
        host.set_timer(LOOK, AGAIN_MS);
    }

    /// Answers what a peer asked, as far as there is room.
    fn answer(&mut self, connection: u32, host: &mut impl Host) {
        while let Some(object) = self.object {
            let Some(peer) = self.peers.get_mut(&connection).filter(|peer| peer.sum.is_none()) else { return };
            let Some(next) = peer.asked.pop_front() else { return };
            let (Asked::Piece(number) | Asked::Bytes(number) | Asked::Sum(number)) = next else {
                let line = format!("have {} {} {}\n", object.length, self.config.bytes, self.served);
                if say(connection, &line, host) {
                    continue;
                }
                return;
            };
            let Some((at, length)) = self.piece(number, object) else {
                return host.close(connection);
            };
            let later = match next {
                Asked::Sum(_) => match host.digest(object.content, at, length, Algorithm::Sha1) {
                    Ok(sum) => {
                        self.peers.entry(connection).or_default().sum = Some((sum, number));
                        None
                    }
                    Err(_) => Some(next),
                },
                Asked::Piece(_) if !say(connection, &format!("piece {number} {length}\n"), host) => return,
                _ => match host.splice(connection, object.content, at, length) {
                    Ok(()) => {
                        self.served += 1;
                        None
                    }
                    Err(Unsent::Full) => return self.waits(connection, Asked::Bytes(number)),
                    Err(Unsent::Closed) => return,
                    Err(_) => Some(Asked::Bytes(number)),
                },
            };
            if let Some(later) = later {
                self.waits(connection, later);
                return self.look_again(host);
            }
        }
    }

    fn waits(&mut self, connection: u32, asked: Asked) {
        self.peers.entry(connection).or_default().asked.push_front(asked);
    }

    fn answer_all(&mut self, host: &mut impl Host) {
        let peers: Vec<u32> = self.peers.keys().copied().collect();
        peers.into_iter().for_each(|connection| self.answer(connection, host));
    }
}

impl Swarm for Pieces {
    fn start(config: &str, handoff: Option<&[u8]>, host: &mut impl Host) -> Result<Self, String> {
        let config: Config = littoral_plugin::config(config)?;
        if config.bytes == 0 {
            return Err("bytes is at least 1".into());
        }
        let served = handoff.and_then(|given| Some(u64::from_le_bytes(given.try_into().ok()?))).unwrap_or(0);
        host.set_timer(LOOK, 0);
        Ok(Self { config, object: None, peers: HashMap::new(), served })
    }

    fn timer(&mut self, _id: u32, host: &mut impl Host) {
        if self.object.is_none() && host.find(&self.config.url).is_err() {
            host.set_timer(LOOK, AGAIN_MS);
        }
    }

    fn found(&mut self, content: u32, length: Option<u64>, host: &mut impl Host) {
        match length {
            Some(length) => {
                self.object = Some(Object { content, length });
                self.answer_all(host);
            }
            None => self.look_again(host),
        }
    }

    fn opened(&mut self, connection: u32, _peer: SocketAddr, _inbound: bool, _host: &mut impl Host) {
        self.peers.insert(connection, Peer::default());
    }

    fn data(&mut self, connection: u32, bytes: &[u8], host: &mut impl Host) {
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        for byte in bytes {
            match byte {
                b'\n' => match asked(&std::mem::take(&mut peer.line)) {
                    Some(asked) if peer.asked.len() < ASKED_MAX => peer.asked.push_back(asked),
                    _ => return host.close(connection),
                },
                _ if peer.line.len() >= LINE_BYTES_MAX => return host.close(connection),
                byte => peer.line.push(*byte),
            }
        }
        self.answer(connection, host);
    }

    fn ended(&mut self, connection: u32, host: &mut impl Host) {
        // What it asked for before is still to be sent.
        if self.peers.get(&connection).is_none_or(|peer| peer.asked.is_empty() && peer.sum.is_none()) {
            host.close(connection);
        }
    }

    fn writable(&mut self, connection: u32, host: &mut impl Host) {
        self.answer(connection, host);
    }

    fn closed(&mut self, connection: u32, _host: &mut impl Host) {
        self.peers.remove(&connection);
    }

    fn digested(&mut self, number: u32, sum: Option<&[u8]>, host: &mut impl Host) {
        let whose = self.peers.iter_mut().find(|(_, peer)| peer.sum.is_some_and(|(under_way, _)| under_way == number));
        let Some((&connection, peer)) = whose else { return };
        let Some((_, piece)) = peer.sum.take() else { return };
        match sum {
            Some(sum) if !say(connection, &format!("sum {piece} {}\n", hex(sum)), host) => {}
            Some(_) => self.answer(connection, host),
            None => {
                self.waits(connection, Asked::Sum(piece));
                self.look_again(host);
            }
        }
    }

    fn datagram(&mut self, source: SocketAddr, bytes: &[u8], host: &mut impl Host) {
        if bytes == b"ping" {
            host.send_to(source, b"pong");
        }
    }

    fn stop(&mut self, _host: &mut impl Host) -> Vec<u8> {
        self.served.to_le_bytes().to_vec()
    }
}

littoral_plugin::export_swarm!(Pieces, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::swarm::sketch::Sketch;

    use super::*;

    const CONFIG: &str = r#"{"url": "http://video.example/a", "bytes": 10}"#;

    #[test]
    fn pieces_come_from_the_cache_in_the_order_they_were_asked_for() {
        let mut host = Sketch::default();
        let body: Vec<u8> = (0..25).collect();
        host.cache.insert("http://video.example/a".into(), body.clone());
        let mut pieces = Pieces::start(CONFIG, None, &mut host).unwrap();
        assert_eq!(host.timers, [(LOOK, 0)].into());
        let peer: SocketAddr = "192.0.2.1:1".parse().unwrap();
        pieces.opened(7, peer, true, &mut host);
        pieces.data(7, b"piece 2\npie", &mut host);
        assert!(host.sent.is_empty(), "the object is not there yet");
        pieces.timer(LOOK, &mut host);
        pieces.found(1, Some(25), &mut host);
        pieces.data(7, b"ce 0\nhave\n", &mut host);
        let expected = [b"piece 2 5\n", &body[20..], b"piece 0 10\n", &body[..10], b"have 25 10 2\n"].concat();
        assert_eq!(host.sent[&7], expected);
        pieces.datagram(peer, b"ping", &mut host);
        assert_eq!(host.datagrams, [(peer, b"pong".to_vec())]);
        pieces.data(7, b"piece 3\n", &mut host);
        assert_eq!(host.closed, [7], "there is no such piece");
        let given = pieces.stop(&mut host);
        let next = Pieces::start(CONFIG, Some(&given), &mut host).unwrap();
        assert_eq!(next.served, 2);
    }
}
