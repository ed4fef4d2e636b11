//! Aliases of a zone file that lead back to where they began, found when it is read.
//!
//! Left to the bound of an answer is what no single file shows: loops over several zones, by wildcards (a service may have the name that
//! they would answer for), in copies and by updates. Invariant: each alias is followed once, however many lead to it.

use std::collections::{HashMap, HashSet};

use hickory_proto::rr::{LowerName, RData, RecordType};

use super::{Zone, stand_in};

/// Names of a loop that are told at most.
const TOLD_MAX: usize = 4;

impl Zone {
    /// Which of these owners of aliases, told with their places in the order of those, is the first in a loop, and what is wrong with it.
    pub(super) fn alias_loop<P: Copy>(&self, aliases: &[(LowerName, P)]) -> Option<(P, String)> {
        // By which walk a name was met first.
        let mut met: HashMap<LowerName, usize> = HashMap::new();
        for (walk, (owner, _)) in aliases.iter().enumerate() {
            let mut at = owner.clone();
            while let Some(target) = self.leads_to(&at) {
                match met.insert(at.clone(), walk) {
                    None => at = target,
                    Some(earlier) if earlier == walk => return self.told_loop(at, aliases),
                    Some(_) => break,
                }
            }
        }
        None
    }

    /// Where an alias leads; `None` of a name that is none, or that others answer for.
    fn leads_to(&self, name: &LowerName) -> Option<LowerName> {
        let types = self.body.sets.get(name)?;
        let alias = types.get(&RecordType::CNAME).and_then(|set| set.first()).and_then(|record| match &record.data {
            RData::CNAME(target) => Some(LowerName::from(&target.0)),
            _ => None,
        });
        let target = alias.or_else(|| types.get(&RecordType::ANAME)?.first().and_then(stand_in))?;
        self.referral(name, RecordType::A).is_none().then_some(target)
    }

    /// The loop that a name is in, from its first alias on.
    fn told_loop<P: Copy>(&self, inside: LowerName, aliases: &[(LowerName, P)]) -> Option<(P, String)> {
        let around = |from: &LowerName| {
            let back = from.clone();
            let next = |at: &LowerName| self.leads_to(at).filter(|target| *target != back);
            std::iter::successors(Some(from.clone()), next).collect::<Vec<_>>()
        };
        let members: HashSet<LowerName> = around(&inside).into_iter().collect();
        let (first, place) = aliases.iter().find(|(owner, _)| members.contains(owner))?;
        let names = around(first);
        let mut way: Vec<String> = names.iter().take(TOLD_MAX).map(ToString::to_string).collect();
        if names.len() > TOLD_MAX {
            way.push(format!("… ({} names)", names.len()));
        }
        way.push(first.to_string());
        let way = way.join(" → ");
        Some((*place, format!("an alias that leads back to itself ({way}): let one of them name what has records")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "$ORIGIN example.org.\n$TTL 300\n@ IN SOA ns h 7 3600 600 86400 60\n@ IN NS ns\nns IN A 192.0.2.1\n";

    fn said(records: &str) -> Option<String> {
        Zone::parse("example.org.", &format!("{HEAD}{records}"), "z").err().map(|error| error.to_string())
    }

    #[test]
    fn a_loop_of_aliases_is_told_with_its_way_on_the_line_of_its_first_alias() {
        let fix = "let one of them name what has records";
        let cases = [
            ("a CNAME A.example.org.\n", "z:6: an alias that leads back to itself (a.example.org. → a.example.org.)"),
            (
                "into CNAME b\nb CNAME c\nother CNAME ns\nc CNAME b\n",
                "z:7: an alias that leads back to itself (b.example.org. → c.example.org. → b.example.org.)",
            ),
            (
                "a CNAME b\nb ALIAS a\n",
                "z:6: an alias that leads back to itself (a.example.org. → b.example.org. → a.example.org.)",
            ),
        ];
        for (records, line) in cases {
            assert_eq!(said(records), Some(format!("{line}: {fix}")), "{records}");
        }
        let long: String = (0..9).map(|at| format!("n{at} CNAME n{}\n", (at + 1) % 9)).collect();
        assert!(said(&long).is_some_and(|line| line.contains("n3.example.org. → … (9 names) → n0.example.org.)")));
        let table = "record = [{ name = \"@\", type = \"SOA\", ttl = 9, data = \"ns h 1 2 3 4 5\" }, { name = \"@\", type = \"NS\", ttl = 9, data = \"ns\" },\n\
                     { name = \"a\", type = \"CNAME\", ttl = 9, data = \"b\" },\n{ name = \"b\", type = \"CNAME\", ttl = 9, data = \"a\" }]\n";
        let error = Zone::parse_tables("example.org.", table, "z.toml").unwrap_err().to_string();
        assert!(
            error.starts_with("z.toml:2: record.2.data: an alias that leads back to itself (a.example.org. →"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_loop_of_this_file_is_none() {
        // A chain, two that meet, one that leaves the zone, a wildcard that may lead to a service, and what lies below a delegation.
        let many: String = (0..2000).map(|at| format!("n{at} CNAME n{}\n", at + 1)).collect();
        let all = format!(
            "{many}x CNAME n7\ny CNAME n7\nout CNAME elsewhere.example.\n* CNAME service\nsub NS ns.example.\na.sub CNAME b.sub\nb.sub CNAME a.sub\n"
        );
        assert_eq!(said(&all), None);
    }
}
