//! What a filter on the core path imports: each function's flat signature, its arguments read, its answer written. What it does is what it does
//! for the component runtime: the same implementations are called.

use wasmtime::{Caller, Engine, Linker, Module, Result};

use super::{Budget, allocate, bytes_at, guest, hand, is_some, parts, room, text_at, write, write_words};
use crate::ambient::nonsense;
use crate::component::is_ours;
use crate::filter::bindings::littoral::plugin::{ambient, env, exchange, place, store};
use crate::filter::guest::Guest;

/// Of all interfaces that may go this way.
pub(super) const INTERFACES: [&str; 5] = ["env", "exchange", "ambient", "place", "store"];

type Call<'a> = Caller<'a, Guest>;

/// Links what a module imports, as far as it is known here.
///
/// # Errors
/// What cannot be linked.
pub(in crate::filter) fn linker(engine: &Engine, module: &Module) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    let mut linked = std::collections::HashSet::new();
    for import in module.imports() {
        let interface = INTERFACES.into_iter().find(|interface| is_ours(import.module(), interface));
        let Some(interface) = interface else { continue };
        if linked.insert((import.module(), import.name())) {
            let (module, name) = (import.module(), import.name());
            match interface {
                "exchange" => of_exchange(&mut linker, module, name)?,
                "store" => of_store(&mut linker, module, name)?,
                _ => of_ambient(&mut linker, module, name)?,
            }
        }
    }
    Ok(linker)
}

fn of_exchange(linker: &mut Linker<Guest>, module: &str, name: &str) -> Result<()> {
    use exchange::Host;
    match name {
        "method" => linker.func_wrap(module, name, |call: Call<'_>, to: u32| text(call, to, Guest::method)),
        "host" => linker.func_wrap(module, name, |call: Call<'_>, to: u32| text(call, to, Guest::host)),
        "target" => linker.func_wrap(module, name, |call: Call<'_>, to: u32| text(call, to, Guest::target)),
        "client" => linker.func_wrap(module, name, |call: Call<'_>, to: u32| text(call, to, Guest::client)),
        "secure" => linker.func_wrap(module, name, |mut call: Call<'_>| guest(&mut call)?.secure().map(u32::from)),
        "status" => linker.func_wrap(module, name, |mut call: Call<'_>| guest(&mut call)?.status().map(u32::from)),
        "request-field" => linker.func_wrap(module, name, |call: Call<'_>, at: u32, length: u32, to: u32| {
            field(call, (at, length), to, Guest::request_field)
        }),
        "field" => linker.func_wrap(module, name, |call: Call<'_>, at: u32, length: u32, to: u32| {
            field(call, (at, length), to, Guest::field)
        }),
        "fields" => linker.func_wrap(module, name, fields),
        "set-field" => linker.func_wrap(module, name, |call: Call<'_>, at: u32, length: u32, of: u32, size: u32| {
            change(call, (at, length), (of, size), Guest::set_field)
        }),
        "add-field" => linker.func_wrap(module, name, |call: Call<'_>, at: u32, length: u32, of: u32, size: u32| {
            change(call, (at, length), (of, size), Guest::add_field)
        }),
        "remove-field" => linker.func_wrap(module, name, |call: Call<'_>, at: u32, length: u32| {
            with_text(call, (at, length), Guest::remove_field)
        }),
        "set-target" => linker.func_wrap(module, name, |call: Call<'_>, at: u32, length: u32| {
            with_text(call, (at, length), Guest::set_target)
        }),
        "keep" => linker.func_wrap(module, name, |mut call: Call<'_>, at: u32, length: u32| {
            let (data, guest) = parts(&mut call)?;
            let value = bytes_at(data, at, length, &mut Budget::whole())?;
            guest.keep(value)
        }),
        "kept" => linker.func_wrap(module, name, |mut call: Call<'_>, to: u32| {
            let kept = parts(&mut call)?.1.kept()?;
            let (at, length) = hand(&mut call, &kept)?;
            write_words(&mut call, to, [at, length])
        }),
        _ => Ok(linker),
    }
    .map(drop)
}

fn of_ambient(linker: &mut Linker<Guest>, module: &str, name: &str) -> Result<()> {
    match name {
        "now-ms" => {
            linker.func_wrap(module, name, |mut call: Call<'_>| ambient::Host::now_ms(&mut guest(&mut call)?.ambient))
        }
        "random" => {
            linker.func_wrap(module, name, |mut call: Call<'_>| ambient::Host::random(&mut guest(&mut call)?.ambient))
        }
        "log" => linker.func_wrap(module, name, log),
        "count" => linker.func_wrap(module, name, |mut call: Call<'_>, metric: u32, delta: u64| {
            env::Host::count(&mut guest(&mut call)?.ambient, metric, delta)
        }),
        "country" => linker.func_wrap(module, name, |mut call: Call<'_>, to: u32| {
            let country = place::Host::country(parts(&mut call)?.1)?;
            optional(&mut call, to, country.as_deref().map(str::as_bytes))
        }),
        "asn" => linker.func_wrap(module, name, |mut call: Call<'_>| place::Host::asn(guest(&mut call)?)),
        _ => Ok(linker),
    }
    .map(drop)
}

fn of_store(linker: &mut Linker<Guest>, module: &str, name: &str) -> Result<()> {
    use store::Host;
    match name {
        "get" => linker.func_wrap(module, name, |mut call: Call<'_>, at: u32, length: u32, to: u32| {
            let (data, guest) = parts(&mut call)?;
            let key = bytes_at(data, at, length, &mut Budget::whole())?;
            let value = guest.ambient.get(key)?;
            optional(&mut call, to, value.as_deref())
        }),
        "put" => linker.func_wrap(module, name, put),
        "remove" => linker.func_wrap(module, name, |mut call: Call<'_>, at: u32, length: u32| {
            let (data, guest) = parts(&mut call)?;
            let key = bytes_at(data, at, length, &mut Budget::whole())?;
            guest.ambient.remove(key)
        }),
        "swap" => linker.func_wrap(module, name, swap),
        "add" => linker.func_wrap(module, name, |mut call: Call<'_>, at: u32, length: u32, delta: i64, ttl_ms: u64| {
            let (data, guest) = parts(&mut call)?;
            let key = bytes_at(data, at, length, &mut Budget::whole())?;
            guest.ambient.add(key, delta, ttl_ms)
        }),
        _ => Ok(linker),
    }
    .map(drop)
}

fn text(mut call: Call<'_>, to: u32, of: fn(&mut Guest) -> Result<String>) -> Result<()> {
    let text = of(parts(&mut call)?.1)?;
    let (at, length) = hand(&mut call, text.as_bytes())?;
    write_words(&mut call, to, [at, length])
}

fn with_text(mut call: Call<'_>, (at, length): (u32, u32), take: fn(&mut Guest, String) -> Result<()>) -> Result<()> {
    let (data, guest) = parts(&mut call)?;
    let text = text_at(data, at, length, &mut Budget::whole())?;
    take(guest, text)
}

/// An optional list, as the canonical ABI stores it: what it need not write stays as it is. In its order too, which a guest sees that allocates
/// where the answer goes.
fn optional(call: &mut Call<'_>, to: u32, value: Option<&[u8]>) -> Result<()> {
    room(call, to, 12)?;
    write(call, to, &[value.is_some().into()])?;
    let handed = value.map(|bytes| hand(call, bytes)).transpose()?;
    handed.map_or(Ok(()), |(at, length)| write_words(call, to + 4, [at, length]))
}

fn field(
    mut call: Call<'_>,
    (at, length): (u32, u32),
    to: u32,
    of: fn(&mut Guest, String) -> Result<Option<Vec<u8>>>,
) -> Result<()> {
    let (data, guest) = parts(&mut call)?;
    let name = text_at(data, at, length, &mut Budget::whole())?;
    let value = of(guest, name)?;
    optional(&mut call, to, value.as_deref())
}

fn fields(mut call: Call<'_>, at: u32, length: u32, to: u32) -> Result<()> {
    let (data, guest) = parts(&mut call)?;
    let name = text_at(data, at, length, &mut Budget::whole())?;
    let values = exchange::Host::fields(guest, name)?;
    let list = allocate(&mut call, 4, 8 * values.len())?;
    for (value, place) in values.iter().zip((list..).step_by(8)) {
        let (at, length) = hand(&mut call, value)?;
        write_words(&mut call, place, [at, length])?;
    }
    write_words(&mut call, to, [list, values.len() as u32])
}

fn change(
    mut call: Call<'_>,
    (at, length): (u32, u32),
    (of, size): (u32, u32),
    make: fn(&mut Guest, String, Vec<u8>) -> Result<()>,
) -> Result<()> {
    let (data, guest) = parts(&mut call)?;
    let mut budget = Budget::whole();
    let (name, value) = (text_at(data, at, length, &mut budget)?, bytes_at(data, of, size, &mut budget)?);
    make(guest, name, value)
}

fn log(mut call: Call<'_>, level: u32, at: u32, length: u32) -> Result<()> {
    let (data, guest) = parts(&mut call)?;
    let text = text_at(data, at, length, &mut Budget::whole())?;
    let level = match level {
        0 => env::Level::Debug,
        1 => env::Level::Info,
        2 => env::Level::Warn,
        3 => env::Level::Error,
        other => return Err(nonsense(format!("a level that is none: {other}"))),
    };
    env::Host::log(&mut guest.ambient, level, text)
}

fn put(mut call: Call<'_>, at: u32, length: u32, of: u32, size: u32, ttl_ms: u64) -> Result<()> {
    let (data, guest) = parts(&mut call)?;
    let mut budget = Budget::whole();
    let (key, value) = (bytes_at(data, at, length, &mut budget)?, bytes_at(data, of, size, &mut budget)?);
    store::Host::put(&mut guest.ambient, key, value, ttl_ms)
}

#[allow(clippy::too_many_arguments, reason = "the contract's flat signature")]
fn swap(
    mut call: Call<'_>,
    at: u32,
    length: u32,
    is_expected: u32,
    expected: u32,
    expected_length: u32,
    of: u32,
    size: u32,
    ttl_ms: u64,
) -> Result<u32> {
    let (data, guest) = parts(&mut call)?;
    let mut budget = Budget::whole();
    let key = bytes_at(data, at, length, &mut budget)?;
    let expected = is_some(is_expected)?.then(|| bytes_at(data, expected, expected_length, &mut budget)).transpose()?;
    let value = bytes_at(data, of, size, &mut budget)?;
    store::Host::swap(&mut guest.ambient, key, expected, value, ttl_ms).map(u32::from)
}
