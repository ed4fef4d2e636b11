//! `terms`: what a choice is made of, where a policy tells it.

use wasmtime::{Store, TypedFunc};

use super::{DecideParams, Exports, Guest, Instance, params_of, u32_of};
use crate::limits::{CLUSTERS_MAX, FUEL_TERMS, TERM_NAME_BYTES_MAX, TERMS_MAX};
use crate::types::{Fault, Flow, Measured, Term};

/// Bytes of a `term` record.
const TERM_BYTES: u32 = 16;

/// The interface's function; `None`: the guest does not tell.
///
/// # Errors
/// It is not as the contract has it.
pub(super) fn function(
    exports: &Exports<'_>,
    store: &mut Store<Guest>,
) -> Result<Option<TypedFunc<DecideParams, i32>>, String> {
    match super::name_of(exports.module, "", "terms", "of") {
        None => Ok(None),
        Some(_) => exports.function(store, "terms", "of").map(Some),
    }
}

impl Instance {
    /// `terms.of`; empty when the guest does not tell.
    ///
    /// # Errors
    /// See [`Fault`]; what breaks a bound of the contract is nonsense.
    pub(crate) fn terms(&mut self, flow: &Flow) -> Result<Vec<Term>, Fault> {
        let Some(terms) = self.terms.as_ref() else { return Ok(Vec::new()) };
        if self.store.set_fuel(FUEL_TERMS).is_err() {
            return Err(Fault::Fuel);
        }
        self.store.data_mut().measured = flow.measured;
        let called = terms.call(&mut self.store, params_of(flow));
        self.store.data_mut().measured = Measured::NONE;
        let area = called.map_err(|error| self.broken(&error))?;
        let list = self.read::<8>(area)?;
        let told = u32_of(&list, 4);
        if told as usize > CLUSTERS_MAX * TERMS_MAX {
            return Err(Fault::Nonsense);
        }
        let mut of_each = [0_usize; CLUSTERS_MAX];
        let mut all = Vec::with_capacity(told as usize);
        let records = self.slice(u32_of(&list, 0), TERM_BYTES * told)?;
        for record in records.chunks_exact(TERM_BYTES as usize) {
            let cluster = u16::from_le_bytes([record[0], record[1]]);
            let count = of_each.get_mut(usize::from(cluster)).ok_or(Fault::Nonsense)?;
            *count += 1;
            let is_candidate = flow.candidates >> cluster & 1 == 1;
            let name = self.term_name(u32_of(record, 4), u32_of(record, 8))?;
            let value = f32::from_bits(u32_of(record, 12));
            if *count > TERMS_MAX || !is_candidate || !value.is_finite() {
                return Err(Fault::Nonsense);
            }
            all.push(Term { cluster, name, value });
        }
        self.free(|posts| &posts.terms, area)?;
        Ok(all)
    }

    fn term_name(&self, pointer: u32, length: u32) -> Result<String, Fault> {
        if length == 0 || length as usize > TERM_NAME_BYTES_MAX {
            return Err(Fault::Nonsense);
        }
        let name = self.slice(pointer, length)?;
        let is_sound = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        match name.iter().all(is_sound) {
            true => Ok(name.iter().map(|byte| char::from(*byte)).collect()),
            false => Err(Fault::Nonsense),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wasmtime::{Engine, Module};

    use super::*;
    use crate::component::Interface;
    use crate::instance::linker;

    /// A record: cluster, where its name is, how long that is, and its value.
    type Record = (u16, u32, u32, f32);

    /// What the host makes of a guest's answer: `says` records, of which these are there; the name `cost-us` is at 8192.
    fn told(says: u32, records: &[Record]) -> Result<Vec<Term>, Fault> {
        let mut bytes: Vec<u8> = [160_u32, says].iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(32, 0);
        for (cluster, pointer, length, value) in records {
            let words = [u32::from(*cluster), *pointer, *length, value.to_bits()];
            bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
        let data: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let text = format!(
            r#"(module
            (memory (export "memory") 1)
            (data (i32.const 128) "{data}")
            (data (i32.const 8192) "cost-us")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 256)
            (func (export "littoral:plugin/control@0.1.0#init") (param i32 i32) (result i32) i32.const 0)
            (func (export "littoral:plugin/control@0.1.0#clusters") (param i64 i32 i32))
            (func (export "littoral:plugin/control@0.1.0#ladder") (param i32 i32 i32))
            (func (export "littoral:plugin/routing@0.1.0#decide")
                (param i64 i64 i64 f32 f32 f32 i32 i64 i64 i64) (result i32) i32.const 0)
            (func (export "littoral:plugin/terms@0.1.0#of")
                (param i64 i64 i64 f32 f32 f32 i32 i64 i64 i64) (result i32) i32.const 128))"#
        );
        let engine = Engine::new(&crate::engine::config()).unwrap();
        let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        let linker = linker(&engine, &module).unwrap();
        let interfaces = [Interface::Routing];
        let mut instance = Instance::new("telling", &linker, &module, &interfaces, 1 << 20, Arc::default()).unwrap();
        instance.terms(&Flow { candidates: 0b101, ..Flow::default() })
    }

    #[test]
    fn terms_are_of_candidates_have_a_plain_name_and_a_number_and_are_not_too_many() {
        let good = (2, 8192, 7, 1.5);
        let term = Term { cluster: 2, name: "cost-us".into(), value: 1.5 };
        assert_eq!(told(1, &[good]), Ok(vec![term.clone()]));
        assert_eq!(told(0, &[]), Ok(vec![]));
        assert_eq!(told(16, &[good; 16]), Ok(vec![term; 16]));
        for (says, records) in [
            (17, vec![good; 17]),
            (1, vec![(1, 8192, 7, 1.5)]),
            (1, vec![(64, 8192, 7, 1.5)]),
            (1, vec![(2, 8192, 7, f32::NAN)]),
            (1, vec![(2, 8192, 7, f32::INFINITY)]),
            (1, vec![(2, 8192, 0, 1.5)]),
            (1, vec![(2, 8192, 65, 1.5)]),
            // Octets of 0 are no name.
            (1, vec![(2, 8192, 8, 1.5)]),
            (1, vec![(2, 65_535, 7, 1.5)]),
            (1, vec![(2, u32::MAX, 7, 1.5)]),
            (1025, vec![good]),
            (u32::MAX, vec![good]),
        ] {
            assert_eq!(told(says, &records), Err(Fault::Nonsense), "{says} {records:?}");
        }
    }
}
