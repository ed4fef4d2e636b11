//! What plugins in JavaScript throw, as the log has it. Tried where npm has fetched their compiler for the examples.

use std::fmt::{Debug, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use littoral_plugin_host::filter::{Fault, Filter, FilterHost, FilterSpec, Kept, Point};
use littoral_plugin_host::{HostSettings, author};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::now_ms;
use super::ticks::{Plain, run};

/// A filter that throws as its config says, in two files.
const THROWS: &str = r#"import { length } from "./lib/length.js";
let how = "";

export const filter = {
  init(config) {
    how = JSON.parse(config).how;
    if (how === "init") length(null);
    if (how === "refuse") throw new Error("how: not this");
    return { points: { request: true, lookup: false, origin: false, response: false }, bodies: false, reuse: true };
  },
  onRequest() {
    if (how === "error") length(how.absent);
    if (how === "text") throw "in words";
    return null;
  },
  onLookup: () => null,
  onOrigin: () => false,
  onResponse() {},
  onBody: (data, last) => ({ out: data, hold: 0 }),
};
"#;

/// All that is logged.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<String>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, _field: &Field, value: &dyn Debug) {
        writeln!(self.0, "{value:?}").unwrap();
    }
}

impl Subscriber for Heard {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut Line(&mut self.0.lock().unwrap()));
    }
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

/// What npm has fetched for the examples, if its compiler is there.
fn npm() -> Option<PathBuf> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/node_modules");
    let there = modules.join("@andreiltd").is_dir().then(|| modules.canonicalize().unwrap());
    if there.is_none() {
        eprintln!("not tried: plugins/examples/node_modules is not there; `make plugins` fetches it with npm");
    }
    there
}

/// The filter in a directory of its own, compiled.
fn built(npm: &Path, directory: &Path) -> PathBuf {
    let source = directory.join("throws");
    std::fs::create_dir_all(source.join("lib")).unwrap();
    std::os::unix::fs::symlink(npm, source.join("node_modules")).unwrap();
    std::fs::write(source.join("lib/length.js"), "export const length = (text) => text.length;\n").unwrap();
    std::fs::write(source.join("plugin.js"), THROWS).unwrap();
    author::build(&[source], directory).expect("a guest that builds");
    directory.join("throws.wasm")
}

#[test]
fn what_a_filter_in_javascript_throws_is_in_the_log_with_the_lines_it_came_through() {
    let Some(npm) = npm() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = built(&npm, directory.path());
    let cache_dir = Some(directory.path().join("cache"));
    let host = FilterHost::new(HostSettings { cache_dir, compiler: None, now_ms }).unwrap();
    // What became of it, and what was logged.
    let thrown = |how: &str| {
        let spec = FilterSpec {
            name: "throws".into(),
            file: file.clone(),
            config: format!("{{\"how\": \"{how}\"}}"),
            deadline_ms: Some(1000),
            ..FilterSpec::default()
        };
        let heard = Heard::default();
        let outcome = tracing::subscriber::with_default(heard.clone(), || {
            let filter: Arc<Filter> = host.load(spec).map_err(|error| error.to_string())?;
            Ok::<_, String>(run(filter.call(Point::Request, Box::new(Plain), Kept::NOTHING)).outcome.err())
        });
        let said = heard.0.lock().unwrap().clone();
        (outcome, said)
    };
    let (outcome, said) = thrown("error");
    assert_eq!(outcome, Ok(Some(Fault::Trap)));
    for expected in ["TypeError: cannot read property", "at length (/lib/length.js:1:", "at onRequest (/plugin.js:12:"]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains("call (native)"), "what was added is not shown: {said}");
    let (outcome, said) = thrown("text");
    assert!(outcome == Ok(Some(Fault::Trap)) && said.contains("in words"), "{said}");
    let (outcome, said) = thrown("init");
    assert!(outcome.unwrap_err().contains("refuses its config") && said.contains("at init (/plugin.js:7:"), "{said}");
    let (outcome, said) = thrown("refuse");
    assert!(outcome.unwrap_err().contains("refuses its config: how: not this"), "{said}");
    assert!(!said.contains("not this"), "the refusal has it: {said}");
    let (outcome, said) = thrown("none");
    assert_eq!((outcome, said.as_str()), (Ok(None), ""));
}
