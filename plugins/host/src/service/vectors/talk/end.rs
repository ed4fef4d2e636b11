//! What a guest reads from and writes to where a text says who is at the other end.
//!
//! Invariant: every operation is done when it is asked for; none waits.

use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::super::stage::passes;
use super::super::text::{Bytes, shown};
use super::{Dial, Shared, Side, Talk, Told, Turn, security};
use crate::service::outbound::DialSpec;
use crate::service::wire::{Dialling, Refused, Security, Step, Target, Trouble, Wire};

/// Whose address is that of everybody who is dialled by name (RFC 5737).
const FAR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));

/// The guest's end of a connection: with the client, or with somebody it has dialled.
pub(in super::super) struct End {
    talk: Shared,
    /// Its place among those that were dialled.
    far: Option<usize>,
    peer: SocketAddr,
    is_secure: bool,
    may_start_tls: bool,
    is_finished: bool,
}

impl End {
    /// With the client, at this address.
    pub(in super::super) fn with_client(talk: &Shared, peer: SocketAddr, tls: Option<super::Tls>) -> Self {
        let (is_secure, may_start_tls) = (tls == Some(super::Tls::Implicit), tls == Some(super::Tls::Starttls));
        Self { talk: talk.clone(), far: None, peer, is_secure, may_start_tls, is_finished: false }
    }

    /// What `work` does with its side of the talk, if there may be one more step.
    fn at<T>(&self, work: impl FnOnce(&mut Talk, Option<usize>) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let mut talk = self.talk.lock();
        talk.step().and_then(|()| work(&mut talk, self.far))
    }

    fn dialled(&self, target: &Target) -> Result<Box<dyn Wire>, Refused> {
        let mut talk = self.talk.lock();
        talk.step().map_err(|_| Refused::TooMany)?;
        let Target { host, port, security: asked } = target;
        let is_it = |(dial, was): &&mut (Dial, bool)| !*was && dial.is_for(host, *port);
        let Some((dial, was)) = talk.dials.iter_mut().find(is_it) else { return Err(Refused::NotGranted) };
        *was = true;
        let dial = dial.clone();
        if dial.security.as_deref().and_then(security).is_some_and(|expected| expected != *asked) {
            let expected = dial.security.as_deref().unwrap_or_default();
            talk.note(format!("dial {}: expected security {expected:?}, got {}", dial.whom(), word(*asked)));
        }
        if let Some(refused) = dial.refused.as_deref().and_then(super::refused) {
            return Err(refused);
        }
        let far = Some(talk.far.len());
        talk.far.push((dial.whom(), Side::of(&dial.turns)));
        let peer = address(host, *port);
        let (is_secure, may_start_tls) = (*asked == Security::Tls, *asked == Security::Starttls);
        Ok(Box::new(Self { talk: self.talk.clone(), far, peer, is_secure, may_start_tls, is_finished: false }))
    }
}

/// The address of who is dialled.
pub(in super::super) fn address(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse().unwrap_or(FAR), port)
}

fn word(security: Security) -> &'static str {
    match security {
        Security::Plain => "\"plain\"",
        Security::Tls => "\"tls\"",
        Security::Starttls => "\"starttls\"",
    }
}

impl Dial {
    pub(in super::super) fn is_for(&self, host: &str, port: u16) -> bool {
        let is_same = || self.host.parse::<IpAddr>().is_ok_and(|own| host.parse() == Ok(own));
        self.port == port && (self.host == host || is_same())
    }
}

impl Talk {
    fn side(&mut self, far: Option<usize>) -> &mut Side {
        match far.and_then(|far| self.far.get_mut(far)) {
            Some((_, side)) => side,
            None => &mut self.client,
        }
    }

    fn whom(&self, far: Option<usize>) -> Option<String> {
        far.and_then(|far| self.far.get(far)).map(|(whom, _)| whom.clone())
    }

    /// What the other end says next; nothing when it has ended its side.
    fn read(&mut self, far: Option<usize>, into: &mut [u8], silence: Option<Duration>) -> Result<usize, Trouble> {
        loop {
            let side = self.side(far);
            let (is_begun, has_said, is_told) = (side.said > 0, side.left().is_empty(), side.is_told);
            let Some(Turn { after_ms, trouble, .. }) = side.turn() else {
                side.has_ended = true;
                return Ok(0);
            };
            let (after_ms, trouble) = (*after_ms, *trouble);
            // Who was dialled says nothing before it has heard what it waits for.
            if far.is_some() && !is_begun && !self.has_heard(far) {
                return Err(Trouble::Timeout);
            }
            if is_told || (has_said && trouble.is_none()) {
                self.side(far).next();
                continue;
            }
            if !is_begun {
                self.silent(after_ms, silence)?;
            }
            let side = self.side(far);
            if let Some(trouble) = trouble {
                side.is_told = true;
                return Err(trouble.trouble());
            }
            let count = side.left().len().min(into.len());
            into[..count].copy_from_slice(&side.left()[..count]);
            side.said += count;
            let whom = self.whom(far);
            self.log(whom.as_deref(), true, &into[..count]);
            return Ok(count);
        }
    }

    /// Whether who was dialled has heard what it waits for in its turn. What it heard beyond that is of the next one.
    fn has_heard(&mut self, far: Option<usize>) -> bool {
        let (whom, side) = (self.whom(far).unwrap_or_default(), self.side(far));
        let at = side.at;
        let hears = side.turns.get(at).and_then(|turn| turn.hears.as_ref()).map_or(&[][..], Bytes::as_slice);
        let Some(heard) = side.heard.last_mut() else { return true };
        if heard.starts_with(hears) {
            let beyond = heard.split_off(hears.len());
            side.early.extend(beyond);
            return true;
        }
        let problem = format!("dial {whom}: turn {}: expected {}, got {}", at + 1, shown(hears), shown(heard));
        self.note(problem);
        false
    }

    fn write(&mut self, far: Option<usize>, bytes: &[u8]) -> Result<(), Trouble> {
        let whom = self.whom(far);
        self.log(whom.as_deref(), false, bytes);
        if self.side(far).hears(bytes, far.is_some()) {
            return Ok(());
        }
        self.note(format!("it writes more than {} bytes", super::MOVED_MAX));
        Err(Trouble::Timeout)
    }
}

impl Wire for End {
    fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn is_secure(&self) -> bool {
        self.is_secure
    }

    fn may_start_tls(&self) -> bool {
        self.may_start_tls
    }

    fn read<'a>(&'a mut self, into: &'a mut [u8], silence: Option<Duration>) -> Step<'a, usize> {
        Box::pin(ready(self.at(|talk, far| talk.read(far, into, silence))))
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Step<'a, ()> {
        let is_finished = self.is_finished;
        Box::pin(ready(self.at(|talk, far| if is_finished { Err(Trouble::Closed) } else { talk.write(far, bytes) })))
    }

    fn finish(&mut self) -> Step<'_, ()> {
        self.is_finished = true;
        Box::pin(ready(self.at(|_, _| Ok(()))))
    }

    fn start_tls(&mut self) -> Step<'_, ()> {
        let started = self.at(|talk, far| {
            let side = talk.side(far);
            // Plain bytes where the handshake belongs, or a handshake that fails.
            let is_plain = side.said > 0 && !side.left().is_empty();
            let fails = side.turns.get(side.at + 1).is_some_and(|next| next.trouble == Some(Told::Tls));
            if fails {
                side.next();
            }
            if is_plain || fails { Err(Trouble::Tls) } else { Ok(()) }
        });
        if started.is_ok() {
            (self.is_secure, self.may_start_tls) = (true, false);
        }
        Box::pin(ready(started))
    }

    fn sleep(&mut self, time: Duration) -> Step<'_, ()> {
        let slept = self.at(|talk, _| {
            talk.slept += time;
            passes(time);
            Ok(())
        });
        Box::pin(ready(slept))
    }

    fn dial<'a>(&'a mut self, target: Target, _granted: &'a DialSpec) -> Dialling<'a> {
        Box::pin(ready(self.dialled(&target)))
    }

    fn close(&mut self) -> Step<'_, ()> {
        Box::pin(ready(Ok(())))
    }
}
