//! The guests that misbehave, each with the rest of the config of its node, and who comes to it.
//!
//! Invariant: each is a node of its own, with this one plugin.

use anyhow::Result;

use super::clients::Saying;
use crate::engine::{Guests, Place};

/// A policy that starts, and then does whatever is put in here. No language but its own grows tables.
const HOSTILE: &str = include_str!("../../../../plugins/host/tests/it/hostile.wat");
/// Grows a table for ever.
const GROWS: &str =
    "(loop $again (drop (table.grow $grows (ref.null func) (i32.const 1000))) (br $again)) (i32.const 0)";

/// A node, and who comes to it beside those who load it.
pub(super) struct Case {
    pub(super) title: String,
    pub(super) guests: Guests,
    pub(super) clients: Option<Saying>,
    /// Whether it is asked to make requests wait, so that they last longer by what it does.
    pub(super) waits: bool,
}

impl Case {
    /// The same, whose node goes on without its plugin if `is_so`.
    fn never_loaded(mut self, is_so: bool) -> Self {
        self.guests.more -= usize::from(is_so);
        self
    }
}

/// What fails before it can be loaded.
const INIT: &str = "init";
/// Policies, by their fixture and its config.
const POLICIES: [(&str, &str); 8] = [
    ("spin", ""),
    ("grow", ""),
    ("trap", ""),
    ("nonsense", ""),
    ("policy-faults", "recurse"),
    ("policy-faults", "log"),
    ("policy-faults", "count"),
    // Not loaded: the native policy decides.
    ("policy-faults", INIT),
];
/// What exact policies of eviction do, once they have seen some objects.
const EXACT: [&str; 5] = ["spin", "trap", "grow", "lie", "mute"];
/// Filters, by what they do and where.
const FILTERS: [(&str, &str); 18] = [
    ("spin", "request"),
    ("grow", "request"),
    ("status", "request"),
    ("wild", "request"),
    ("odd", "request"),
    // Not loaded: requests go on without.
    (INIT, "request"),
    ("none", "lookup"),
    ("recurse", "origin"),
    ("flood", "origin"),
    ("log", "origin"),
    ("count", "origin"),
    ("trap", "response"),
    ("header", "response"),
    ("framing", "response"),
    ("spin", "body"),
    ("trap", "body"),
    ("hold", "body"),
    (SLOW, "request"),
];
/// The filter that takes its time.
const SLOW: &str = "slow";
/// What a filter does at its ticks.
const TICKS: [&str; 3] = ["often", "trap", "spin"];
/// What `service-faults` is told.
const SERVICES: [&str; 9] = ["spin", "trap", "recurse", "grow", "log", "flood", "deaf", "polls", "hoard"];
/// Where `service-faults` fails before it is told anything.
const EARLY: [&str; 2] = [INIT, "start"];
/// What `swarm-faults` is told.
const SWARMS: [&str; 7] = ["spin", "trap", "recurse", "grow", "flood", "mute", "timers"];
/// What `datagram-faults` is told.
const DATAGRAMS: [&str; 5] = ["spin", "trap", "grow", "many 5000", "large 60000"];
/// Connections that one client of `service-gateway` has it open; 8 are let.
const DIALS: usize = 64;

/// All of them.
///
/// # Errors
/// When the directory of guests has no absolute path.
pub(super) fn all(place: &Place) -> Result<Vec<Case>> {
    let plugin = |guest: &str, keys: &str| {
        let file = std::path::absolute(place.plugins.join(format!("{guest}.wasm")))?;
        anyhow::Ok(format!("\n[[plugin]]\nname = \"p\"\nfile = {file:?}\n{keys}\n"))
    };
    let case = |title: String, site: &str, tables: String| Case {
        title: title.trim().to_owned(),
        guests: Guests { site: site.to_owned(), tables, more: 1, ..Guests::default() },
        clients: None,
        waits: false,
    };
    let door = |title: &str, door: &'static str, guest: &str, keys: &str, said: String| {
        let tables = format!("\n[[listen.{door}]]\nbind = \"127.0.0.1:0\"\nplugin = \"p\"\n{}", plugin(guest, keys)?);
        let clients = Some(Saying { door, said });
        anyhow::Ok(Case { clients, ..case(format!("{door}: {title}"), "", tables) })
    };
    let mut all = Vec::new();
    for (name, how) in POLICIES {
        let tables = plugin(name, &format!("config = {{ how = \"{how}\" }}"))?;
        let tables = tables + "[policy]\nroute = \"p\"\nrate = \"p\"\nevict = \"p\"\n";
        all.push(case(format!("policy: {name} {how}"), "", tables).never_loaded(how == INIT));
    }
    all.push(case("policy: grows tables".into(), "", grows_tables(place)?));
    for how in EXACT {
        let tables = plugin("exact-faults", &format!("config = {{ how = \"{how}\", after = 100 }}"))?;
        all.push(case(format!("exact policy: {how}"), "", tables + "[policy]\nevict = \"p\"\n"));
    }
    for (how, at) in FILTERS {
        let tables = plugin("filter-faults", &format!("config = {{ how = \"{how}\", at = \"{at}\" }}"))?;
        let filter = case(format!("filter: {how} at {at}"), "filters = [\"p\"]", tables);
        all.push(Case { waits: how == SLOW, ..filter }.never_loaded(how == INIT));
    }
    for how in TICKS {
        let keys = format!(
            "http = [\"http://127.0.0.1:*\"]\nstore = \"1MiB\"\nconfig = {{ how = \"{how}\", after_ms = 100 }}"
        );
        all.push(case(format!("filter that ticks: {how}"), "", plugin("filter-ticks", &keys)?));
    }
    for at in EARLY {
        let keys = format!("config = {{ at = \"{at}\" }}");
        let door = door(&format!("trap at {at}"), "service", "service-faults", &keys, "echo\n".into())?;
        all.push(door.never_loaded(at == INIT));
    }
    for how in SERVICES {
        all.push(door(how, "service", "service-faults", "store = \"1MiB\"", format!("{how}\n"))?);
    }
    let dial = format!("dial {} {} plain\n", place.origin.ip(), place.origin.port());
    let keys = format!("dial = [\"{}\"]", place.origin);
    all.push(door("opens connections until it is refused", "service", "service-gateway", &keys, dial.repeat(DIALS))?);
    for how in SWARMS {
        all.push(door(how, "swarm", "swarm-faults", "", format!("{how}\n"))?);
    }
    for how in DATAGRAMS {
        all.push(door(how, "datagram", "datagram-faults", "store = \"1MiB\"", how.to_owned())?);
    }
    Ok(all)
}

/// The tables of a node whose policy does, made here.
fn grows_tables(place: &Place) -> Result<String> {
    let text = HOSTILE.replace("{ALLOCATE}", "(i32.const 1024)").replace("{ANSWER}", GROWS);
    let file = place.work.join("grows-tables.wasm");
    std::fs::write(&file, wat::parse_str(text)?)?;
    let policy = "[policy]\nroute = \"p\"\nrate = \"p\"\nevict = \"p\"\n";
    Ok(format!("\n[[plugin]]\nname = \"p\"\nfile = {file:?}\n{policy}"))
}
