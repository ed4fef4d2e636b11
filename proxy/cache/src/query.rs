//! What of a URL's query is part of the key, and so of what the origin is asked for.

use std::borrow::Cow;

/// A site's rule for queries. The default keeps them as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryRule {
    /// Parameters come in the order of their names.
    pub sort: bool,
    /// Which of them are kept.
    pub keep: Keep,
}

/// Which parameters of a query are kept. Names are compared as they are written; a `*` at the end of one stands for any rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Keep {
    /// All.
    #[default]
    All,
    /// None: the query is cut off.
    Nothing,
    /// Only these.
    Only(Vec<String>),
    /// All but these.
    AllBut(Vec<String>),
}

impl QueryRule {
    /// Whether it leaves every query as it is.
    pub fn is_identity(&self) -> bool {
        !self.sort && self.keep == Keep::All
    }

    /// A path with what the rule leaves of its query. A query of which nothing is left goes with its `?`.
    pub fn apply<'a>(&self, path_and_query: &'a str) -> Cow<'a, str> {
        let Some((path, query)) = path_and_query.split_once('?').filter(|_| !self.is_identity()) else {
            return Cow::Borrowed(path_and_query);
        };
        let mut kept: Vec<&str> =
            query.split('&').filter(|pair| !pair.is_empty() && self.keep.keeps(name(pair))).collect();
        if self.sort {
            // Stable: the order of a name's own values may mean something.
            kept.sort_by_key(|pair| name(pair));
        }
        match kept.is_empty() {
            true => Cow::Borrowed(path),
            false => Cow::Owned(format!("{path}?{}", kept.join("&"))),
        }
    }
}

impl Keep {
    fn keeps(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Only(names) => names.iter().any(|pattern| is_like(name, pattern)),
            Self::AllBut(names) => !names.iter().any(|pattern| is_like(name, pattern)),
        }
    }
}

fn name(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

fn is_like(name: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_kept_sorted_filtered_or_cut_off() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let rule = |sort, keep| QueryRule { sort, keep };
        for (rule, expected) in [
            (rule(false, Keep::All), "/a?c=1&b=2&c=0&&utm_x=1"),
            (rule(true, Keep::All), "/a?b=2&c=1&c=0&utm_x=1"),
            (rule(false, Keep::Nothing), "/a"),
            (rule(false, Keep::Only(names(&["c"]))), "/a?c=1&c=0"),
            (rule(true, Keep::AllBut(names(&["utm_*"]))), "/a?b=2&c=1&c=0"),
            (rule(false, Keep::Only(names(&["x"]))), "/a"),
        ] {
            assert_eq!(rule.apply("/a?c=1&b=2&c=0&&utm_x=1"), expected, "{rule:?}");
            assert_eq!(rule.apply("/a"), "/a");
        }
    }
}
