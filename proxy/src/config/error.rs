//! What is wrong with a config, where, and what to write instead: one line.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

/// A config that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {problem}", file.display(), place(*line))]
pub struct ConfigError {
    file: PathBuf,
    line: Option<(usize, usize)>,
    problem: String,
}

fn place(line: Option<(usize, usize)>) -> String {
    line.map_or_else(String::new, |(line, column)| format!(":{line}:{column}"))
}

impl ConfigError {
    /// An error at a place (line and column from 1) or of the whole file.
    pub fn new(file: &Path, line: Option<(usize, usize)>, problem: String) -> Self {
        Self { file: file.to_owned(), line, problem }
    }

    /// An error the TOML reader found.
    pub(super) fn of_toml(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let line = error.span().map(|span| line_column(text, span.start));
        Self::new(file, line, one_line(error.message()))
    }

    /// An error about the value of a key, such as `cluster.1.health.port`; of what holds it, where it is not written.
    pub(super) fn found(file: &Path, text: &str, key: &str, problem: String) -> Self {
        Self::new(file, offset(text, key).map(|at| line_column(text, at)), problem)
    }
}

/// Where the value of a key begins; numbers are places in a list, from 0.
fn offset(text: &str, key: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut steps = key.split('.');
    let mut value = root.get_ref().get(steps.next()?)?;
    for step in steps {
        let inner = match step.parse::<usize>() {
            Ok(place) => value.get_ref().get(place),
            Err(_) => value.get_ref().get(step),
        };
        let Some(inner) = inner else { break };
        value = inner;
    }
    Some(value.span().start)
}

fn line_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
    (before.matches('\n').count() + 1, column)
}

/// What to write where a value's own parser only says that it is wrong.
const FIXES: [(&str, &str); 5] = [
    ("invalid socket address", "write ADDRESS:PORT, such as \"127.0.0.1:8080\", or for HTTP also \"unix:/path\""),
    ("invalid IPv4 address", "write four numbers, such as \"203.0.113.10\""),
    ("invalid IPv6 address", "write it such as \"2001:db8::10\""),
    ("invalid IP address syntax", "write a prefix, such as \"198.51.100.0/24\""),
    ("missing field", "add this key"),
];

/// serde lists every key there is; what helps is the nearest one.
fn one_line(message: &str) -> String {
    let message = message.lines().collect::<Vec<_>>().join(" ");
    if let Some((_, fix)) = FIXES.iter().find(|(said, _)| message.contains(said)) {
        return format!("{message}: {fix}");
    }
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return message;
    };
    let Some((unknown, expected)) = rest.split_once('`') else {
        return message;
    };
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    match nearest(unknown, known.iter().copied()) {
        Some(near) => format!("unknown key {unknown:?}; did you mean {near:?}?"),
        None => format!("unknown key {unknown:?}; the keys here are {}", known.join(", ")),
    }
}

/// The most similar of `known`, when one is similar.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|candidate| (strsim::jaro_winkler(word, candidate), candidate));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}
