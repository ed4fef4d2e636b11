//! One table of several: an instance of a filter has one. Entries of the largest stay where they are, those of the others follow, and a
//! call through one of these is moved by as much.

use wasm_encoder::reencode::Error;
use wasm_encoder::{Instruction, RefType, TableSection, TableType};
use wasmparser::TableType as Read;

/// The tables of all parts.
#[derive(Default)]
pub(super) struct Tables {
    /// Where the entries of each begin in the only one there will be.
    bases: Vec<u32>,
    /// Entries of that one: at first, and at most.
    minimum: u64,
    maximum: Option<u64>,
}

impl Tables {
    /// Puts tables one behind another.
    ///
    /// # Errors
    /// Where one of them is not of functions.
    pub(super) fn of(tables: &[Read]) -> Result<Self, String> {
        if tables.iter().any(|table| table.element_type != wasmparser::RefType::FUNCREF || table.table64) {
            return Err("it has a table of something else than functions".into());
        }
        if let [only] = tables {
            return Ok(Self { bases: vec![0], minimum: only.initial, maximum: only.maximum });
        }
        let (mut bases, mut next) = (vec![0; tables.len()], 0);
        let mut by_size: Vec<_> = bases.iter_mut().zip(tables).collect();
        by_size.sort_by_key(|(_, table)| std::cmp::Reverse(table.initial));
        for (base, table) in by_size {
            *base = u32::try_from(next).map_err(|_| "its tables are too large")?;
            next += table.initial;
        }
        Ok(Self { bases, minimum: next, maximum: Some(next) })
    }

    /// The only one there will be.
    pub(super) fn write(&self, section: &mut TableSection) {
        let (minimum, maximum) = (self.minimum, self.maximum);
        if !self.bases.is_empty() {
            section.table(TableType {
                element_type: RefType::FUNCREF,
                table64: false,
                minimum,
                maximum,
                shared: false,
            });
        }
    }

    /// Where the entries of a table begin.
    pub(super) fn base(&self, table: u32) -> u32 {
        self.bases.get(table as usize).copied().unwrap_or(0)
    }

    /// Where the entries begin that an instruction calls by, when that is not at 0; the instruction then names the only table.
    ///
    /// # Errors
    /// Where it does something else with one table of several: entries would be where it does not expect them.
    pub(super) fn moved(&self, instruction: &mut Instruction<'_>) -> Result<Option<i32>, Error<String>> {
        match instruction {
            Instruction::CallIndirect { table_index, .. } => {
                let base = self.base(std::mem::take(table_index));
                Ok((base > 0).then_some(base as i32))
            }
            Instruction::TableGet(_)
            | Instruction::TableSet(_)
            | Instruction::TableGrow(_)
            | Instruction::TableSize(_)
            | Instruction::TableFill(_)
            | Instruction::TableInit { .. }
            | Instruction::TableCopy { .. }
                if self.bases.len() > 1 =>
            {
                Err(Error::UserError(format!("{instruction:?}, where there are {} tables", self.bases.len())))
            }
            _ => Ok(None),
        }
    }
}
