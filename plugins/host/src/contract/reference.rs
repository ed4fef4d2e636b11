//! The reference of the contract, made from its text: each world, then each interface with its types and functions.

use std::fmt::Write;

use wit_parser::{Docs, Function, Handle, Interface, Result_, Type, TypeDef, TypeDefKind, World, WorldItem};

use super::Contract;

/// What stands above it.
const HEAD: &str = "# Reference of the contract\n\n\
    Made from `plugins/wit` by `littoral docs wit`; do not edit. What an interface says holds in every world that has it.\n";

/// The reference as Markdown.
///
/// # Errors
/// None for a contract that the tests of this crate have seen.
pub fn reference() -> Result<String, String> {
    let contract = Contract::read()?;
    let package = contract.resolve.packages.get(contract.package).ok_or("plugins/wit has no package")?;
    let mut told = HEAD.to_owned();
    let _ = writeln!(told, "\nPackage `{}`.{}", package.name, inline(&package.docs));
    told.push_str("\n## Worlds\n\n| world | imports | exports | |\n|---|---|---|---|\n");
    for world in package.worlds.values().filter_map(|id| contract.resolve.worlds.get(*id)) {
        told.push_str(&contract.world_row(world));
    }
    for interface in package.interfaces.values().filter_map(|id| contract.resolve.interfaces.get(*id)) {
        contract.tell(interface, &mut told);
    }
    Ok(told)
}

/// Documentation as a paragraph.
fn paragraph(docs: &Docs) -> String {
    docs.contents.as_deref().map_or_else(String::new, |text| format!("\n{}\n", text.trim()))
}

/// Documentation within a line.
fn inline(docs: &Docs) -> String {
    docs.contents
        .as_deref()
        .map_or_else(String::new, |text| format!(" {}", text.split_whitespace().collect::<Vec<_>>().join(" ")))
}

impl Contract {
    fn world_row(&self, world: &World) -> String {
        let names = |items: &mut dyn Iterator<Item = &WorldItem>| {
            let name = |item: &WorldItem| match item {
                WorldItem::Interface { id, .. } => self.resolve.interfaces.get(*id)?.name.clone(),
                WorldItem::Function(function) => Some(function.name.clone()),
                WorldItem::Type { .. } => None,
            };
            let linked = items.filter_map(name).map(|name| format!("[`{name}`](#{name})"));
            linked.collect::<Vec<_>>().join(", ")
        };
        let (imports, exports) = (names(&mut world.imports.values()), names(&mut world.exports.values()));
        format!("| `{}` | {imports} | {exports} |{} |\n", world.name, inline(&world.docs))
    }

    fn tell(&self, interface: &Interface, told: &mut String) {
        let name = interface.name.as_deref().unwrap_or("unnamed");
        let _ = write!(told, "\n## {name}\n{}", paragraph(&interface.docs));
        for (name, id) in &interface.types {
            if let Some(defined) = self.resolve.types.get(*id) {
                let _ = write!(told, "\n### {} `{name}`\n{}", defined.kind.as_str(), paragraph(&defined.docs));
                self.tell_parts(defined, told);
            }
        }
        for function in interface.functions.values() {
            let _ = write!(told, "\n### `{}`\n{}", self.signature(function), paragraph(&function.docs));
        }
    }

    fn tell_parts(&self, defined: &TypeDef, told: &mut String) {
        let rows: Vec<(&str, String, &Docs)> = match &defined.kind {
            TypeDefKind::Record(record) => {
                record.fields.iter().map(|field| (field.name.as_str(), self.type_of(&field.ty), &field.docs)).collect()
            }
            TypeDefKind::Flags(flags) => {
                flags.flags.iter().map(|flag| (flag.name.as_str(), String::new(), &flag.docs)).collect()
            }
            TypeDefKind::Enum(cases) => {
                cases.cases.iter().map(|case| (case.name.as_str(), String::new(), &case.docs)).collect()
            }
            TypeDefKind::Variant(variant) => {
                let of = |ty: &Option<Type>| ty.as_ref().map_or_else(String::new, |ty| self.type_of(ty));
                variant.cases.iter().map(|case| (case.name.as_str(), of(&case.ty), &case.docs)).collect()
            }
            _ => return,
        };
        told.push_str("\n| name | type | |\n|---|---|---|\n");
        for (name, of, docs) in rows {
            let of = if of.is_empty() { String::new() } else { format!("`{of}`") };
            let _ = writeln!(told, "| `{name}` | {of} |{} |", inline(docs).replace('|', "\\|"));
        }
    }

    fn signature(&self, function: &Function) -> String {
        let param = |param: &wit_parser::Param| format!("{}: {}", param.name, self.type_of(&param.ty));
        let params = function.params.iter().map(param).collect::<Vec<_>>().join(", ");
        let result =
            function.result.as_ref().map_or_else(String::new, |result| format!(" -> {}", self.type_of(result)));
        let name = function.name.rsplit(']').next().unwrap_or(&function.name);
        format!("{name}: func({params}){result}")
    }

    fn type_of(&self, ty: &Type) -> String {
        let named = match ty {
            Type::Id(id) => self.resolve.types.get(*id),
            _ => None,
        };
        match (ty, named) {
            (_, Some(defined)) => self.defined(defined),
            (Type::ErrorContext, _) => "error-context".to_owned(),
            (plain, _) => format!("{plain:?}").to_lowercase(),
        }
    }

    fn defined(&self, defined: &TypeDef) -> String {
        if let Some(name) = &defined.name {
            return name.clone();
        }
        let maybe = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), |ty| self.type_of(ty));
        match &defined.kind {
            TypeDefKind::Option(ty) => format!("option<{}>", self.type_of(ty)),
            TypeDefKind::List(ty) => format!("list<{}>", self.type_of(ty)),
            TypeDefKind::Result(Result_ { ok: None, err: None }) => "result".to_owned(),
            TypeDefKind::Result(Result_ { ok, err: None }) => format!("result<{}>", maybe(ok)),
            TypeDefKind::Result(Result_ { ok, err }) => format!("result<{}, {}>", maybe(ok), maybe(err)),
            TypeDefKind::Tuple(tuple) => {
                format!("tuple<{}>", tuple.types.iter().map(|ty| self.type_of(ty)).collect::<Vec<_>>().join(", "))
            }
            TypeDefKind::Handle(Handle::Own(id)) => self.type_of(&Type::Id(*id)),
            TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", self.type_of(&Type::Id(*id))),
            TypeDefKind::Type(ty) => self.type_of(ty),
            other => other.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worlds_types_functions_and_their_words_are_all_there() {
        let told = reference().unwrap();
        for expected in [
            "| `rate-policy` | [`env`](#env) | [`control`](#control), [`rate`](#rate) | Decides which representation. |",
            "## routing\n",
            "### record `flow`\n",
            "| `candidates` | `u64` | One bit per candidate cluster. All are healthy, unless none is. |",
            "### `ladder: func(id: u32, kbps: list<u32>)`",
            "### `init: func(config: string) -> result<manifest, string>`",
            "| `fields` | `list<tuple<string, list<u8>>>` |",
        ] {
            assert!(told.contains(expected), "{expected}\n{told}");
        }
    }
}
