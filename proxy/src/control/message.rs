//! What nodes write to each other through a control plane that carries bytes: subjects and bodies, written and read.
//!
//! It stands alone, so that its fuzz target builds nothing else. Whether a node is one that may speak is `heard`'s question. Invariant:
//! what is read is bounded, has no field that is not known, and written again it reads the same.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of these messages.
pub const VERSION: u32 = 1;
/// Bytes of a report of how a node is.
pub const REPORT_BYTES_MAX: usize = 1024;
/// Bytes of a decider's votes.
pub const VOTES_BYTES_MAX: usize = 128 << 10;
/// Clusters that one decider votes on.
pub const VOTES_MAX: usize = 64;
/// Bytes of what a decider says of drained clusters.
pub const DRAINED_BYTES_MAX: usize = 128 << 10;
/// Clusters that it says something of.
pub const DRAINS_MAX: usize = 64;
/// Unix milliseconds that are believed: the year 9999.
pub const UNIX_MS_MAX: u64 = 253_402_300_799_999;
/// Bytes of what a node says that was pushed to it.
pub const PUSHED_BYTES_MAX: usize = 512 << 10;
/// Titles that it says so of.
pub const TITLES_MAX: usize = 512;
/// Bytes of the directory of one.
pub const TITLE_BYTES_MAX: usize = 512;
/// Bytes of a purge: what the admin API takes, and who sent it.
pub const PURGE_BYTES_MAX: usize = (64 << 10) + 1024;
/// Bytes of a text of round-trip times; of more, the prefixes with fewest measurements are left out.
pub const RTT_BYTES_MAX: usize = 512 << 10;
/// Bytes of the name of a node or cluster, as it is.
pub const NAME_BYTES_MAX: usize = 253;
/// Bytes of a program's version.
pub const PROGRAM_BYTES_MAX: usize = 64;
/// Hexadecimal digits of a hash of a config.
pub const HASH_DIGITS: usize = 32;

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`VERSION`].
    pub v: u32,
    /// When its process began, in Unix milliseconds: a later one is a newer process.
    pub run: u64,
    /// Grows with each report of a process.
    pub seq: u64,
    /// Whether it takes clients; not while it stops.
    pub up: bool,
    /// Its load in permille.
    pub load: u16,
    /// The version of the program.
    pub program: String,
    /// The hash of what its config says of sites, which nodes that serve them have in common; none: it has none.
    pub serving: Option<String>,
    /// The same of what it says of clusters, zones and services.
    pub directing: Option<String>,
    /// How many configs this process has put in force.
    pub generation: u64,
}

/// What a decider's probes find of clusters, those it is not sure of left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Votes {
    /// [`VERSION`].
    pub v: u32,
    /// As of [`Report`].
    pub run: u64,
    /// Grows with each word of a process.
    pub seq: u64,
    /// Clusters that are up.
    pub up: Vec<String>,
    /// Clusters that are down.
    pub down: Vec<String>,
}

/// The last command on whether a cluster is drained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// Of which cluster.
    pub cluster: String,
    /// Whether it is.
    pub drained: bool,
    /// When that was said last, in Unix milliseconds: a later word holds.
    pub at_ms: u64,
    /// Since when it is so.
    pub since_ms: u64,
    /// At which node it was said.
    pub by: String,
}

/// All that a decider knows of drained clusters, by whomever it was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drained {
    /// [`VERSION`].
    pub v: u32,
    /// One for each cluster at most.
    pub words: Vec<Word>,
}

/// A title that was pushed to a node: what is right below a directory of a site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Title {
    /// The site's name, its first host.
    pub site: String,
    /// The directory, from `/` to `/`.
    pub directory: String,
    /// For how many seconds it is kept.
    pub for_s: u32,
}

/// All titles that were pushed to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pushed {
    /// [`VERSION`].
    pub v: u32,
    /// Each once.
    pub titles: Vec<Title>,
}

/// A purge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// [`VERSION`].
    pub v: u32,
    /// As of [`Report`].
    pub run: u64,
    /// Grows with each purge of a process.
    pub seq: u64,
    /// The body of `POST /v1/purge`.
    pub order: Value,
}

/// Why a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It has more bytes than such a message may have.
    Large,
    /// It is not written as such a message is, or says what cannot be.
    Malformed,
    /// It is of another version.
    Version,
}

impl Report {
    /// Reads one.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn read(bytes: &[u8]) -> Result<Self, Unread> {
        let report: Self = parsed(bytes, REPORT_BYTES_MAX)?;
        let is_hash = |hash: &String| hash.len() == HASH_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let are_hashes = [&report.serving, &report.directing].into_iter().flatten().all(is_hash);
        let is_program = (1..=PROGRAM_BYTES_MAX).contains(&report.program.len())
            && report.program.bytes().all(|byte| byte.is_ascii_graphic());
        match (report.v == VERSION, are_hashes && is_program) {
            (false, _) => Err(Unread::Version),
            (true, false) => Err(Unread::Malformed),
            (true, true) => Ok(report),
        }
    }

    /// As it is sent.
    pub fn written(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Votes {
    /// Reads them.
    ///
    /// # Errors
    /// Why they are not taken.
    pub fn read(bytes: &[u8]) -> Result<Self, Unread> {
        let votes: Self = parsed(bytes, VOTES_BYTES_MAX)?;
        let names: Vec<&String> = votes.up.iter().chain(&votes.down).collect();
        let distinct: HashSet<&String> = names.iter().copied().collect();
        let are_names = names.iter().all(|name| (1..=NAME_BYTES_MAX).contains(&name.len()));
        match (votes.v == VERSION, are_names && names.len() <= VOTES_MAX && distinct.len() == names.len()) {
            (false, _) => Err(Unread::Version),
            (true, false) => Err(Unread::Malformed),
            (true, true) => Ok(votes),
        }
    }

    /// As they are sent.
    pub fn written(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Word {
    /// Whether its names and times are some.
    pub fn is_sound(&self) -> bool {
        let is_name = |name: &String| (1..=NAME_BYTES_MAX).contains(&name.len());
        is_name(&self.cluster) && is_name(&self.by) && self.since_ms <= self.at_ms && self.at_ms <= UNIX_MS_MAX
    }
}

impl Drained {
    /// Reads them.
    ///
    /// # Errors
    /// Why they are not taken.
    pub fn read(bytes: &[u8]) -> Result<Self, Unread> {
        let drained: Self = parsed(bytes, DRAINED_BYTES_MAX)?;
        let distinct: HashSet<&String> = drained.words.iter().map(|word| &word.cluster).collect();
        let are_sound = drained.words.iter().all(Word::is_sound);
        let are_words = drained.words.len() <= DRAINS_MAX && distinct.len() == drained.words.len();
        match (drained.v == VERSION, are_sound && are_words) {
            (false, _) => Err(Unread::Version),
            (true, false) => Err(Unread::Malformed),
            (true, true) => Ok(drained),
        }
    }

    /// As they are sent.
    pub fn written(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Pushed {
    /// Reads them.
    ///
    /// # Errors
    /// Why they are not taken.
    pub fn read(bytes: &[u8]) -> Result<Self, Unread> {
        let pushed: Self = parsed(bytes, PUSHED_BYTES_MAX)?;
        let is_sound = |title: &Title| {
            let (site, directory) = (&title.site, &title.directory);
            (1..=NAME_BYTES_MAX).contains(&site.len())
                && directory.len() <= TITLE_BYTES_MAX
                && directory.starts_with('/')
                && directory.ends_with('/')
        };
        let distinct: HashSet<_> = pushed.titles.iter().map(|title| (&title.site, &title.directory)).collect();
        let are_titles = pushed.titles.len() <= TITLES_MAX && distinct.len() == pushed.titles.len();
        match (pushed.v == VERSION, are_titles && pushed.titles.iter().all(is_sound)) {
            (false, _) => Err(Unread::Version),
            (true, false) => Err(Unread::Malformed),
            (true, true) => Ok(pushed),
        }
    }

    /// As they are sent.
    pub fn written(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Purge {
    /// Reads one. What it names is not looked at.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn read(bytes: &[u8]) -> Result<Self, Unread> {
        let purge: Self = parsed(bytes, PURGE_BYTES_MAX)?;
        match (purge.v == VERSION, purge.order.is_object()) {
            (false, _) => Err(Unread::Version),
            (true, false) => Err(Unread::Malformed),
            (true, true) => Ok(purge),
        }
    }

    /// As it is sent.
    pub fn written(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn parsed<'a, T: Deserialize<'a>>(bytes: &'a [u8], bound: usize) -> Result<T, Unread> {
    if bytes.len() > bound {
        return Err(Unread::Large);
    }
    serde_json::from_slice(bytes).map_err(|_| Unread::Malformed)
}

/// A name as one token of a subject, a stream's name or a consumer's: letters, digits and `-` as they are, every other byte as `_` and two
/// hexadecimal digits, and no name at all as `_`.
pub fn token(name: &str) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() || byte == b'-' {
            true => token.push(char::from(byte)),
            false => token.push_str(&format!("_{byte:02x}")),
        }
    }
    token
}

/// The name that a token stands for; `None` when [`token`] writes none like it.
pub fn name(of: &str) -> Option<String> {
    if of == "_" {
        return Some(String::new());
    }
    let mut bytes = of.bytes();
    let mut name = Vec::with_capacity(of.len());
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'_' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    let name = String::from_utf8(name).ok()?;
    ((1..=NAME_BYTES_MAX).contains(&name.len()) && token(&name) == of).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let serving = Some("0123456789abcdef".repeat(2));
        Report {
            v: 1,
            run: 7,
            seq: 2,
            up: true,
            load: 120,
            program: "0.1.0".into(),
            serving,
            directing: None,
            generation: 1,
        }
    }

    fn pushed() -> Pushed {
        let title = |directory: &str| Title { site: "a.example".into(), directory: directory.into(), for_s: 7 };
        Pushed { v: 1, titles: vec![title("/"), title("/one/two/")] }
    }

    fn drained() -> Drained {
        let word = |cluster: &str, drained| Word {
            cluster: cluster.into(),
            drained,
            at_ms: 1_700_000_000_007,
            since_ms: 1_700_000_000_000,
            by: "ams1-a".into(),
        };
        Drained { v: 1, words: vec![word("ams", true), word("a \"b\"", false)] }
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(Report::read(&report().written()), Ok(report()));
        let (up, down) = (vec!["ams".to_owned(), "a \"b\"".to_owned()], vec!["fra".to_owned()]);
        let votes = Votes { v: 1, run: 7, seq: 3, up, down };
        assert_eq!(Votes::read(&votes.written()), Ok(votes));
        assert_eq!(Drained::read(&drained().written()), Ok(drained()));
        assert_eq!(Pushed::read(&pushed().written()), Ok(pushed()));
        let purge = Purge { v: 1, run: 7, seq: 1, order: serde_json::json!({"url": "http://a.example/x"}) };
        assert_eq!(Purge::read(&purge.written()), Ok(purge));
    }

    #[test]
    fn what_is_not_exactly_a_message_is_refused() {
        let text = String::from_utf8(report().written()).unwrap();
        for (what, problem) in [
            ("{}".to_owned(), Unread::Malformed),
            (text.replace("\"load\":120", "\"load\":70000"), Unread::Malformed),
            (text.replace("\"load\"", "\"more\":1,\"load\""), Unread::Malformed),
            (text.replace("0123", "xyz0"), Unread::Malformed),
            (text.replace("0.1.0", "a b"), Unread::Malformed),
            (text.replace("\"v\":1", "\"v\":2"), Unread::Version),
            (text + &" ".repeat(REPORT_BYTES_MAX), Unread::Large),
        ] {
            assert_eq!(Report::read(what.as_bytes()), Err(problem), "{what}");
        }
        let too_many: Vec<String> = (0..=VOTES_MAX).map(|number| format!("\"{number}\"")).collect();
        for (v, up, down, problem) in [
            (1, "\"a\"", "\"a\"", Unread::Malformed),
            (1, "\"a\",\"a\"", "", Unread::Malformed),
            (1, "\"\"", "", Unread::Malformed),
            (1, "1", "", Unread::Malformed),
            (1, &format!("{:?}", "a".repeat(NAME_BYTES_MAX + 1)), "", Unread::Malformed),
            (1, &too_many.join(","), "", Unread::Malformed),
            (1, &"x".repeat(VOTES_BYTES_MAX), "", Unread::Large),
            (2, "", "", Unread::Version),
        ] {
            let text = format!("{{\"v\":{v},\"run\":1,\"seq\":1,\"up\":[{up}],\"down\":[{down}]}}");
            assert_eq!(Votes::read(text.as_bytes()), Err(problem), "{text:.80}");
        }
        let text = String::from_utf8(drained().written()).unwrap();
        let word = drained().words.remove(0);
        let of = |number: usize| Word { cluster: number.to_string(), ..word.clone() };
        let many = Drained { v: 1, words: (0..=DRAINS_MAX).map(of).collect() };
        let two = Drained { v: 1, words: vec![word.clone(), word] };
        for (what, problem) in [
            (text.replace("\"ams\"", "\"\""), Unread::Malformed),
            (text.replace("ams1-a", &"a".repeat(NAME_BYTES_MAX + 1)), Unread::Malformed),
            (text.replace("1700000000007", "1600000000000"), Unread::Malformed),
            (text.replace("1700000000007", "253402300800000"), Unread::Malformed),
            (text.replace("\"by\"", "\"more\":1,\"by\""), Unread::Malformed),
            (text.replace("\"v\":1", "\"v\":2"), Unread::Version),
            (String::from_utf8(many.written()).unwrap(), Unread::Malformed),
            (String::from_utf8(two.written()).unwrap(), Unread::Malformed),
            (text + &" ".repeat(DRAINED_BYTES_MAX), Unread::Large),
        ] {
            assert_eq!(Drained::read(what.as_bytes()), Err(problem), "{what:.80}");
        }
        let text = String::from_utf8(pushed().written()).unwrap();
        let of = |number: usize| Title { directory: format!("/{number}/"), ..pushed().titles.remove(0) };
        let many = Pushed { v: 1, titles: (0..=TITLES_MAX).map(of).collect() };
        for (what, problem) in [
            (text.replace("\"/\"", "\"/one/two/\""), Unread::Malformed),
            (text.replace("/two/", "/two"), Unread::Malformed),
            (text.replace("\"/one", "\"one"), Unread::Malformed),
            (text.replace("two", &"t".repeat(TITLE_BYTES_MAX)), Unread::Malformed),
            (text.replace("a.example", ""), Unread::Malformed),
            (text.replace("\"for_s\":7", "\"for_s\":-1"), Unread::Malformed),
            (text.replace("\"v\":1", "\"v\":2"), Unread::Version),
            (String::from_utf8(many.written()).unwrap(), Unread::Malformed),
            (text + &" ".repeat(PUSHED_BYTES_MAX), Unread::Large),
        ] {
            assert_eq!(Pushed::read(what.as_bytes()), Err(problem), "{what:.80}");
        }
        assert_eq!(Purge::read(br#"{"v":1,"run":1,"seq":1,"order":[]}"#), Err(Unread::Malformed));
        assert_eq!(Purge::read(&vec![b' '; PURGE_BYTES_MAX + 1]), Err(Unread::Large));
    }

    #[test]
    fn every_name_is_a_token_of_its_own_and_nothing_else_is_one() {
        for (of, as_token) in
            [("ams1-a", "ams1-a"), ("a.b", "a_2eb"), ("a_2eb", "a_5f2eb"), ("", "_"), ("é *>", "_c3_a9_20_2a_3e")]
        {
            assert_eq!((token(of).as_str(), name(as_token).as_deref()), (as_token, Some(of)));
        }
        for wrong in ["a_", "a_2", "a_zz", "a_2E", "a.b", "a b", "_61", "_ff", "__"] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        assert_eq!(name(&"a".repeat(NAME_BYTES_MAX + 1)), None);
    }
}
