//! Who passes, what goes on and what is remembered, with a server of a few lines.

use littoral_plugin::filter::Refused;
use littoral_plugin::filter::sketch::{Shelf, Sketch, Web};

use super::*;

const URL: &str = "http://auth.example/check";

fn filter(more: &str) -> Auth {
    Auth::new(&format!(r#"{{"url": "{URL}", "take": ["x-user"]{more}}}"#)).unwrap()
}

fn from(web: &Web, fields: &[(&str, &str)]) -> Sketch {
    Sketch { web: web.clone(), ..Sketch::get("/a?b=1", fields) }
}

#[test]
fn who_the_server_lets_pass_is_who_the_server_says() {
    let web = Web::default().answering(URL, 204, &[("x-user", "ann"), ("x-other", "1")], "");
    let mut x = from(&web, &[("authorization", "Bearer 1"), ("X-User", "root"), ("accept", "*/*")]);
    assert_eq!(filter("").on_request(&mut x, &mut Shelf::default()), None);
    assert_eq!(x.fields("x-user"), ["ann"], "and not whom the client says");
    assert_eq!(x.field("x-other"), None);
    let fields: Vec<_> = web.asked()[0]
        .fields
        .iter()
        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
        .collect();
    let expected = [
        "x-forwarded-method=GET",
        "x-forwarded-proto=http",
        "x-forwarded-host=site.example",
        "x-forwarded-uri=/a?b=1",
        "x-forwarded-for=192.0.2.1",
        "authorization=Bearer 1",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn what_the_client_says_of_itself_never_goes_on_when_the_server_says_nothing() {
    let mut x = from(&Web::default().answering(URL, 200, &[], "ok"), &[("x-user", "root")]);
    assert_eq!(filter("").on_request(&mut x, &mut Shelf::default()), None);
    assert!(x.fields("x-user").is_empty());
}

#[test]
fn refusals_and_pages_to_log_in_go_to_the_client() {
    for (status, field) in [(401, "www-authenticate"), (403, "content-type"), (302, "location")] {
        let web = Web::default().answering(URL, status, &[(field, "x"), ("server", "s")], "no");
        let reply = filter("").on_request(&mut from(&web, &[]), &mut Shelf::default()).unwrap();
        let fields =
            [(field, "x"), ("cache-control", "no-store")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(reply, Reply { status, fields: fields.into(), body: b"no".into() });
    }
}

#[test]
fn an_answer_holds_for_the_same_request_as_long_as_it_may() {
    let web = Web::default().answering(URL, 200, &[("x-user", "ann")], "");
    let (mut filter, mut store) = (filter(r#", "cache_s": 10"#), Shelf::default());
    let mut ask = |target: &str, token: &str| {
        let mut x = Sketch { target: target.into(), ..from(&web, &[("authorization", token)]) };
        assert_eq!(filter.on_request(&mut x, &mut store), None);
        assert_eq!(x.field("x-user").unwrap(), "ann");
        web.asked().len()
    };
    let asked = [ask("/a", "1"), ask("/a", "1"), ask("/a", "2"), ask("/b", "1"), ask("/b", "1")];
    assert_eq!(asked, [1, 1, 2, 3, 3]);
}

#[test]
fn with_per_fields_it_holds_for_all_that_comes_with_them_and_refusals_are_never_kept() {
    let web = Web::default().answering(URL, 200, &[], "");
    let (mut each, mut store) = (filter(r#", "cache_s": 10, "per": "fields""#), Shelf::default());
    for target in ["/a", "/b"] {
        let mut x = Sketch { target: target.into(), ..from(&web, &[("authorization", "1")]) };
        each.on_request(&mut x, &mut store);
    }
    assert_eq!(web.asked().len(), 1);
    let no = Web::default().answering(URL, 401, &[], "");
    for _ in 0..2 {
        assert!(each.on_request(&mut from(&no, &[("authorization", "2")]), &mut store).is_some());
    }
    assert_eq!(no.asked().len(), 2);
}

#[test]
fn without_an_answer_it_gives_up() {
    for web in [Web::default().refusing(URL, Refused::Timeout), Web::default().answering(URL, 500, &[], "")] {
        let asked = || filter("").on_request(&mut from(&web, &[]), &mut Shelf::default());
        let gave_up = std::panic::catch_unwind(std::panic::AssertUnwindSafe(asked));
        assert!(gave_up.is_err());
    }
}

#[test]
fn a_config_that_cannot_be_right_is_refused() {
    for config in
        ["{}", r#"{"url": "auth.example"}"#, r#"{"url": "http://a", "per": "x"}"#, r#"{"url": "http://a", "x": 1}"#]
    {
        assert!(Auth::new(config).is_err(), "{config}");
    }
}
