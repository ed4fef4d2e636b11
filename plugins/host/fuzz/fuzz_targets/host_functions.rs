//! Host functions with any guest memory and any numbers as pointers: every call ends as an answer or a fault, what a guest may not say
//! never comes out, and the next one is served.
//!
//! The filter path is driven by the tests' marionette, to which the input is a program of host calls; the core path by the speaker,
//! which logs and counts with what it is asked.
#![no_main]

use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use littoral_plugin_host::filter::{Change, Exchange, Fault, Filter, FilterHost, FilterSpec, Point, Verdict};
use littoral_plugin_host::{Flow, Host, HostSettings, Plugin, PluginSpec, fuzzing};

#[path = "../../tests/it/marionette.rs"]
mod marionette;

/// A minute passes with every input: the breaker forgives every fault, and both filters see the same time.
static NOW_MS: AtomicU64 = AtomicU64::new(1);

const SETTINGS: HostSettings = HostSettings { cache_dir: None, compiler: None, now_ms: || NOW_MS.load(Relaxed) };

/// Octets of its program and operations of 32 octets in it.
const PROGRAM_BYTES_MAX: usize = 8 << 10;

/// The same one by the core path and by the component runtime.
static MARIONETTES: LazyLock<[Arc<Filter>; 2]> = LazyLock::new(|| {
    let file = written(&marionette::Marionette::of("http-filter", &["fetch", "connection", "durable", "dial"]).component);
    [false, true].map(|is_by_fibers| {
        let host = FilterHost::new(SETTINGS).expect("a machine that runs plugins");
        let (name, file) = ("marionette".to_owned(), file.path().to_owned());
        let spec = FilterSpec { name, file, store_bytes: 64 << 10, ..FilterSpec::default() };
        let filter = host.load(spec).expect("invariant: it is tested");
        if is_by_fibers {
            fuzzing::by_fibers(&filter);
        }
        filter
    })
});

static SPEAKER: LazyLock<Arc<Plugin>> = LazyLock::new(|| {
    let component = wat::parse_str(include_str!("../../tests/it/speaker.wat")).expect("invariant: it is tested");
    let file = written(&component);
    let host = Host::new(SETTINGS).expect("a machine that runs plugins");
    host.load(PluginSpec::new("speaker", file.path()), None).expect("invariant: it is tested")
});

fn written(component: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), component).expect("a temporary file");
    file
}

/// A message with fields that the input brings.
#[derive(Clone)]
struct Message {
    status: u16,
    name: String,
    value: Vec<u8>,
}

impl Exchange for Message {
    fn method(&self) -> &str {
        "GET"
    }
    fn host(&self) -> &str {
        &self.name
    }
    fn target(&self) -> &str {
        "/a?b"
    }
    fn client(&self) -> Option<IpAddr> {
        None
    }
    fn is_secure(&self) -> bool {
        true
    }
    fn status(&self) -> u16 {
        self.status
    }
    fn field(&self, _of_request: bool, name: &str, index: usize) -> Option<&[u8]> {
        (name == self.name && index < 3).then_some(&self.value)
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Too few bytes are an input of no interest.
    let _ = pose(&mut Unstructured::new(bytes));
});

fn pose(input: &mut Unstructured) -> Result<()> {
    NOW_MS.fetch_add(60_000, Relaxed);
    speak(input)?;
    let point = *input.choose(&[Point::Request, Point::Lookup, Point::Origin, Point::Response])?;
    let status = if matches!(point, Point::Request | Point::Lookup) { 0 } else { 200 };
    let name = if input.arbitrary()? { "x-a".to_owned() } else { input.arbitrary::<&str>()?.to_owned() };
    let value = input.arbitrary::<&[u8]>()?.to_vec();
    let body = input.arbitrary::<&[u8]>()?.to_vec();
    let rest = input.bytes(input.len())?;
    let program = rest[..rest.len().min(PROGRAM_BYTES_MAX)].to_vec();
    let message = Message { status, name, value };
    let outcomes = MARIONETTES.each_ref().map(|filter| moved(filter, point, &message, &program, &body));
    assert_eq!(outcomes[0], outcomes[1], "both paths read alike");
    Ok(())
}

/// What became of a program: what it changed and how its call ended.
fn moved(filter: &Arc<Filter>, point: Point, message: &Message, program: &[u8], body: &[u8]) -> String {
    let mut called = pin!(filter.call(point, Box::new(message.clone()), program.to_vec().into()));
    let called = loop {
        if let Poll::Ready(called) = called.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            break called;
        }
    };
    let kept = called.kept.bytes();
    assert!(kept == program || kept.len() <= 1024, "what was kept comes back, or what it keeps");
    let outcome = match called.outcome {
        Ok((verdict, changes)) => {
            changes.fields.iter().for_each(check);
            assert!(changes.fields.len() <= 64);
            assert!(changes.target.as_ref().is_none_or(|target| is_target(target)));
            format!("{changes:?} {}", judge(verdict, body))
        }
        Err(fault) => {
            assert!(fault != Fault::Quarantined && fault != Fault::Busy, "{fault}");
            format!("{fault}")
        }
    };
    let status = filter.status();
    assert!(status.instances <= 8, "{} instances are left", status.instances);
    assert!(status.store.is_some_and(|held| held.bytes <= held.granted), "the store keeps its bound");
    format!("{outcome} {kept:?}")
}

/// What a filter says is fit to be sent.
fn judge(verdict: Verdict, body: &[u8]) -> String {
    match verdict {
        Verdict::Next => "next".into(),
        Verdict::LookUp(target) => {
            assert!(is_target(&target), "{target:?}");
            target
        }
        Verdict::Reply(reply) => {
            assert!((200..=599).contains(&reply.status) && reply.fields.len() <= 64 && reply.body.len() <= 1 << 20);
            let told = format!("{reply:?}");
            reply.fields.into_iter().for_each(|(name, value)| check(&Change::Set(name, value)));
            told
        }
        Verdict::Rewrite(mut rewriter) => {
            format!("{:?} {:?}", rewriter.rewrite(body, false), rewriter.rewrite(body, true))
        }
    }
}

fn check(change: &Change) {
    let (name, value) = match change {
        Change::Set(name, value) | Change::Add(name, value) => (name, value.as_slice()),
        Change::Remove(name) => (name, &[][..]),
    };
    let is_token = |byte: u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte) && !byte.is_ascii_uppercase();
    assert!(!name.is_empty() && name.bytes().all(is_token), "{name:?}");
    assert!(!["content-length", "transfer-encoding", "connection", "host"].contains(&name.as_str()), "{name:?}");
    assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{value:?}");
}

fn is_target(target: &str) -> bool {
    target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// The core path: any place and length of a line, any counter.
fn speak(input: &mut Unstructured) -> Result<()> {
    let words = (0..input.int_in_range(0..=16)?).map(|_| input.arbitrary()).collect::<Result<Vec<u32>>>()?;
    SPEAKER.push_ladder(1, words);
    let [key, addr_hi, addr_lo, now_ms] = input.arbitrary()?;
    let zone = input.arbitrary()?;
    let flow = Flow { key, addr_hi, addr_lo, zone, now_ms, candidates: 1, ..Flow::default() };
    let choice = SPEAKER.decide(&flow);
    assert!(choice.is_ok_and(|choice| choice.clusters == [u16::MAX; 3]), "{choice:?}");
    assert!(SPEAKER.status().counters.keys().all(|counter| *counter < 64));
    Ok(())
}
