//! How the core modules of a component are linked, to one another and to what the component imports.
//!
//! Only what a linker needs is read: modules, their instances, and where the names of those come from. Of components in components the one
//! with the most code counts: what wraps it brings stand-ins for what is imported of WASI. The bytes have been validated.

use std::collections::HashMap;

use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentTypeRef, ExternalKind, Instance as Written,
    Parser, Payload,
};

/// The package whose functions a host has.
const PACKAGE: &str = "littoral:plugin/";

/// What an import of a module is linked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source<'a> {
    /// An export of another module's instance.
    Of(u32, &'a str),
    /// A function that the host has: interface and name.
    Host(&'a str, &'a str),
    /// A function of somebody who will not be there.
    Nobody,
    /// A function that lets go of a handle of somebody who will not be there.
    Drop,
}

/// An instance of a module, or a bundle of names.
enum Instance<'a> {
    Module { module: u32, with: HashMap<&'a str, u32> },
    Bundle(HashMap<&'a str, (ExternalKind, u32)>),
}

/// Something that core instances can be given.
enum Item<'a> {
    Alias(u32, &'a str),
    /// A function of the component's own kind.
    Lowered(u32),
    Drop,
    Intrinsic,
}

/// A component's core modules and their links.
#[derive(Default)]
pub(super) struct Linked<'a> {
    modules: Vec<&'a [u8]>,
    instances: Vec<Instance<'a>>,
    functions: Vec<Item<'a>>,
    globals: Vec<Item<'a>>,
    tables: Vec<Item<'a>>,
    memories: Vec<Item<'a>>,
    /// Component instances: under which name each is imported.
    interfaces: Vec<Option<&'a str>>,
    /// Component functions: of which instance, under which name.
    offered: Vec<Option<(u32, &'a str)>>,
}

impl<'a> Linked<'a> {
    /// Reads the component with the most code of those in `component`, itself included.
    ///
    /// # Errors
    /// Where it is damaged, or has no core module.
    pub(super) fn of(component: &'a [u8]) -> Result<Self, String> {
        let (mut open, mut largest) = (Vec::<Option<Self>>::new(), None::<Self>);
        for payload in Parser::new(0).parse_all(component) {
            match payload.map_err(damaged)? {
                Payload::Version { encoding, .. } => {
                    open.push((encoding == wasmparser::Encoding::Component).then(Self::default));
                }
                Payload::End(_) => {
                    let ended = open.pop().flatten();
                    largest = ended.into_iter().chain(largest).max_by_key(Self::bytes);
                }
                payload => {
                    if let Some(Some(into)) = open.last_mut() {
                        into.read(component, payload).map_err(damaged)?;
                    }
                }
            }
        }
        largest.filter(|linked| !linked.modules.is_empty()).ok_or_else(|| "it has no core module".into())
    }

    fn bytes(&self) -> usize {
        self.modules.iter().map(|module| module.len()).sum()
    }

    fn read(&mut self, file: &'a [u8], payload: Payload<'a>) -> wasmparser::Result<()> {
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                let range = place(unchecked_range.start)..place(unchecked_range.end);
                self.modules.push(file.get(range).unwrap_or_default());
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    self.instances.push(Instance::of(instance?));
                }
            }
            Payload::ComponentInstanceSection(section) => {
                self.interfaces.extend((0..section.count()).map(|_| None));
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import?;
                    match import.ty {
                        ComponentTypeRef::Instance(_) => self.interfaces.push(Some(import.name.name)),
                        ComponentTypeRef::Func(_) => self.offered.push(None),
                        _ => {}
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    match export?.kind {
                        ComponentExternalKind::Instance => self.interfaces.push(None),
                        ComponentExternalKind::Func => self.offered.push(None),
                        _ => {}
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for canonical in section {
                    match canonical? {
                        CanonicalFunction::Lift { .. } => self.offered.push(None),
                        CanonicalFunction::Lower { func_index, .. } => self.functions.push(Item::Lowered(func_index)),
                        CanonicalFunction::ResourceDrop { .. } => self.functions.push(Item::Drop),
                        _ => self.functions.push(Item::Intrinsic),
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    self.alias(alias?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, alias: ComponentAlias<'a>) {
        match alias {
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Func, instance_index, name } => {
                self.offered.push(Some((instance_index, name)));
            }
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Instance, .. } => self.interfaces.push(None),
            ComponentAlias::CoreInstanceExport { kind, instance_index, name } => {
                let item = Item::Alias(instance_index, name);
                match kind {
                    ExternalKind::Func | ExternalKind::FuncExact => self.functions.push(item),
                    ExternalKind::Global => self.globals.push(item),
                    ExternalKind::Table => self.tables.push(item),
                    ExternalKind::Memory => self.memories.push(item),
                    ExternalKind::Tag => {}
                }
            }
            ComponentAlias::InstanceExport { .. } | ComponentAlias::Outer { .. } => {}
        }
    }

    /// The instances of modules, in the order in which they start: each its number and its module.
    pub(super) fn started(&self) -> impl Iterator<Item = (u32, &'a [u8])> {
        (0..).zip(&self.instances).filter_map(|(number, instance)| match instance {
            Instance::Module { module, .. } => Some((number, *self.modules.get(*module as usize)?)),
            Instance::Bundle(_) => None,
        })
    }

    /// What an import of an instance is linked to.
    ///
    /// # Errors
    /// When nothing is.
    pub(super) fn source(&self, instance: u32, module: &'a str, name: &'a str) -> Result<Source<'a>, String> {
        let with = match self.instances.get(instance as usize) {
            Some(Instance::Module { with, .. }) => with.get(module),
            _ => None,
        };
        let found = with.and_then(|with| self.export(*with, name));
        match found.ok_or_else(|| format!("nothing is linked to {module}.{name}"))? {
            // Handles of the host's are known by the names that they are let go of by.
            Source::Drop if module.starts_with(PACKAGE) => Ok(Source::Host(module, name)),
            found => Ok(found),
        }
    }

    /// What is behind a name of an instance; aliases lead to instances before, so that this ends.
    fn export(&self, instance: u32, name: &'a str) -> Option<Source<'a>> {
        let bundle = match self.instances.get(instance as usize)? {
            Instance::Module { .. } => return Some(Source::Of(instance, name)),
            Instance::Bundle(bundle) => bundle,
        };
        let (kind, index) = bundle.get(name)?;
        let items = match kind {
            ExternalKind::Func | ExternalKind::FuncExact => &self.functions,
            ExternalKind::Global => &self.globals,
            ExternalKind::Table => &self.tables,
            ExternalKind::Memory => &self.memories,
            ExternalKind::Tag => return None,
        };
        Some(match items.get(*index as usize)? {
            Item::Alias(of, name) => return self.export(*of, name),
            Item::Lowered(function) => self.lowered(*function).unwrap_or(Source::Nobody),
            Item::Drop => Source::Drop,
            Item::Intrinsic => Source::Nobody,
        })
    }

    fn lowered(&self, function: u32) -> Option<Source<'a>> {
        let (instance, name) = (*self.offered.get(function as usize)?)?;
        let interface = (*self.interfaces.get(instance as usize)?)?;
        interface.starts_with(PACKAGE).then_some(Source::Host(interface, name))
    }
}

impl<'a> Instance<'a> {
    fn of(written: Written<'a>) -> Self {
        match written {
            Written::Instantiate { module_index, args } => {
                let with = args.iter().map(|given| (given.name, given.index)).collect();
                Self::Module { module: module_index, with }
            }
            Written::FromExports(exports) => {
                Self::Bundle(exports.iter().map(|export| (export.name, (export.kind, export.index))).collect())
            }
        }
    }
}

fn damaged(error: wasmparser::BinaryReaderError) -> String {
    format!("it is damaged: {error}")
}
