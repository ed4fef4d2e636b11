//! What the source of a plugin in JavaScript says before it is compiled: its world, by what it exports, and what it asks the host for.
//!
//! It is looked at line by line and not parsed: the compiler does that. What looks like an export and is none leads to the compiler's error.

use std::path::Path;

/// What a module exports when it is of a world: interfaces are objects of their names.
const WORLDS: [(&str, &str); 6] = [
    ("filter", "http-filter"),
    ("routing", "routing-policy"),
    ("rate", "rate-policy"),
    ("cache", "cache-policy"),
    ("service", "stream-service"),
    ("datagrams", "datagram-service"),
];

/// Bytes of a source.
const SOURCE_BYTES_MAX: u64 = 4 << 20;

/// The text of a plugin.
#[derive(Default)]
pub(super) struct Source(String);

impl Source {
    /// Reads it.
    ///
    /// # Errors
    /// One line with the file: it cannot be read, is too large, or no text.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let told = |problem: String| format!("{}: {problem}", file.display());
        let length = std::fs::metadata(file).map_err(|error| told(error.to_string()))?.len();
        if length > SOURCE_BYTES_MAX {
            return Err(told(format!("it has {length} bytes; a source has at most {SOURCE_BYTES_MAX}")));
        }
        std::fs::read_to_string(file).map(Self).map_err(|error| told(error.to_string()))
    }

    /// The world it is of.
    ///
    /// # Errors
    /// By which exports it would be known.
    pub(super) fn world(&self) -> Result<&'static str, String> {
        let exported = self.exported();
        let of = |(name, world): &(&str, &'static str)| exported.iter().any(|found| found == name).then_some(*world);
        match WORLDS.iter().filter_map(of).collect::<Vec<_>>()[..] {
            [world] => Ok(world),
            ["routing-policy", "rate-policy", "cache-policy"] => Ok("any-policy"),
            [] => {
                let names = WORLDS.map(|(name, _)| name).join(", ");
                Err(format!("plugin.js exports no object that its world could be told by: one of {names}"))
            }
            ref several => Err(format!("plugin.js exports objects of {}: one world each", several.join(", "))),
        }
    }

    /// Whether it imports an interface of the contract.
    pub(super) fn asks_for(&self, interface: &str) -> bool {
        self.0.contains(&format!("littoral:plugin/{interface}@"))
    }

    /// The names in its export declarations.
    fn exported(&self) -> Vec<String> {
        let word = |text: &str| -> String {
            text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '$').collect()
        };
        let mut names = Vec::new();
        let declarations = self.0.split("export").skip(1).zip(self.0.match_indices("export"));
        for (behind, (at, _)) in declarations {
            let is_first = self.0.get(..at).is_none_or(|before| before.ends_with('\n') || before.is_empty());
            let behind = behind.trim_start();
            if !is_first {
                continue;
            }
            if let Some(list) = behind.strip_prefix('{') {
                let list = list.split('}').next().unwrap_or_default();
                names.extend(list.split(',').map(|name| word(name.rsplit(" as ").next().unwrap_or(name))));
            } else if let Some((_, name)) = ["const ", "let ", "var ", "class "]
                .iter()
                .find_map(|keyword| behind.strip_prefix(keyword).map(|rest| (keyword, rest)))
            {
                names.push(word(name));
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_is_told_by_the_objects_that_are_exported() {
        let world = |text: &str| Source(text.to_owned()).world();
        assert_eq!(world("export const control = {};\nexport const rate = {\n"), Ok("rate-policy"));
        assert_eq!(world("const a = 1, filter = {};\nexport { a as b, filter };\n"), Ok("http-filter"));
        assert_eq!(world("const mine = {};\nexport {\n  mine as datagrams,\n};\n"), Ok("datagram-service"));
        assert_eq!(world("export let routing;\nexport let rate;\nexport let cache;\n"), Ok("any-policy"));
        assert!(world("// export const filter\n").unwrap_err().contains("one of filter, routing"));
        let said = world("export const filter = {};\nexport class service {}\n").unwrap_err();
        assert!(said.contains("of http-filter, stream-service"), "{said}");
    }

    #[test]
    fn only_what_it_imports_is_asked_for() {
        let source = Source("import { field } from \"littoral:plugin/exchange@0.1.0\";\n".into());
        assert!(source.asks_for("exchange") && !source.asks_for("store") && !source.asks_for("change"));
    }
}
