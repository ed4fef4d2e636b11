//! What services and swarms may call, with any guest memory and any numbers as pointers: every program ends as an answer or a fault, nothing
//! goes out that was not granted or is larger than it may be, and the next one is served.
//!
//! The guests are the tests' marionettes, to which the input is a program of host calls.
#![no_main]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use libfuzzer_sys::arbitrary::{Result as Taken, Unstructured};
use littoral_plugin_host::HostSettings;
use littoral_plugin_host::fetch::{Answer, Asked, FetchSpec, Fetcher, Fetchers, Fetching, Refused as Unanswered};
use littoral_plugin_host::service::swarm::{Actor, Algorithm, Event, Outside, Refusal, Unsent};
use littoral_plugin_host::service::{
    DialSpec, Dialling, DurableSpec, Handler, Refused, Security, Service, ServiceHost, ServiceSpec, Step, Target, Trouble, Wire,
};

#[path = "../../tests/it/marionette.rs"]
mod marionette;

/// A minute passes whenever somebody looks: the breaker forgives every fault.
static NOW_MS: AtomicU64 = AtomicU64::new(1);
const SETTINGS: HostSettings =
    HostSettings { cache_dir: None, compiler: None, now_ms: || NOW_MS.fetch_add(60_000, Relaxed) };

/// Octets of a program: what one `read` or `data` brings.
const PROGRAM_BYTES_MAX: usize = 2 << 10;
/// What answers to a datagram may have together.
const ROOM_BYTES: usize = 1400;
const GRANTED: [&str; 2] = ["mail.example:25", "192.0.2.0/24:*"];
const CONTENT: &str = "video.example/title/*";

/// The services.
struct Served {
    connections: Arc<Service>,
    datagrams: Arc<Service>,
    swarm: Arc<Service>,
    /// The swarm's instance, until it fails.
    actor: Mutex<Option<Actor>>,
}

/// The world of swarms that ask for all there is.
const SWARM: &str = "asking-swarm-service";

static SERVED: LazyLock<Served> = LazyLock::new(|| {
    let in_memory = PathBuf::from("/dev/shm");
    let parent = if in_memory.is_dir() { in_memory } else { std::env::temp_dir() };
    // Nothing ends a fuzz target in time to remove it: the next one does.
    let directory = parent.join("littoral-fuzz-services");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    let host = ServiceHost::new(SETTINGS).expect("a machine that runs plugins");
    host.fetch_by(Arc::new(Everybody));
    let load = |world: &str| {
        let file = directory.join(format!("{world}.wasm"));
        // Swarms use the types of `fetch`, and none of its functions.
        let without: &[&str] = if world == SWARM { &["fetch"] } else { &[] };
        std::fs::write(&file, marionette::Marionette::of(world, without).component).expect("a temporary file");
        let reaches = GRANTED.map(|reach| reach.parse().expect("invariant: it is one")).to_vec();
        let origins = ["https://api.example", "http://192.0.2.0/24:*"].map(|one| one.parse().expect("invariant: it is one"));
        let spec = ServiceSpec { name: world.into(), file, store_bytes: 64 << 10, ..ServiceSpec::default() };
        let file_of_store = directory.join(format!("{world}.store"));
        let durable = Some(DurableSpec { file: file_of_store, bytes: 64 << 10, keys: 64 });
        let dial = Some(DialSpec { reaches, authorities: None });
        let content = if world == SWARM { vec![CONTENT.parse().expect("invariant: it is one")] } else { Vec::new() };
        let http = Some(FetchSpec::of(&origins));
        host.load(ServiceSpec { durable, dial, content, http, ..spec }).expect("invariant: it is tested")
    };
    let [connections, datagrams, swarm] = ["stream-service", "datagram-service", SWARM].map(load);
    Served { connections, datagrams, swarm, actor: Mutex::default() }
});

/// Answers whoever may be asked.
struct Everybody;

impl Fetchers for Everybody {
    fn open(&self, _granted: &FetchSpec) -> Result<Arc<dyn Fetcher>, String> {
        Ok(Arc::new(Self))
    }
}

impl Fetcher for Everybody {
    fn fetch(&self, asked: Asked, _within: Duration) -> Fetching {
        assert!(asked.host == "api.example" && asked.secure || asked.host.starts_with("192.0.2.") && !asked.secure);
        assert!(asked.target.starts_with('/') && asked.target.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(asked.method.bytes().all(|byte| byte.is_ascii_graphic()) && asked.method != "CONNECT");
        for (name, value) in &asked.fields {
            assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') && name != "host");
            assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{value:?}");
        }
        Box::pin(async move {
            let fields = vec![("x-a".into(), asked.body)];
            if asked.target == "/" { Err(Unanswered::Broken) } else { Ok(Answer { status: 200, fields, body: b"body".into() }) }
        })
    }
}

/// A connection whose peer sends pieces, and which sees to it that no rule is broken.
struct Pieces {
    pieces: Vec<Vec<u8>>,
    is_secure: bool,
    may_start_tls: bool,
    is_over: bool,
    dialled: usize,
}

impl Pieces {
    /// Of a peer that says nothing: what datagrams are dialled from.
    fn none() -> Self {
        Self { pieces: Vec::new(), is_secure: false, may_start_tls: false, is_over: false, dialled: 0 }
    }

    fn step<T: Send + 'static>(&mut self, outcome: Result<T, Trouble>) -> Step<'_, T> {
        assert!(!self.is_over, "nothing follows the end");
        self.is_over |= outcome.as_ref().is_err_and(|trouble| *trouble != Trouble::Ending);
        Box::pin(async { outcome })
    }
}

impl Wire for Pieces {
    fn peer(&self) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 7))
    }
    fn is_secure(&self) -> bool {
        self.is_secure
    }
    fn may_start_tls(&self) -> bool {
        self.may_start_tls
    }
    fn read<'a>(&'a mut self, into: &'a mut [u8], _silence: Option<Duration>) -> Step<'a, usize> {
        assert!(!into.is_empty() && into.len() <= 16 << 10, "room for some bytes, and no more than may be read ahead");
        let mut piece = self.pieces.pop().unwrap_or_default();
        let length = piece.len().min(into.len());
        into[..length].copy_from_slice(&piece[..length]);
        if length < piece.len() {
            self.pieces.push(piece.split_off(length));
        }
        // A piece of one octet says that something is wrong.
        let outcome = match (&piece[..], length) {
            ([1], _) => Err(Trouble::Ending),
            ([2], _) => Err(Trouble::Timeout),
            _ => Ok(length),
        };
        self.step(outcome)
    }
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Step<'a, ()> {
        assert!(!bytes.is_empty() && bytes.len() <= 64 << 10);
        self.step(Ok(()))
    }
    fn finish(&mut self) -> Step<'_, ()> {
        self.step(Ok(()))
    }
    fn start_tls(&mut self) -> Step<'_, ()> {
        assert!(self.may_start_tls, "there is no TLS to start");
        (self.may_start_tls, self.is_secure) = (false, true);
        self.step(Ok(()))
    }
    fn sleep(&mut self, _time: Duration) -> Step<'_, ()> {
        self.step(Ok(()))
    }
    fn dial<'a>(&'a mut self, target: Target, _granted: &'a DialSpec) -> Dialling<'a> {
        check_target(&target);
        self.dialled += 1;
        if self.dialled % 16 == 0 {
            return Box::pin(async { Err(Refused::Unreachable) });
        }
        let may_start_tls = target.security == Security::Starttls;
        let is_secure = target.security == Security::Tls;
        let pieces = vec![b"three\nlines\n".to_vec(), b"220 hello\r\nand".to_vec()];
        let wire: Box<dyn Wire> = Box::new(Pieces { pieces, is_secure, may_start_tls, is_over: false, dialled: 0 });
        Box::pin(async { Ok(wire) })
    }
    fn close(&mut self) -> Step<'_, ()> {
        let step = self.step(Ok(()));
        drop(step);
        self.is_over = true;
        Box::pin(async { Ok(()) })
    }
}

fn check_target(target: &Target) {
    let is_listed = target.host == "mail.example" && target.port == 25 || target.host.starts_with("192.0.2.");
    assert!(is_listed, "{target:?} was not granted");
}

/// What is outside of a swarm, which sees to it that no rule is broken.
struct Strict;

impl Outside for Strict {
    fn send(&mut self, connection: u32, data: Vec<u8>) -> u32 {
        connection.min(data.len() as u32)
    }
    fn splice(&mut self, connection: u32, content: u32, _at: u64, _length: u32) -> Result<(), Unsent> {
        match (connection % 3, content % 3) {
            (0, _) => Err(Unsent::Closed),
            (_, 0) => Err(Unsent::Gone),
            (1, 1) => Err(Unsent::Full),
            (1, 2) => Err(Unsent::TooFar),
            _ => Ok(()),
        }
    }
    fn close(&mut self, _connection: u32) {}
    fn dial(&mut self, target: Target) -> Result<u32, Refusal> {
        check_target(&target);
        if target.port % 2 == 0 { Err(Refusal::TooMany) } else { Ok(target.port.into()) }
    }
    fn send_to(&mut self, to: SocketAddr, data: &[u8], is_listed: (bool, bool)) -> bool {
        assert!(data.len() <= 65_507);
        let is_of_range = matches!(to.ip(), std::net::IpAddr::V4(ip) if ip.octets()[..3] == [192, 0, 2]);
        assert!(is_of_range || is_listed == (false, false), "{to} was not granted");
        is_listed.0
    }
    fn set_timer(&mut self, id: u32, _after: Duration) -> bool {
        id < 1024
    }
    fn cancel_timer(&mut self, _id: u32) {}
    fn find(&mut self, url: &str) -> Result<u32, Refusal> {
        if url.len() % 2 == 0 { Err(Refusal::NotGranted) } else { Ok(1) }
    }
    fn release(&mut self, _content: u32) {}
    fn digest(&mut self, content: u32, _at: u64, length: u32, _algorithm: Algorithm) -> Result<u32, Refusal> {
        assert!(length <= 64 << 20);
        if content == 0 { Err(Refusal::Gone) } else { Ok(content) }
    }
    fn await_answer(&mut self, fetching: Fetching) -> Option<u32> {
        wait(fetching).is_ok().then_some(1)
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        // The store's threads have work.
        std::thread::yield_now();
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Too few bytes are an input of no interest.
    let _ = pose(&mut Unstructured::new(bytes));
});

fn pose(input: &mut Unstructured) -> Taken<()> {
    let (kind, may_start_tls) = (input.int_in_range(0..=2)?, input.arbitrary()?);
    let more: Vec<Vec<u8>> = (0..input.int_in_range(0..=3)?).map(|_| input.arbitrary()).collect::<Taken<_>>()?;
    let rest = input.bytes(input.len())?;
    let program = rest[..rest.len().min(PROGRAM_BYTES_MAX)].to_vec();
    let served = &*SERVED;
    match kind {
        0 => {
            let pieces = more.into_iter().chain([program]).collect();
            let wire = Pieces { pieces, is_secure: false, may_start_tls, is_over: false, dialled: 0 };
            wait(served.connections.serve(Box::new(wire), |_| ()));
            let status = served.connections.status();
            assert!(status.store.is_some_and(|held| held.bytes <= held.granted), "the store keeps its bound");
            assert!(status.dialled.is_some_and(|dialled| dialled.open == 0), "what it dialled went with it");
        }
        1 => {
            let from = SocketAddr::from(([192, 0, 2, 1], 7));
            let mut handler = Handler::of(served.datagrams.clone(), Arc::new(|| Box::new(Pieces::none())));
            let answers = wait(handler.handle(from, &program, ROOM_BYTES));
            assert!(answers.len() <= 8 && answers.iter().map(Vec::len).sum::<usize>() <= ROOM_BYTES);
        }
        _ => tell(served, more, program),
    }
    Ok(())
}

fn tell(served: &Served, more: Vec<Vec<u8>>, program: Vec<u8>) {
    let mut held = served.actor.lock().expect("one thread");
    let began = held.take().or_else(|| wait(Actor::start(&served.swarm, Box::new(Strict), more.first().map(Vec::as_slice))).ok());
    let actor = began.expect("it can always be started");
    let (actor, _) = wait(actor.tell(&Event::Data { connection: 1, bytes: program }));
    let told = |actor: Actor| {
        let outcome = if more.len() == 1 { Err(Unanswered::Timeout) } else { Ok(Answer { status: 200, ..Answer::default() }) };
        wait(actor.tell(&Event::Answered { number: 1, outcome })).0
    };
    let actor = actor.and_then(told);
    *held = match actor {
        Some(actor) if more.len() == 3 => {
            let given = wait(actor.stop());
            assert!(given.is_none_or(|given| given.len() <= 1 << 20));
            None
        }
        actor => actor,
    };
}
