//! A connection for native tests of services: what the peer says is written down before, what it hears can be read afterwards.

use std::collections::VecDeque;

use super::{Connection, Durable, Outbound, Refused, Security, Trouble};

use crate::fetch;
use crate::fetch::sketch::gave_up;

pub use crate::dial::sketch::Far;
pub use crate::durable::sketch::Vault;
pub use crate::fetch::sketch::Web;
pub use crate::filter::sketch::Shelf;

/// A peer and what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what the method of `Connection` with its name says")]
pub struct Sketch {
    pub peer: (String, u16),
    pub secure: bool,
    pub may_start_tls: bool,
    pub now_ms: u64,
    pub random: u64,
    /// What the service keeps on disk.
    pub durable: Vault,
    /// Whom the service may dial.
    pub dials: Vec<Far>,
    /// Whom the service may ask by HTTP.
    pub web: Web,
    /// What it says, as it comes; after it, its end.
    pub says: VecDeque<u8>,
    /// What it hears.
    pub hears: Vec<u8>,
    /// Whether the side that is written to is finished.
    pub finished: bool,
}

impl Sketch {
    /// A peer that says this, then no more.
    pub fn saying(text: &str) -> Self {
        Self { peer: ("192.0.2.1".to_owned(), 4000), says: text.bytes().collect(), ..Self::default() }
    }

    /// What it heard, as text.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.hears).into_owned()
    }

    fn line_end(&self, max: usize) -> Option<usize> {
        self.says.iter().take(max).position(|byte| *byte == b'\n').map(|at| at + 1)
    }
}

impl Connection for Sketch {
    fn peer(&self) -> (String, u16) {
        self.peer.clone()
    }
    fn secure(&self) -> bool {
        self.secure
    }
    fn may_start_tls(&self) -> bool {
        self.may_start_tls
    }
    fn read(&mut self, max: usize) -> Result<Vec<u8>, Trouble> {
        let line = self.may_start_tls.then(|| self.line_end(max)).flatten();
        let length = line.unwrap_or(max).min(self.says.len());
        Ok(self.says.drain(..length).collect())
    }
    fn read_line(&mut self, max: usize) -> Result<Option<Vec<u8>>, Trouble> {
        let length = match self.line_end(max) {
            Some(length) => length,
            None if self.says.len() >= max => return Err(Trouble::TooLong),
            None => self.says.len(),
        };
        Ok((length > 0).then(|| self.says.drain(..length).collect()))
    }
    fn write(&mut self, data: &[u8]) -> Result<(), Trouble> {
        match self.finished {
            true => Err(Trouble::Closed),
            false => {
                self.hears.extend_from_slice(data);
                Ok(())
            }
        }
    }
    fn finish(&mut self) -> Result<(), Trouble> {
        self.finished = true;
        Ok(())
    }
    fn start_tls(&mut self) -> Result<(), Trouble> {
        match std::mem::take(&mut self.may_start_tls) {
            true => {
                self.secure = true;
                Ok(())
            }
            false => Err(Trouble::Tls),
        }
    }
    fn idle_limit(&mut self, _ms: u32) {}
    fn sleep(&mut self, ms: u32) -> Result<(), Trouble> {
        self.now_ms += u64::from(ms);
        Ok(())
    }
    fn now_ms(&self) -> u64 {
        self.now_ms
    }
    fn random(&self) -> u64 {
        self.random
    }
    fn durable(&mut self) -> impl Durable {
        &mut self.durable
    }
    fn dial(&mut self, host: &str, port: u16, security: Security) -> Result<impl Outbound + use<>, Refused> {
        Far::dialled(&self.dials, host, port, security)
    }
    fn fetch(&mut self, request: &fetch::Request) -> Result<fetch::Response, fetch::Refused> {
        self.web.fetch(request)
    }
    fn give_up(&mut self, why: &str) -> ! {
        gave_up(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one_and_the_last_may_have_no_end() {
        let mut peer = Sketch::saying("a\nbc\n\nd");
        let mut lines = Vec::new();
        while let Some(line) = peer.read_line(8).unwrap() {
            lines.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(lines, ["a\n", "bc\n", "\n", "d"]);
        assert_eq!(Sketch::saying("abc\n").read_line(3), Err(Trouble::TooLong));
        assert_eq!(Sketch::saying("ab\n").read_line(3).unwrap().unwrap(), b"ab\n");
    }

    #[test]
    fn nothing_behind_a_line_is_read_while_tls_may_be_started() {
        let mut peer = Sketch { may_start_tls: true, ..Sketch::saying("starttls\nmore") };
        assert_eq!(peer.read(100).unwrap(), b"starttls\n");
        assert_eq!([peer.start_tls(), peer.start_tls()], [Ok(()), Err(Trouble::Tls)]);
        assert!(peer.secure());
        assert_eq!(peer.read(100).unwrap(), b"more");
        peer.finish().unwrap();
        assert_eq!(peer.write(b"x"), Err(Trouble::Closed));
    }
}
