//! What a call of a filter costs: one point of a filter that sets two fields and removes one, with an instance that is kept and
//! with a new one for each call. Needs `make plugins`.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use criterion::{Criterion, criterion_group, criterion_main};
use littoral_plugin_host::HostSettings;
use littoral_plugin_host::filter::{Exchange, Filter, FilterHost, FilterSpec, Point};

const CONFIG: &str = r#"{"response": {"set": {"x-frame-options": "DENY", "x-served": "edge"}, "remove": ["server"]}}"#;

struct Static;

impl Exchange for Static {
    fn method(&self) -> &str {
        "GET"
    }
    fn host(&self) -> &str {
        "site.example"
    }
    fn target(&self) -> &str {
        "/a"
    }
    fn client(&self) -> Option<IpAddr> {
        None
    }
    fn is_secure(&self) -> bool {
        false
    }
    fn status(&self) -> u16 {
        200
    }
    fn field(&self, _of_request: bool, _name: &str, _index: usize) -> Option<&[u8]> {
        None
    }
}

fn filter(name: &str, config: &str) -> Arc<Filter> {
    let built = std::env::var("LITTORAL_PLUGINS").unwrap_or_else(|_| "../../target/plugins".to_owned());
    let file = std::path::Path::new(&built).join(format!("{name}.wasm"));
    let host = FilterHost::new(HostSettings { cache_dir: None, compiler: None, now_ms: || 1 }).expect("an engine");
    let spec = FilterSpec { name: name.to_owned(), file, config: config.to_owned(), ..FilterSpec::default() };
    host.load(spec).expect("a filter; run `make plugins`")
}

/// One call; it waits for nothing but its own turn.
fn call(filter: &Arc<Filter>) -> usize {
    let mut called = pin!(filter.call(Point::Response, Box::new(Static), Vec::new()));
    loop {
        if let Poll::Ready(called) = called.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return called.outcome.expect("no fault").1.fields.len();
        }
    }
}

fn calls(criterion: &mut Criterion) {
    let fresh = r#"{"how": "", "at": "response"}"#;
    for (name, config, changes, title) in [
        ("filter-headers", CONFIG, 3, "one point, an instance that is kept"),
        ("filter-faults", fresh, 1, "one point, a new instance"),
    ] {
        let filter = filter(name, config);
        assert_eq!(call(&filter), changes);
        criterion.bench_function(title, |bencher| bencher.iter(|| call(&filter)));
    }
}

criterion_group!(benches, calls);
criterion_main!(benches);
