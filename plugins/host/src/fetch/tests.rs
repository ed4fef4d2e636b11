//! Who is asked, how often and how long, without anybody who is.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::*;
use crate::ambient::Nonsense;

/// Answers all alike, each after a while that has passed at once, and keeps what was asked.
#[derive(Default)]
struct Far {
    asked: Mutex<Vec<(Asked, Duration)>>,
    body_bytes: usize,
    pending: AtomicUsize,
}

impl Fetcher for Far {
    fn fetch(&self, asked: Asked, within: Duration) -> Fetching {
        self.asked.lock().push((asked, within));
        if self.pending.fetch_sub(1, Relaxed) == 1 {
            return Box::pin(std::future::pending());
        }
        let answer = Answer { status: 200, body: vec![b'x'; self.body_bytes], ..Answer::default() };
        Box::pin(std::future::ready(Ok(answer)))
    }
}

fn asking(far: &Arc<Far>, list: &[&str], scope: Scope) -> Asking {
    let list: Vec<Origin> = list.iter().map(|text| text.parse().unwrap()).collect();
    let granted = Granted { spec: FetchSpec::of(&list), fetcher: far.clone() };
    Asking::of(Some(&Arc::new(granted)), &Arc::default(), scope)
}

fn get(url: &str) -> Request {
    Request { method: "GET".into(), url: url.into(), fields: Vec::new(), body: Vec::new(), timeout_ms: 0 }
}

/// What comes of a request at once.
fn asked(asking: &mut Asking, request: Request) -> Result<Result<Answer, Refused>> {
    match std::pin::pin!(asking.ask(request, Vec::new())).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(told) => told,
        Poll::Pending => panic!("it waits"),
    }
}

fn refused(asking: &mut Asking, request: Request) -> Option<Refused> {
    asked(asking, request).unwrap().err()
}

#[test]
fn who_is_not_listed_is_not_asked() {
    let far = Arc::<Far>::default();
    let mut asking = asking(&far, &["https://a.example", "http://10.0.0.0/8"], Scope::Connection);
    for url in ["https://A.example/x", "http://10.1.2.3/"] {
        assert_eq!(refused(&mut asking, get(url)), None, "{url}");
    }
    for url in
        ["http://a.example/", "https://b.example/", "https://a.example:444/", "https://10.1.2.3/", "http://[::1]/"]
    {
        assert_eq!(refused(&mut asking, get(url)), Some(Refused::NotGranted), "{url}");
    }
    let asked: Vec<_> = far.asked.lock().iter().map(|(asked, _)| (asked.host.clone(), asked.target.clone())).collect();
    assert_eq!(asked, [("a.example".to_owned(), "/x".to_owned()), ("10.1.2.3".to_owned(), "/".to_owned())]);
}

#[test]
fn one_call_makes_so_many_requests_and_the_next_as_many_again() {
    let far = Arc::<Far>::default();
    let mut asking = asking(&far, &["http://a.example"], Scope::Call);
    let url = "http://a.example/";
    let made = |asking: &mut Asking| (0..20).filter(|_| refused(asking, get(url)).is_none()).count();
    assert_eq!(made(&mut asking), REQUESTS_MAX);
    assert_eq!(refused(&mut asking, get(url)), Some(Refused::TooMany));
    asking.begin();
    assert_eq!(made(&mut asking), REQUESTS_MAX);
    let mut connection = super::tests::asking(&far, &["http://a.example"], Scope::Connection);
    assert_eq!(made(&mut connection), 20, "a connection lasts, and what it asks is bounded at a time");
}

#[test]
fn a_request_has_as_long_as_it_wants_and_as_its_call_has_left() {
    let far = Arc::<Far>::default();
    let mut asking = asking(&far, &["http://a.example"], Scope::Call);
    let of = |timeout_ms| Request { timeout_ms, ..get("http://a.example/") };
    for timeout_ms in [0, 100, 60_000] {
        assert_eq!(refused(&mut asking, of(timeout_ms)), None);
    }
    let within: Vec<_> = far.asked.lock().iter().map(|(_, within)| *within).collect();
    let whole = Duration::from_millis(limits::TIMEOUT_MS_DEFAULT);
    assert_eq!(within[..2], [whole, Duration::from_millis(100)]);
    assert!(within[2] <= whole, "{within:?}");
    asking.left = Duration::ZERO;
    assert_eq!(refused(&mut asking, of(0)), Some(Refused::Timeout), "nobody is asked any more");
    assert_eq!(far.asked.lock().len(), 3);
}

#[test]
fn a_plugin_has_so_many_requests_under_way_and_one_that_is_given_up_is_another_s() {
    let far = Arc::new(Far { pending: AtomicUsize::new(1), ..Far::default() });
    let mut asking = asking(&far, &["http://a.example"], Scope::Connection);
    let fetched = asking.fetched.clone();
    let others: Vec<_> = (1..REQUESTS_TOTAL).map(|_| Place::take(&fetched.open, REQUESTS_TOTAL).unwrap()).collect();
    let mut waits = Box::pin(asking.ask(get("http://a.example/"), Vec::new()));
    assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(fetched.told().open, REQUESTS_TOTAL);
    assert!(Place::take(&fetched.open, REQUESTS_TOTAL).is_none());
    drop(waits);
    assert_eq!(fetched.told().open, REQUESTS_TOTAL - 1);
    let last = Place::take(&fetched.open, REQUESTS_TOTAL);
    assert_eq!(refused(&mut asking, get("http://a.example/")), Some(Refused::TooMany));
    drop((others, last));
    assert_eq!(refused(&mut asking, get("http://a.example/")), None);
}

#[test]
fn what_is_too_large_is_told_and_what_is_not_allowed_is_a_fault() {
    let far = Arc::new(Far { body_bytes: limits::BODY_BYTES_DEFAULT + 1, ..Far::default() });
    let mut asking = asking(&far, &["http://a.example"], Scope::Connection);
    let url = "http://a.example/";
    assert_eq!(refused(&mut asking, get(url)), Some(Refused::TooLarge), "the answer");
    let body = vec![0; limits::BODY_BYTES_DEFAULT + 1];
    assert_eq!(refused(&mut asking, Request { body, ..get(url) }), Some(Refused::TooLarge), "the request");
    assert_eq!(far.asked.lock().len(), 1);
    let wrong = [
        get("a.example"),
        Request { method: "CONNECT".into(), ..get(url) },
        Request { fields: vec![("host".into(), b"b.example".into())], ..get(url) },
        Request { fields: vec![("x".into(), b"a\r\nb: c".into())], ..get(url) },
    ];
    for request in wrong {
        assert!(asked(&mut asking, request).unwrap_err().is::<Nonsense>());
    }
    let nobody = Asking::of(None, &Arc::default(), Scope::Call);
    assert!(asked(&mut { nobody }, get(url)).unwrap_err().is::<Nonsense>());
}

#[test]
fn what_became_of_requests_is_counted() {
    let far = Arc::new(Far { body_bytes: 7, ..Far::default() });
    let mut asking = asking(&far, &["http://a.example"], Scope::Call);
    let mut time = Time::of(10);
    let mut asker = Asker { asking: &mut asking, time: &mut time, passed: Vec::new(), forbidden: None };
    let send = |asker: &mut Asker<'_>, url: &str| {
        let request = Request { body: b"abc".into(), ..get(url) };
        let told = std::pin::pin!(asker.send(request)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(told, Poll::Ready(Ok(_))));
    };
    send(&mut asker, "http://a.example/");
    send(&mut asker, "http://b.example/");
    let told = asking.fetched.told();
    assert_eq!((told.outcomes["answered"], told.outcomes["not-granted"]), (1, 1));
    assert_eq!((told.sent_bytes, told.received_bytes, told.open), (3, 7, 0));
}
