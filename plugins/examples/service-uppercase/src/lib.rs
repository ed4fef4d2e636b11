//! The textbook's server over TCP: each line comes back in upper case.
//!
//! ```toml
//! [[plugin]]
//! name = "uppercase"
//! file = "service-uppercase.wasm"
//!
//! [[listen.service]]
//! bind = "0.0.0.0:12000"
//! plugin = "uppercase"
//! ```

use littoral_plugin::service::{Connection, Service, Store, Trouble};

/// Bytes of a line.
const LINE_BYTES_MAX: usize = 4096;

/// The service: it remembers nothing.
pub struct Uppercase;

impl Service for Uppercase {
    fn new(config: &str) -> Result<Self, String> {
        littoral_plugin::no_config(config).map(|()| Self)
    }

    fn serve(&mut self, peer: &mut impl Connection, _store: &mut impl Store) -> Result<(), Trouble> {
        while let Some(sentence) = peer.read_line(LINE_BYTES_MAX)? {
            peer.write(String::from_utf8_lossy(&sentence).to_uppercase().as_bytes())?;
        }
        Ok(())
    }
}

littoral_plugin::export_service!(Uppercase, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::service::sketch::{Shelf, Sketch};

    use super::*;

    #[test]
    fn every_line_comes_back_in_upper_case() {
        let mut peer = Sketch::saying("hello\nblåbærsyltetøy\nlast");
        Uppercase::new("{}").unwrap().serve(&mut peer, &mut Shelf::default()).unwrap();
        assert_eq!(peer.heard(), "HELLO\nBLÅBÆRSYLTETØY\nLAST");
    }
}
