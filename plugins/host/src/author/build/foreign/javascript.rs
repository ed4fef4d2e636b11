//! What the source of a plugin in JavaScript says before it is compiled: its world, by what it exports, and what it asks the host for.
//!
//! It is looked at line by line and not parsed: the compiler does that. What looks like an export and is none leads to the compiler's error.

use std::path::Path;

mod thrown;

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

/// Levels of directories that modules are looked for in.
const LEVELS_MAX: usize = 8;

/// Copies what a module may import from its directory and those in it: what is compiled has more in it than the author's text, and the
/// compiler takes nothing from elsewhere. What npm has fetched it does not look at.
///
/// # Errors
/// What cannot be read or written.
pub(super) fn copy_modules(from: &Path, to: &Path) -> std::io::Result<()> {
    copy_level(from, to, LEVELS_MAX)
}

fn copy_level(from: &Path, to: &Path, levels: usize) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, name, kind) = (entry.path(), entry.file_name(), entry.file_type()?);
        let is_module = path.extension().is_some_and(|kind| ["js", "mjs", "json"].iter().any(|of| kind == *of));
        // What is linked to from elsewhere the compiler takes no more than what is elsewhere.
        if kind.is_dir() && levels > 0 && name != "node_modules" && !name.to_string_lossy().starts_with('.') {
            copy_level(&path, &to.join(name), levels - 1)?;
        } else if is_module && kind.is_file() {
            std::fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

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
        let of =
            |(name, world): &(&str, &'static str)| exported.iter().any(|(found, _)| found == name).then_some(*world);
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

    /// What is compiled: the text, and behind it what has errors told that it throws.
    pub(super) fn compiled(&self) -> String {
        format!("{}\n{}", self.0, thrown::behind(&self.exported()))
    }

    /// Whether it imports an interface of the contract. What is compiled logs.
    pub(super) fn asks_for(&self, interface: &str) -> bool {
        interface == "env" || self.0.contains(&format!("littoral:plugin/{interface}@"))
    }

    /// The names in its export declarations, each with its own in the text, which is empty for one that is of another module.
    fn exported(&self) -> Vec<(String, String)> {
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
                let (list, behind) = list.split_once('}').unwrap_or((list, ""));
                let is_elsewhere = behind.trim_start().starts_with("from");
                let told = |name: &str| {
                    let (own, name) = name.split_once(" as ").unwrap_or((name, name));
                    (word(name), if is_elsewhere { String::new() } else { word(own) })
                };
                names.extend(list.split(',').map(told));
            } else if let Some((_, name)) = ["const ", "let ", "var ", "class "]
                .iter()
                .find_map(|keyword| behind.strip_prefix(keyword).map(|rest| (keyword, rest)))
            {
                names.push((word(name), word(name)));
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
        assert_eq!(world("export { default as filter } from \"./filter.js\";\n"), Ok("http-filter"));
        assert!(world("// export const filter\n").unwrap_err().contains("one of filter, routing"));
        let said = world("export const filter = {};\nexport class service {}\n").unwrap_err();
        assert!(said.contains("of http-filter, stream-service"), "{said}");
    }

    #[test]
    fn what_is_of_another_module_is_left_as_it_is() {
        let compiled = |text: &str| Source(text.to_owned()).compiled();
        assert!(compiled("const mine = {};\nexport { mine as filter };\n").contains("typeof mine ==="));
        assert!(!compiled("export { default as filter } from \"./filter.js\";\n").contains("typeof  ==="));
    }

    #[test]
    fn only_what_it_imports_is_asked_for() {
        let source = Source("import { field } from \"littoral:plugin/exchange@0.1.0\";\n".into());
        assert!(source.asks_for("exchange") && !source.asks_for("store") && !source.asks_for("change"));
        assert!(source.asks_for("env"), "what is added logs");
    }
}
