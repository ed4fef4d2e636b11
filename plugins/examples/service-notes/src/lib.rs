//! Keeps notes on the node's disk: what it has answered with `ok` is there, whatever happens then.
//!
//! ```toml
//! [[plugin]]
//! name = "notes"
//! file = "service-notes.wasm"
//! durable = "64MiB"
//!
//! [[listen.service]]
//! bind = "127.0.0.1:12001"
//! plugin = "notes"
//! ```
//!
//! A line is a command: `set NAME=TEXT …` (all of them or none), `new NAME=TEXT …` (the same, where there is none of them yet), `get NAME`,
//! `del NAME …`, `list PREFIX`, `used`, `quit`. A name has no `=`, and neither name nor text a space. An answer is a line; one to `list` is
//! a line for each name, then `ok`.

use littoral_plugin::service::{Connection, Durable, Refusal, Service, Store, Trouble};

/// Bytes of a line.
const LINE_BYTES_MAX: usize = 16 << 10;
/// Bytes of a name: what a key may have.
const NAME_BYTES_MAX: usize = 256;
/// Names told at a time.
const NAMES_MAX: usize = 100;

/// The service: what it remembers is on the disk.
pub struct Notes;

/// Why a line is answered with something else than was asked for.
enum No {
    Words(&'static str),
    Refused(Refusal),
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn name(word: &str) -> Result<&[u8], No> {
    match (1..=NAME_BYTES_MAX).contains(&word.len()) {
        true => Ok(word.as_bytes()),
        false => Err(No::Words("a name has 1 to 256 bytes")),
    }
}

fn set(words: &str, only_new: bool, kept: &mut impl Durable) -> Result<String, No> {
    for word in words.split_whitespace() {
        let (called, text) = word.split_once('=').ok_or(No::Words("it is NAME=TEXT"))?;
        kept.put(name(called)?, text.as_bytes())?;
        if only_new {
            kept.expect(name(called)?, None)?;
        }
    }
    kept.commit()?;
    Ok("ok\n".to_owned())
}

fn list(prefix: &str, kept: &impl Durable) -> Result<String, No> {
    let (mut told, mut after) = (String::new(), None::<Vec<u8>>);
    if prefix.len() > NAME_BYTES_MAX {
        return Ok("ok\n".to_owned());
    }
    loop {
        let names = kept.keys(prefix.as_bytes(), after.as_deref(), NAMES_MAX)?;
        names.iter().for_each(|name| told.extend([&String::from_utf8_lossy(name), "\n"]));
        if names.len() < NAMES_MAX {
            return Ok(told + "ok\n");
        }
        after = names.into_iter().next_back();
    }
}

fn answer(line: &str, kept: &mut impl Durable) -> Result<String, No> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "set" | "new" => set(rest, word == "new", kept),
        "del" => {
            rest.split_whitespace().try_for_each(|word| Ok::<_, No>(kept.remove(name(word)?)?))?;
            kept.commit()?;
            Ok("ok\n".to_owned())
        }
        "get" => match kept.get(name(rest)?)? {
            Some(text) => Ok(format!("is {}\n", String::from_utf8_lossy(&text))),
            None => Ok("none\n".to_owned()),
        },
        "list" => list(rest, kept),
        "used" => {
            let used = kept.used();
            Ok(format!("{} of {} notes, {} of {} bytes\n", used.keys, used.keys_max, used.bytes, used.bytes_max))
        }
        _ => Err(No::Words("set, new, get, del, list, used or quit")),
    }
}

impl Service for Notes {
    fn new(config: &str) -> Result<Self, String> {
        littoral_plugin::no_config(config).map(|()| Self)
    }

    fn serve(&mut self, peer: &mut impl Connection, _store: &mut impl Store) -> Result<(), Trouble> {
        while let Some(line) = peer.read_line(LINE_BYTES_MAX)? {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if line == "quit" {
                break;
            }
            let answered = answer(&line, &mut peer.durable());
            // What was noted before a line went wrong is not for the next one.
            peer.durable().discard();
            let said = answered.unwrap_or_else(|no| match no {
                No::Words(words) => format!("no: {words}\n"),
                No::Refused(refusal) => format!("no: {refusal}\n"),
            });
            peer.write(said.as_bytes())?;
        }
        Ok(())
    }
}

littoral_plugin::export_service!(Notes, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::service::sketch::{Shelf, Sketch, Vault};

    use super::*;

    fn talk(vault: Vault, says: &str) -> (String, Vault) {
        let mut peer = Sketch { durable: vault, ..Sketch::saying(says) };
        Notes::new("{}").unwrap().serve(&mut peer, &mut Shelf::default()).unwrap();
        (peer.heard(), peer.durable)
    }

    #[test]
    fn what_was_answered_with_ok_is_there_after_a_crash() {
        let (heard, vault) = talk(Vault::default(), "set a=1 b=2\nget a\nget c\nset d\n");
        assert_eq!(heard, "ok\nis 1\nnone\nno: it is NAME=TEXT\n");
        let (heard, _) = talk(vault.after_a_crash(), "list \ndel a b\nlist \nquit\n");
        assert_eq!(heard, "a\nb\nok\nok\nok\n");
    }

    #[test]
    fn what_is_refused_leaves_nothing_behind() {
        let (heard, vault) =
            talk(Vault::granted(2, 0), "new a=1\nnew b=2 a=3\nset b=1 c=1\nset b=1 c\nset d=1\nused\n");
        let full = "no: the durable store is full";
        let wrong = "no: it is NAME=TEXT";
        assert_eq!(
            heard,
            format!("ok\nno: what was read has changed\n{full}\n{wrong}\nok\n2 of 2 notes, 68 of 0 bytes\n")
        );
        assert_eq!(vault.stored.len(), 2);
    }

    #[test]
    fn a_list_of_any_length_is_told_whole() {
        let says: String = (0..250).map(|at| format!("set n/{at:03}=x\n")).collect();
        let (heard, _) = talk(Vault::default(), &format!("{says}list n/\n"));
        assert_eq!(heard.lines().filter(|line| line.starts_with("n/")).count(), 250);
    }
}
