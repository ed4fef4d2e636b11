//! The textbook's server over UDP: each datagram comes back in upper case.
//!
//! ```toml
//! [[plugin]]
//! name = "uppercase"
//! file = "datagram-uppercase.wasm"
//!
//! [[listen.datagram]]
//! bind = "0.0.0.0:12000"
//! plugin = "uppercase"
//! ```

use littoral_plugin::datagrams::{Datagrams, Host};

/// The service: it remembers nothing.
pub struct Uppercase;

impl Datagrams for Uppercase {
    fn new(config: &str) -> Result<Self, String> {
        littoral_plugin::no_config(config).map(|()| Self)
    }

    fn handle(&mut self, _sender: (String, u16), sentence: &[u8], _host: &mut impl Host) -> Vec<Vec<u8>> {
        vec![String::from_utf8_lossy(sentence).to_uppercase().into_bytes()]
    }
}

littoral_plugin::export_datagrams!(Uppercase, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::datagrams::sketch::Sketch;

    use super::*;

    #[test]
    fn a_datagram_comes_back_in_upper_case() {
        let sender = ("192.0.2.1".to_owned(), 4000);
        let answers = Uppercase::new("{}").unwrap().handle(sender, "hello, blåbær".as_bytes(), &mut Sketch::default());
        assert_eq!(answers, ["HELLO, BLÅBÆR".as_bytes()]);
    }
}
