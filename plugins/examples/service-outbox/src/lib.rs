//! Keeps lines on the node's disk and delivers them by itself: a sender need not wait until who they are for can be reached.
//!
//! ```toml
//! [[plugin]]
//! name = "outbox"
//! file = "service-outbox.wasm"
//! durable = "64MiB"
//! dial = ["collector.example.net:2003"]
//! config = { host = "collector.example.net", port = 2003, every_ms = 1000 }
//!
//! [[listen.service]]
//! bind = "127.0.0.1:12003"
//! plugin = "outbox"
//! ```
//!
//! A line is answered with `ok` when the disk has it, and with `no: …` when it was not kept; an empty one with how many wait. Each `every_ms` a tick
//! connects to the host, if something waits, and sends the oldest lines, each after the one before was answered with a line that begins with `ok`: then it is
//! forgotten. Any other answer ends the tick, and a host that cannot be reached is tried later each time. A line may come twice, when the connection or the
//! node ended before its answer was noted; none is lost.

use std::time::Duration;

use littoral_plugin::service::{Connection, Durable, Refusal, Security, Service, Store, Trouble};
use littoral_plugin::timer::{Outbound, ServiceHost, ServiceTimer};
use serde::Deserialize;

/// Bytes of a line.
const LINE_BYTES_MAX: usize = 16 << 10;
/// Lines that one tick delivers, and that are counted for who asks.
const LINES_MAX: usize = 100;

/// The service.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outbox {
    host: String,
    port: u16,
    #[serde(default = "second")]
    every_ms: u32,
}

fn second() -> u32 {
    1000
}

/// Keeps a line under a key that sorts by time, and is nobody else's.
fn keep(line: &[u8], now_ms: u64, random: u64, kept: &mut impl Durable) -> Result<(), Refusal> {
    let key = [now_ms.to_be_bytes(), random.to_be_bytes()].concat();
    kept.expect(&key, None)?;
    kept.put(&key, line)?;
    kept.commit()
}

/// Sends the oldest lines; `false` when the other side did not take one.
fn delivered(keys: &[Vec<u8>], far: &mut impl Outbound, mut kept: impl Durable) -> Result<bool, String> {
    for key in keys {
        let Some(line) = kept.get(key).map_err(|refusal| refusal.to_string())? else { continue };
        let answer = far.write(&line).and_then(|()| far.read_line(LINE_BYTES_MAX));
        if !answer.map_err(|trouble| trouble.to_string())?.is_some_and(|answer| answer.starts_with(b"ok")) {
            return Ok(false);
        }
        kept.remove(key).and_then(|()| kept.commit()).map_err(|refusal| refusal.to_string())?;
    }
    Ok(true)
}

impl Service for Outbox {
    fn new(config: &str) -> Result<Self, String> {
        littoral_plugin::config(config)
    }

    fn serve(&mut self, peer: &mut impl Connection, _store: &mut impl Store) -> Result<(), Trouble> {
        while let Some(mut line) = peer.read_line(LINE_BYTES_MAX)? {
            let length = line.trim_ascii_end().len();
            line.truncate(length);
            let said = if line.is_empty() {
                let waiting = peer.durable().keys(b"", None, LINES_MAX).map(|keys| keys.len());
                waiting.map(|waiting| format!("{waiting} wait\n"))
            } else {
                line.push(b'\n');
                let (now_ms, random) = (peer.now_ms(), peer.random());
                keep(&line, now_ms, random, &mut peer.durable()).map(|()| "ok\n".to_owned())
            };
            peer.durable().discard();
            peer.write(said.unwrap_or_else(|refusal| format!("no: {refusal}\n")).as_bytes())?;
        }
        Ok(())
    }
}

impl ServiceTimer for Outbox {
    fn tick(&mut self, host: &mut impl ServiceHost, _store: &mut impl Store) -> Option<Duration> {
        let every = Some(Duration::from_millis(self.every_ms.into()));
        let waiting = host.durable().keys(b"", None, LINES_MAX);
        let keys = match waiting {
            Ok(keys) if keys.is_empty() => return every,
            Ok(keys) => keys,
            Err(refusal) => host.give_up(&refusal.to_string()),
        };
        let mut far = match host.dial(&self.host, self.port, Security::Plain) {
            Ok(far) => far,
            Err(refused) => host.give_up(&refused.to_string()),
        };
        let all = delivered(&keys, &mut far, host.durable());
        match all {
            // There may be more.
            Ok(true) if keys.len() == LINES_MAX => Some(Duration::ZERO),
            Ok(_) => every,
            Err(why) => host.give_up(&why),
        }
    }
}

littoral_plugin::export_service!(Outbox, "../../wit", timer);

#[cfg(test)]
mod tests {
    use littoral_plugin::service::sketch::{Far, Shelf, Sketch, Vault};
    use littoral_plugin::timer::sketch;

    use super::*;

    fn outbox() -> Outbox {
        Outbox::new(r#"{"host": "far", "port": 7}"#).unwrap()
    }

    fn kept(now_ms: u64, says: &str, durable: Vault) -> (String, Vault) {
        let mut peer = Sketch { durable, now_ms, random: now_ms, ..Sketch::saying(says) };
        outbox().serve(&mut peer, &mut Shelf::default()).unwrap();
        (peer.heard(), peer.durable)
    }

    fn tick(far: &Far, durable: Vault) -> Vault {
        let mut host = sketch::Sketch { durable, dials: vec![far.clone()], ..sketch::Sketch::default() };
        assert_eq!(outbox().tick(&mut host, &mut Shelf::default()), Some(Duration::from_secs(1)));
        host.durable
    }

    #[test]
    fn lines_are_delivered_in_their_order_and_forgotten_when_they_were_taken() {
        let (said, vault) = kept(1, "a\n", Vault::default());
        assert_eq!(said, "ok\n");
        let (said, vault) = kept(2, "b\n\n", vault);
        assert_eq!(said, "ok\n2 wait\n");
        let far = Far::saying("far", 7, "ok\nlater\n");
        let vault = tick(&far, vault.after_a_crash());
        assert_eq!((far.heard().as_str(), vault.stored.len()), ("a\nb\n", 1));
        let far = Far::saying("far", 7, "ok\n");
        assert_eq!(tick(&far, vault).stored.len(), 0);
        assert_eq!(far.heard(), "b\n");
    }

    #[test]
    #[should_panic(expected = "it cannot be connected to")]
    fn who_cannot_be_reached_is_left_for_later() {
        let (_, vault) = kept(1, "a\n", Vault::default());
        tick(&Far::refusing("far", 7, littoral_plugin::dial::Refused::Unreachable), vault);
    }

    #[test]
    fn a_full_disk_is_told_to_who_sends() {
        let full = Vault::granted(1, 10);
        assert_eq!(kept(1, "a\n\n", full).0, "no: the durable store is full\n0 wait\n");
    }
}
