//! Who may come in at a listener: allow and deny lists, and whose PROXY headers are believed. Pure.
//!
//! Invariant: of all prefixes that hold a client, the longest decides; with no such prefix, an allow list refuses and no
//! allow list lets in.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::Door;

/// The lists of one listener.
#[derive(Debug, Default)]
pub struct Rules {
    /// Prefixes with what they say, longest first.
    lists: Vec<(IpNet, bool)>,
    allows: bool,
    speakers: Vec<IpNet>,
    /// Whether HTTP/2 may be spoken without TLS.
    pub(super) h2c: bool,
}

impl Rules {
    /// Of a listener's config.
    pub fn new(door: &Door) -> Self {
        let of =
            |list: &[crate::config::units::Prefix], says| list.iter().map(move |prefix| (prefix.0, says)).collect();
        let mut lists: Vec<(IpNet, bool)> = of(&door.allow, true);
        lists.extend::<Vec<_>>(of(&door.deny, false));
        lists.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.prefix_len()));
        let speakers = door.proxy_protocol.iter().map(|prefix| prefix.0).collect();
        Self { lists, allows: !door.allow.is_empty(), speakers, h2c: door.h2c }
    }

    /// Whether a client may come in.
    pub fn admit(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let longest = self.lists.iter().find(|(prefix, _)| prefix.contains(&client));
        longest.map_or(!self.allows, |(_, says)| *says)
    }

    /// Whether those who connect must say whom they speak for.
    pub fn is_spoken_to(&self) -> bool {
        !self.speakers.is_empty()
    }

    /// Whether this source is believed when it says whom it speaks for.
    pub fn believes(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.speakers.iter().any(|prefix| prefix.contains(&source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str]) -> Rules {
        let list = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Rules::new(&Door { allow: list(allow), deny: list(deny), ..Door::default() })
    }

    #[test]
    fn the_most_specific_prefix_decides() {
        let open: &[&str] = &[];
        for (allow, deny, client, expected) in [
            (open, open, "192.0.2.1", true),
            (open, &["192.0.2.0/24"][..], "192.0.2.1", false),
            (open, &["192.0.2.0/24"], "198.51.100.1", true),
            (&["10.0.0.0/8"][..], open, "10.1.2.3", true),
            (&["10.0.0.0/8"], open, "192.0.2.1", false),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.2.3", false),
            (&["10.0.0.0/8", "10.1.2.3"], &["10.1.0.0/16"], "10.1.2.3", true),
            (&["10.0.0.0/8", "10.1.2.3"], &["10.1.0.0/16"], "10.1.2.4", false),
            (&["2001:db8::/32"], open, "2001:db8::7", true),
            (&["2001:db8::/32"], open, "10.0.0.1", false),
            (open, &["10.0.0.0/8"], "::ffff:10.0.0.1", false),
        ] {
            assert_eq!(rules(allow, deny).admit(client.parse().unwrap()), expected, "{allow:?} {deny:?} {client}");
        }
    }
}
