//! What is to become of which values: JSON pointers in a tree, so that a path is followed step by step.

use std::collections::BTreeMap;

/// Rules, and the octets of one.
const RULES_MAX: usize = 256;
const RULE_BYTES_MAX: usize = 1024;

/// A place in the tree.
pub(crate) type Node = usize;

/// What becomes of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Remove,
    /// It becomes this text.
    Set(String),
}

#[derive(Debug, Default)]
struct Branch {
    named: BTreeMap<String, Node>,
    every: Option<Node>,
    action: Option<Action>,
}

/// All rules; the root is node 0.
#[derive(Debug)]
pub(crate) struct Rules(Vec<Branch>);

impl Rules {
    /// Of paths, each with the text it becomes, or none.
    ///
    /// # Errors
    /// For the operator: which path, and what is expected.
    pub(crate) fn of(rules: impl Iterator<Item = (String, Option<String>)>) -> Result<Self, String> {
        let mut tree = Self(vec![Branch::default()]);
        let mut count = 0;
        for (path, text) in rules {
            count += 1;
            let steps = path.strip_prefix('/').filter(|_| path.len() <= RULE_BYTES_MAX);
            let steps = steps
                .ok_or_else(|| format!("{path:?}: a path begins with / and has at most {RULE_BYTES_MAX} octets"))?;
            let end = steps.split('/').fold(0, |node, step| tree.step(node, step));
            tree.0[end].action = Some(text.map_or(Action::Remove, Action::Set));
        }
        match count {
            0 => Err("remove, set: name at least one path, such as \"/user/email\"".into()),
            1..=RULES_MAX => Ok(tree),
            _ => Err(format!("remove, set: {count} paths; {RULES_MAX} are the most")),
        }
    }

    fn step(&mut self, node: Node, step: &str) -> Node {
        let next = self.0.len();
        let name = step.replace("~1", "/").replace("~0", "~");
        let place = match step {
            "*" => *self.0[node].every.get_or_insert(next),
            _ => *self.0[node].named.entry(name).or_insert(next),
        };
        if place == next {
            self.0.push(Branch::default());
        }
        place
    }

    /// Where a member or element leads from these places.
    pub(crate) fn follow(&self, from: &[Node], name: &str) -> Vec<Node> {
        let next = |node: &Node| {
            let branch = &self.0[*node];
            branch.named.get(name).copied().into_iter().chain(branch.every)
        };
        from.iter().flat_map(next).collect()
    }

    /// What becomes of a value at these places; removing goes first.
    pub(crate) fn action(&self, at: &[Node]) -> Option<&Action> {
        let actions = || at.iter().filter_map(|node| self.0[*node].action.as_ref());
        actions().find(|action| **action == Action::Remove).or_else(|| actions().next())
    }
}
