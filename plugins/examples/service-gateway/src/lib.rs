//! Connects its clients on, line by line, to whom the operator says.
//!
//! ```toml
//! [[plugin]]
//! name = "gateway"
//! file = "service-gateway.wasm"
//! dial = ["mail.example.org:25", "*.example.net:443", "10.0.0.0/8:25"]
//!
//! [[listen.service]]
//! bind = "127.0.0.1:12002"
//! plugin = "gateway"
//! ```
//!
//! A line is a command: `dial HOST PORT plain|tls|starttls` connects, and what is connected is numbered from 0; `ask NUMBER TEXT` sends a line
//! and answers with the next one from there; `tls NUMBER` begins TLS; `close NUMBER`; `quit`.

use littoral_plugin::service::{Connection, Outbound, Security, Service, Store, Trouble};

/// Bytes of a line.
const LINE_BYTES_MAX: usize = 4096;

/// The service: it remembers nothing.
pub struct Gateway;

fn security(word: &str) -> Option<Security> {
    match word {
        "plain" => Some(Security::Plain),
        "tls" => Some(Security::Tls),
        "starttls" => Some(Security::Starttls),
        _ => None,
    }
}

/// The next line of an answer, as long as it comes.
fn asked(far: &mut impl Outbound, text: &str) -> Result<String, Trouble> {
    far.write(format!("{text}\n").as_bytes())?;
    let line = far.read_line(LINE_BYTES_MAX)?.unwrap_or_default();
    Ok(format!("is {}\n", String::from_utf8_lossy(&line).trim_end()))
}

fn answer<O: Outbound>(
    line: &str,
    far: &mut Vec<Option<O>>,
    dial: impl FnOnce(&str, u16, Security) -> Result<O, String>,
) -> Result<String, String> {
    let usage = || "dial HOST PORT plain|tls|starttls, ask NUMBER TEXT, tls NUMBER, close NUMBER or quit".to_owned();
    let (word, rest) = line.split_once(' ').ok_or_else(usage)?;
    if word == "dial" {
        let [host, port, when] = rest.split(' ').collect::<Vec<_>>()[..] else { return Err(usage()) };
        let (Ok(port), Some(security)) = (port.parse(), security(when)) else { return Err(usage()) };
        let one = dial(host, port, security)?;
        let told = format!("{} is {}\n", far.len(), one.peer().0);
        far.push(Some(one));
        return Ok(told);
    }
    let (number, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let place = number.parse().ok().and_then(|number: usize| far.get_mut(number)).ok_or_else(usage)?;
    let one = place.as_mut().ok_or("it is closed")?;
    let told = match word {
        "ask" => asked(one, text),
        "tls" => one.start_tls().map(|()| "begun\n".to_owned()),
        "close" => {
            *place = None;
            Ok("closed\n".to_owned())
        }
        _ => return Err(usage()),
    };
    told.map_err(|trouble| trouble.to_string())
}

impl Service for Gateway {
    fn new(config: &str) -> Result<Self, String> {
        littoral_plugin::no_config(config).map(|()| Self)
    }

    fn serve(&mut self, peer: &mut impl Connection, _store: &mut impl Store) -> Result<(), Trouble> {
        let mut far = Vec::new();
        while let Some(line) = peer.read_line(LINE_BYTES_MAX)? {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if line == "quit" {
                break;
            }
            let dial = |host: &str, port, security| peer.dial(host, port, security).map_err(|no| no.to_string());
            let said = answer(&line, &mut far, dial).unwrap_or_else(|no| format!("no: {no}\n"));
            peer.write(said.as_bytes())?;
        }
        Ok(())
    }
}

littoral_plugin::export_service!(Gateway, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::service::Refused;
    use littoral_plugin::service::sketch::{Far, Shelf, Sketch};

    use super::*;

    #[test]
    fn lines_go_on_to_whom_was_dialled_and_what_is_refused_is_told() {
        let far = Far::saying("a.example", 25, "hello\nready\nsecret\n");
        let dials = vec![far.clone(), Far::refusing("b.example", 25, Refused::Unreachable)];
        let says = "dial a.example 25 starttls\nask 0 hi\nask 0 starttls\ntls 0\nask 0 more\nclose 0\nask 0 x\n\
                    dial b.example 25 plain\ndial c.example 25 plain\ndial c.example\nask 7 x\nquit\n";
        let mut peer = Sketch { dials, ..Sketch::saying(says) };
        Gateway::new("{}").unwrap().serve(&mut peer, &mut Shelf::default()).unwrap();
        let usage = "no: dial HOST PORT plain|tls|starttls, ask NUMBER TEXT, tls NUMBER, close NUMBER or quit";
        assert_eq!(
            peer.heard(),
            format!(
                "0 is a.example\nis hello\nis ready\nbegun\nis secret\nclosed\nno: it is closed\n\
                 no: it cannot be connected to\nno: it may not be dialled\n{usage}\n{usage}\n"
            )
        );
        assert_eq!(far.heard(), "hi\nstarttls\nmore\n");
        assert!(far.secure());
    }
}
