//! What each shipped filter is asked when it is measured, with a config as an operator would write it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use littoral_plugin_host::filter::{Exchange, Point};

/// A filter and what it is asked.
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) config: String,
    pub(super) point: Point,
    pub(super) asked: Arc<Asked>,
    /// The status it answers with; `None`: it lets the request go on.
    pub(super) answers: Option<u16>,
    /// The body it rewrites: its beginning, what is repeated in it, and its end.
    pub(super) body: Option<[&'static str; 3]>,
}

/// A request, and its response where the status is not 0.
#[derive(Debug)]
pub(super) struct Asked {
    target: &'static str,
    status: u16,
    request: &'static [(&'static str, &'static str)],
    response: &'static [(&'static str, &'static str)],
}

/// It is lent for a call.
pub(super) struct Lent(pub(super) Arc<Asked>);

impl Exchange for Lent {
    fn method(&self) -> &str {
        "GET"
    }
    fn host(&self) -> &str {
        "site.example"
    }
    fn target(&self) -> &str {
        self.0.target
    }
    fn client(&self) -> Option<IpAddr> {
        Some(Ipv4Addr::new(192, 0, 2, 1).into())
    }
    fn is_secure(&self) -> bool {
        true
    }
    fn status(&self) -> u16 {
        self.0.status
    }
    fn field(&self, of_request: bool, name: &str, index: usize) -> Option<&[u8]> {
        let fields = if of_request || self.0.status == 0 { self.0.request } else { self.0.response };
        fields.iter().filter(|(known, _)| *known == name).nth(index).map(|(_, value)| value.as_bytes())
    }
}

const HTML: &[(&str, &str)] = &[("content-type", "text/html"), ("server", "origin"), ("cache-control", "max-age=60")];
const BROWSER: &[(&str, &str)] = &[
    ("host", "site.example"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"),
    ("accept", "text/html,application/xhtml+xml,image/avif,image/webp,*/*;q=0.8"),
    ("accept-language", "en-GB,en;q=0.5"),
    ("origin", "https://app.example"),
    ("cookie", "theme=dark; ab=b"),
];

fn subject(
    name: &'static str,
    title: &'static str,
    point: Point,
    target: &'static str,
    config: impl Into<String>,
) -> Subject {
    let status = if matches!(point, Point::Origin | Point::Response) { 200 } else { 0 };
    let asked = Arc::new(Asked { target, status, request: BROWSER, response: HTML });
    Subject { name, title, config: config.into(), point, asked, answers: None, body: None }
}

impl Subject {
    fn answering(self, status: u16) -> Self {
        Self { answers: Some(status), ..self }
    }

    fn of_body(self, body: [&'static str; 3]) -> Self {
        Self { body: Some(body), ..self }
    }

    /// With a token of RFC 7515 (A.1 to A.3).
    fn bearing(self, request: &'static [(&'static str, &'static str)]) -> Self {
        let Asked { target, status, response, .. } = *self.asked;
        Self { asked: Arc::new(Asked { target, status, request, response }), ..self }
    }
}

/// Two fields set and one removed, with an instance that is kept.
pub(super) fn header_only() -> Subject {
    let config = r#"{"response": {"set": {"x-frame-options": "DENY", "x-served": "edge"}, "remove": ["server"]}}"#;
    subject("filter-headers", "one point, three fields, an instance that is kept", Point::Response, "/a", config)
}

/// One field set, with a new instance for each call.
pub(super) fn fresh() -> Subject {
    let config = r#"{"how": "", "at": "response"}"#;
    subject("filter-faults", "instantiate, init, call, drop", Point::Response, "/a", config)
}

/// The filters of `plugins/examples`.
pub(super) fn shipped() -> Vec<Subject> {
    use Point::{Lookup, Request, Response};
    let rules: Vec<_> = (0..10_000).map(|rule| format!(r#""/old/{rule}": "/new/{rule}""#)).collect();
    let mut subjects = vec![
        header_only(),
        subject("filter-cors", "says who may read", Response, "/a", r#"{"origins": ["https://app.example"]}"#),
        subject(
            "filter-signed-url",
            "a good signature",
            Request,
            "/a?expires=99999999999&key=k&sig=8de124322048dac1daab7c0107df4e8256592c3ce072274c7676891abae4c23b",
            r#"{"keys": {"k": "0123456789abcdef"}}"#,
        ),
        subject(
            "filter-redirects",
            "a hit among 10,000",
            Request,
            "/old/9999?q=1",
            format!(r#"{{"rules": {{{}}}}}"#, rules.join(",")),
        )
        .answering(301),
        subject(
            "filter-redirects",
            "a miss among 10,000",
            Request,
            "/a/path/of/some/length",
            format!(r#"{{"rules": {{{}}}}}"#, rules.join(",")),
        ),
        subject("filter-rate-limit", "a bucket", Request, "/a", r#"{"per_second": 1000000, "burst": 1000000}"#),
        subject(
            "filter-respond",
            "robots.txt",
            Request,
            "/robots.txt",
            r#"{"answers": {"/robots.txt": {"body": "User-agent: *\n"}}}"#,
        )
        .answering(200),
        subject("filter-ab", "a known client", Request, "/a", r#"{"cookie": "ab", "variants": {"a": 9, "b": 1}}"#),
        subject("filter-accept", "folds Accept", Request, "/a.png", r#"{"formats": ["image/avif", "image/webp"]}"#),
        subject("filter-accept", "the key", Lookup, "/a.png", r#"{"formats": ["image/avif", "image/webp"]}"#),
    ];
    subjects.extend(of_bodies());
    subjects.extend(who_passes());
    subjects
}

fn of_bodies() -> Vec<Subject> {
    use Point::Origin;
    vec![
        subject(
            "filter-replace",
            "64 KiB of HTML, one text",
            Origin,
            "/a",
            r#"{"replace": {"http://old.example": "https://new.example"}}"#,
        )
        .of_body([
            "",
            "<p>Some text with <a href=\"http://old.example/a\">a link</a> in it, and more text behind it.</p>\n",
            "",
        ]),
        subject(
            "filter-html",
            "64 KiB of HTML, one selector",
            Origin,
            "/a",
            r#"{"rule": [{"select": "a[href^='http://old.example']", "rebase": {"href": ["http://old.example", "https://new.example"]}}]}"#,
        )
        .of_body([
            "",
            "<p>Some text with <a href=\"http://old.example/a\">a link</a> in it, and more text behind it.</p>\n",
            "",
        ]),
        subject(
            "filter-json",
            "64 KiB of JSON, a member of each element",
            Origin,
            "/a",
            r#"{"types": ["text/html"], "remove": ["/items/*/cost"]}"#,
        )
        .of_body([
            r#"{"items": ["#,
            r#"{"id": 12345, "cost": 99.5, "name": "some text of it", "tags": ["one", "two"]},"#,
            "{}]}",
        ]),
    ]
}

fn who_passes() -> Vec<Subject> {
    use Point::{Lookup, Request};
    vec![
        subject(
            "filter-auth",
            "asks a server that answers at once",
            Request,
            "/a",
            r#"{"url": "http://auth.example/"}"#,
        ),
        subject(
            "filter-blocklist",
            "a list that no tick has found",
            Request,
            "/a",
            r#"{"url": "http://auth.example/"}"#,
        ),
        subject("filter-geo", "a country among five", Request, "/a", r#"{"allow": ["AT", "BE", "CH", "DE", "NL"]}"#),
        subject("filter-challenge", "a page", Request, "/a", r#"{"secrets": ["0123456789abcdef"]}"#).answering(403),
        subject(
            "filter-key",
            "a query and a cookie",
            Lookup,
            "/a?b=1&utm_id=x",
            r#"{"query": {"drop": ["utm_*"]}, "cookies": ["ab"]}"#,
        ),
        jwt("HS256, remembered", HS256, 256).bearing(HS256_TOKEN),
        jwt("HS256", HS256, 0).bearing(HS256_TOKEN),
        jwt("RS256, 2048 bits", RS256, 0).bearing(RS256_TOKEN),
        jwt("ES256", ES256, 0).bearing(ES256_TOKEN),
    ]
}

fn jwt(title: &'static str, key: &str, remember: u32) -> Subject {
    subject("filter-jwt", title, Point::Request, "/a", format!(r#"{{"keys": [{key}], "remember": {remember}}}"#))
}

const HS256: &str = r#"{"kty":"oct","alg":"HS256","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
const HS256_TOKEN: &[(&str, &str)] = &[(
    "authorization",
    "Bearer eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
)];
const RS256: &str = r#"{"kty":"RSA","alg":"RS256","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#;
const RS256_TOKEN: &[(&str, &str)] = &[(
    "authorization",
    "Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
)];
const ES256: &str = r#"{"kty":"EC","alg":"ES256","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const ES256_TOKEN: &[(&str, &str)] = &[(
    "authorization",
    "Bearer eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
)];
