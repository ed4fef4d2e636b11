//! What a swarm imports besides what every service may, on the host's side: checked here, done by its [`Outside`].
//!
//! Invariant: nothing here waits, nothing but a timer is asked for in `start`, and nobody is dialled or asked who is not listed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use wasmtime::Result;

use super::bindings::littoral::plugin::swarm_fetch as asking;
use super::digest::Algorithm;
use super::limits::{DIGESTED_BYTES_MAX, URL_BYTES_MAX};
use super::outside::{Outside, Refusal, Unsent};
use super::swarm_host::{Algorithm as Asked, Endpoint, Host, Refusal as Refused, Unsent as Told};
use crate::ambient::nonsense;
use crate::fetch::{self, Request};
use crate::service::guest::Guest;
use crate::service::limits::DATAGRAM_BYTES_MAX;
use crate::service::outbound::target;
use crate::service::reach::{self, Reach};
use crate::service::wire::Security;

/// What a swarm has beside what every guest has.
pub(in crate::service) struct Calls {
    outside: Box<dyn Outside>,
    /// Whom it may dial and ask.
    reaches: Vec<Reach>,
}

impl Calls {
    pub(in crate::service) fn new(outside: Box<dyn Outside>, reaches: Vec<Reach>) -> Self {
        Self { outside, reaches }
    }
}

/// An address as the contract has it.
pub(super) fn endpoint(address: SocketAddr) -> Endpoint {
    let bits = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    Endpoint { high: (bits >> 64) as u64, low: bits as u64, port: address.port() }
}

fn address(endpoint: Endpoint) -> SocketAddr {
    let bits = (u128::from(endpoint.high) << 64) | u128::from(endpoint.low);
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical(), endpoint.port)
}

fn refused(refusal: Refusal) -> Refused {
    match refusal {
        Refusal::NotGranted => Refused::NotGranted,
        Refusal::TooMany => Refused::TooMany,
        Refusal::Gone => Refused::Gone,
    }
}

fn told(unsent: Unsent) -> Told {
    match unsent {
        Unsent::Full => Told::Full,
        Unsent::Closed => Told::Closed,
        Unsent::Gone => Told::Gone,
        Unsent::TooFar => Told::TooFar,
    }
}

impl Guest {
    fn calls(&mut self) -> Result<&mut Calls> {
        self.swarm.as_mut().ok_or_else(|| nonsense("it is no swarm".into()))
    }

    fn outside(&mut self) -> Result<&mut dyn Outside> {
        if self.begins {
            return Err(nonsense("it asks for more than timers in its `start`: a node only tries that".into()));
        }
        Ok(&mut *self.calls()?.outside)
    }
}

impl Host for Guest {
    fn send(&mut self, connection: u32, data: Vec<u8>) -> Result<u32> {
        Ok(self.outside()?.send(connection, data))
    }

    fn splice(&mut self, connection: u32, content: u32, at: u64, length: u32) -> Result<Result<(), Told>> {
        Ok(self.outside()?.splice(connection, content, at, length).map_err(told))
    }

    fn close(&mut self, connection: u32) -> Result<()> {
        self.outside()?.close(connection);
        Ok(())
    }

    fn dial(&mut self, host: String, port: u16) -> Result<Result<u32, Refused>> {
        self.outside()?;
        let calls = self.calls()?;
        let Some(target) = target(&calls.reaches, &host, port, Security::Plain) else {
            return Ok(Err(Refused::NotGranted));
        };
        Ok(calls.outside.dial(target).map_err(refused))
    }

    fn send_to(&mut self, to: Endpoint, data: Vec<u8>) -> Result<bool> {
        self.outside()?;
        if data.len() > DATAGRAM_BYTES_MAX {
            return Err(nonsense(format!("a datagram of {} bytes: at most {DATAGRAM_BYTES_MAX}", data.len())));
        }
        let (to, calls) = (address(to), self.calls()?);
        let is_listed = |is_public| reach::permits_literal(&calls.reaches, to.ip(), to.port(), is_public);
        let is_listed = (is_listed(true), is_listed(false));
        Ok(calls.outside.send_to(to, &data, is_listed))
    }

    fn set_timer(&mut self, id: u32, ms: u32) -> Result<bool> {
        Ok(self.calls()?.outside.set_timer(id, Duration::from_millis(ms.into())))
    }

    fn cancel_timer(&mut self, id: u32) -> Result<()> {
        self.calls()?.outside.cancel_timer(id);
        Ok(())
    }

    fn find(&mut self, url: String) -> Result<Result<u32, Refused>> {
        let outside = self.outside()?;
        if url.len() > URL_BYTES_MAX {
            return Ok(Err(Refused::NotGranted));
        }
        Ok(outside.find(&url).map_err(refused))
    }

    fn release(&mut self, content: u32) -> Result<()> {
        self.outside()?.release(content);
        Ok(())
    }

    fn digest(&mut self, content: u32, at: u64, length: u32, algorithm: Asked) -> Result<Result<u32, Refused>> {
        let outside = self.outside()?;
        let algorithm = match algorithm {
            Asked::Sha1 => Algorithm::Sha1,
            Asked::Sha256 => Algorithm::Sha256,
        };
        if length > DIGESTED_BYTES_MAX {
            return Err(nonsense(format!("a sum of {length} bytes: at most {DIGESTED_BYTES_MAX}")));
        }
        Ok(outside.digest(content, at, length, algorithm).map_err(refused))
    }
}

impl asking::Host for Guest {
    fn ask(&mut self, request: Request) -> Result<Result<u32, fetch::Refusal>> {
        self.outside()?;
        let fetching = match self.asking.begin_one(request)? {
            Ok(fetching) => fetching,
            Err(refused) => return Ok(Err(fetch::refusal(refused))),
        };
        let number = self.outside()?.await_answer(fetching);
        Ok(number.ok_or(fetch::Refusal::TooMany))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        for text in ["192.0.2.1:6881", "[2001:db8::1]:1", "0.0.0.0:0"] {
            let told: SocketAddr = text.parse().unwrap();
            assert_eq!(address(endpoint(told)), told);
        }
        let mapped = endpoint("192.0.2.1:5".parse().unwrap());
        assert_eq!((mapped.high, mapped.low), (0, 0xffff_c000_0201));
    }
}
