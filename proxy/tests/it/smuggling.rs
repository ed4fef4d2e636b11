//! Requests that two readers could read in two ways: what the client is told, and what reached the origin, byte for byte.
//!
//! The origin is a recorder that knows only the strictest reading. Whatever is sent here, it sees no request, or exactly the ones the
//! case says, and nothing else.

use littoral_testkit::h2::{END_HEADERS, END_STREAM, Frames, Outcome, block, frame, kind};
use littoral_testkit::recorder::Recorder;
use littoral_testkit::{Client, Node};
use tokio::net::TcpStream;

use super::BINARY;

/// A second request, which must never be one of its own where it stands in a body.
const INNER: &str = "GET /inner HTTP/1.1\r\nHost: site.example\r\n\r\n";

async fn node(recorder: &Recorder) -> Node {
    let times = "header_timeout = \"300ms\"\nkeepalive = \"300ms\"\nbody_timeout = \"300ms\"";
    let config = format!(
        "[listen]\nadmin = \"127.0.0.1:0\"\nhttp = [{{ bind = \"127.0.0.1:0\", h2c = true }}]\n[limits]\n{times}\n[[site]]\nhosts = [\"site.example\"]\norigin = [\"http://{}\"]\n",
        recorder.address
    );
    Node::start(BINARY, &config, &[]).await
}

/// One case: what is sent, the statuses of all answers, the lines of the requests that the origin saw.
type Case = (&'static str, String, &'static [u16], &'static [&'static str]);

fn post(fields: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: site.example\r\n{fields}\r\n{body}")
}

fn lengths() -> Vec<Case> {
    let nobody: &[&str] = &[];
    vec![
        ("a good length", post("Content-Length: 3\r\n", "abc"), &[200], &["POST /a"]),
        ("two lengths", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), &[400], nobody),
        ("the same length twice", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), &[400], nobody),
        ("a list of lengths", post("Content-Length: 3, 4\r\n", "abcd"), &[400], nobody),
        ("a list of one length", post("Content-Length: 3, 3\r\n", "abc"), &[400], nobody),
        ("a plus", post("Content-Length: +3\r\n", "abc"), &[400], nobody),
        ("a minus", post("Content-Length: -3\r\n", "abc"), &[400], nobody),
        ("hexadecimal", post("Content-Length: 0x3\r\n", "abc"), &[400], nobody),
        ("a fraction", post("Content-Length: 3.0\r\n", "abc"), &[400], nobody),
        ("an underscore", post("Content-Length: 1_0\r\n", "0123456789"), &[400], nobody),
        ("nothing", post("Content-Length: \r\n", "abc"), &[400], nobody),
        ("beyond 64 bits", post("Content-Length: 18446744073709551616\r\n", "abc"), &[400], nobody),
        ("a blank inside", post("Content-Length: 1 2\r\n", "012345678901"), &[400], nobody),
        ("a vertical tab", post("Content-Length: \u{b}3\r\n", "abc"), &[400], nobody),
        ("a length in a name with a blank", post("Content-Length : 3\r\n", "abc"), &[400], nobody),
        ("a length behind a tab in its name", post("Content-Length\t: 3\r\n", "abc"), &[400], nobody),
        (
            "an underscore for a dash is another field",
            post("Content_Length: 50\r\nContent-Length: 3\r\n", "abc"),
            &[200],
            &["POST /a"],
        ),
        (
            "GET with a body",
            format!("GET /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: {}\r\n\r\n{INNER}", INNER.len()),
            &[200],
            &["GET /a"],
        ),
        ("a body short of its length", post("Content-Length: 9\r\n", "abc"), &[408], nobody),
    ]
}

fn codings() -> Vec<Case> {
    let nobody: &[&str] = &[];
    let chunked = |field: &str| post(&format!("{field}\r\n"), &format!("0\r\n\r\n{INNER}"));
    vec![
        ("good chunks", post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"), &[200], &["POST /a"]),
        (
            "good chunks, another case",
            post("transfer-encoding: CHUNKED\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            &[200],
            &["POST /a"],
        ),
        ("CL.TE", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"), &[400], nobody),
        (
            "TE.CL",
            post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", &format!("2d\r\n{INNER}\r\n0\r\n\r\n")),
            &[400],
            nobody,
        ),
        ("TE.TE", chunked("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"), &[400], nobody),
        ("chunked twice", chunked("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), &[400], nobody),
        ("chunked twice in a list", chunked("Transfer-Encoding: chunked, chunked"), &[400], nobody),
        ("chunked not last", chunked("Transfer-Encoding: chunked, gzip"), &[400], nobody),
        ("another coding first", chunked("Transfer-Encoding: gzip, chunked"), &[400], nobody),
        ("identity", chunked("Transfer-Encoding: identity"), &[400], nobody),
        ("xchunked", chunked("Transfer-Encoding: xchunked"), &[400], nobody),
        ("quotes", chunked("Transfer-Encoding: \"chunked\""), &[400], nobody),
        ("a parameter", chunked("Transfer-Encoding: chunked;q=1"), &[400], nobody),
        ("a vertical tab", chunked("Transfer-Encoding: \u{b}chunked"), &[400], nobody),
        ("a form feed behind", chunked("Transfer-Encoding: chunked\u{c}"), &[400], nobody),
        ("nothing", chunked("Transfer-Encoding:"), &[400], nobody),
        ("a comma alone", chunked("Transfer-Encoding: ,chunked"), &[400], nobody),
        ("a blank before the colon", chunked("Transfer-Encoding : chunked"), &[400], nobody),
        ("a fold", chunked("Transfer-Encoding:\r\n chunked"), &[400], nobody),
        ("a fold behind another field", chunked("X: y\r\n Transfer-Encoding: chunked"), &[400], nobody),
        ("a bare CR", chunked("X: y\rTransfer-Encoding: chunked"), &[400], nobody),
        ("a bare LF", chunked("X: y\nTransfer-Encoding: chunked"), &[400], nobody),
        ("a NUL", chunked("Transfer-Encoding: chunked\0"), &[400], nobody),
        ("a blank before the name", chunked("X: y\r\n Content-Length: 3"), &[400], nobody),
        (
            "chunks in HTTP/1.0",
            format!("POST /a HTTP/1.0\r\nHost: site.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{INNER}"),
            &[400],
            nobody,
        ),
    ]
}

fn chunks() -> Vec<Case> {
    let nobody: &[&str] = &[];
    let te = "Transfer-Encoding: chunked\r\n";
    let of = |body: &str| post(te, body);
    vec![
        ("an extension is dropped", of("3;a=b\r\nabc\r\n0\r\n\r\n"), &[200], &["POST /a"]),
        ("trailers are dropped", of("3\r\nabc\r\n0\r\nX: y\r\nHost: evil\r\n\r\n"), &[200], &["POST /a"]),
        ("a size beyond 64 bits", of("10000000000000003\r\nabc\r\n0\r\n\r\n"), &[400], nobody),
        ("a size of many zeroes", of(&format!("{}3\r\nabc\r\n0\r\n\r\n", "0".repeat(5000))), &[400], nobody),
        ("a negative size", of("-3\r\nabc\r\n0\r\n\r\n"), &[400], nobody),
        ("a plus", of("+3\r\nabc\r\n0\r\n\r\n"), &[400], nobody),
        ("0x", of("0x3\r\nabc\r\n0\r\n\r\n"), &[400], nobody),
        ("a blank before the size", of(" 3\r\nabc\r\n0\r\n\r\n"), &[400], nobody),
        ("no size", of("\r\nabc\r\n0\r\n\r\n"), &[400], nobody),
        ("a bare LF behind the size", of("3\nabc\r\n0\r\n\r\n"), &[400], nobody),
        ("a bare LF in an extension", of("3;a\nb\r\nabc\r\n0\r\n\r\n"), &[400], nobody),
        ("a bare CR in an extension", of("3;a\rb\r\nabc\r\n0\r\n\r\n"), &[400], nobody),
        ("data longer than its chunk", of("3\r\nabcd\r\n0\r\n\r\n"), &[400], nobody),
        ("other bytes for the line end", of("3\r\nabcXX0\r\n\r\n"), &[400], nobody),
        ("an extension without end", of(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(20_000))), &[400], nobody),
        (
            "a second request behind the last chunk",
            of(&format!("3\r\nabc\r\n0\r\n\r\n{INNER}")),
            &[200, 200],
            &["POST /a", "GET /inner"],
        ),
    ]
}

fn heads() -> Vec<Case> {
    let nobody: &[&str] = &[];
    let get = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: site.example\r\n{fields}\r\n");
    vec![
        ("HTTP/0.9", "GET /a\r\n\r\n".into(), &[400], nobody),
        ("HTTP/2 in a request line", "GET /a HTTP/2.0\r\nHost: site.example\r\n\r\n".into(), &[400], nobody),
        ("HTTP/1.2", "GET /a HTTP/1.2\r\nHost: site.example\r\n\r\n".into(), &[400], nobody),
        ("two blanks", "GET  /a HTTP/1.1\r\nHost: site.example\r\n\r\n".into(), &[400], nobody),
        ("a tab for a blank", "GET\t/a HTTP/1.1\r\nHost: site.example\r\n\r\n".into(), &[400], nobody),
        ("line ends of LF", get("/a", "").replace("\r\n", "\n"), &[400], nobody),
        ("one line end of LF", "GET /a HTTP/1.1\nHost: site.example\r\n\r\n".into(), &[400], nobody),
        ("an end of LF", "GET /a HTTP/1.1\r\nHost: site.example\r\n\n".into(), &[400], nobody),
        ("a field without a name", get("/a", ": y\r\n"), &[400], nobody),
        ("a field without a colon", get("/a", "Xy\r\n"), &[400], nobody),
        ("a name with a blank", get("/a", "X y: z\r\n"), &[400], nobody),
        ("a name beyond ASCII", get("/a", "Xé: z\r\n"), &[400], nobody),
        ("a NUL in a value", get("/a", "X: \0\r\n"), &[400], nobody),
        ("a NUL in a target", get("/a\0b", ""), &[400], nobody),
        ("a fold first", "GET /a HTTP/1.1\r\n X: y\r\nHost: site.example\r\n\r\n".into(), &[400], nobody),
        ("two hosts", get("/a", "Host: site.example\r\n"), &[400], nobody),
        ("no host", "GET /a HTTP/1.1\r\n\r\n".into(), &[400], nobody),
        ("a target that names another host", get("http://other.example/a", ""), &[400], nobody),
        ("a target with user information", get("http://user@site.example/a", ""), &[400], nobody),
        ("an empty line first is passed over", format!("\r\n{}", get("/a", "")), &[200], &["GET /a"]),
        (
            "what is for this hop stays here",
            get("/a", "Connection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"),
            &[200],
            &["GET /a"],
        ),
        ("a Connection that names the host", get("/a", "Connection: Host\r\n"), &[400], nobody),
        (
            "an upgrade that nobody takes",
            get("/a", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
            &[200],
            &["GET /a"],
        ),
        ("CONNECT", "CONNECT site.example:443 HTTP/1.1\r\nHost: site.example:443\r\n\r\n".into(), &[405], nobody),
    ]
}

async fn statuses(node: &Node, request: &str) -> Vec<u16> {
    let mut client = Client::connect(node.address("http")).await;
    client.send(request).await;
    let mut statuses = Vec::new();
    while let Some(reply) = client.reply(false).await {
        statuses.push(reply.status);
    }
    statuses
}

async fn wrong_of(cases: Vec<Case>) -> Vec<String> {
    let recorder = Recorder::start().await;
    let node = node(&recorder).await;
    let mut wrong = Vec::new();
    for (name, request, expected, reached) in cases {
        let seen = statuses(&node, &request).await;
        let record = recorder.take();
        let lines: Vec<String> =
            record.requests.iter().map(|one| one.split(" HTTP/").next().unwrap_or("").into()).collect();
        if seen != expected || lines != reached || !record.nonsense.is_empty() {
            wrong.push(format!("{name}: told {seen:?}, not {expected:?}; the origin saw {record:?}"));
        }
        let hop = ["keep-alive:", "x-hop:", "te:", "upgrade:", "http2-settings:", "proxy-connection:"];
        if record
            .requests
            .iter()
            .any(|one| hop.iter().any(|field| one.to_ascii_lowercase().contains(&format!("\n{field}"))))
        {
            wrong.push(format!("{name}: fields of this hop went on: {record:?}"));
        }
    }
    wrong
}

#[tokio::test]
async fn lengths_that_could_be_read_in_two_ways_go_nowhere() {
    let wrong = wrong_of(lengths()).await;
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn codings_that_could_be_read_in_two_ways_go_nowhere() {
    let wrong = wrong_of(codings()).await;
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn chunks_that_could_be_read_in_two_ways_go_nowhere() {
    let wrong = wrong_of(chunks()).await;
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn heads_that_could_be_read_in_two_ways_go_nowhere() {
    let wrong = wrong_of(heads()).await;
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "site.example"), (":path", "/a")];
const POST: [(&str, &str); 4] = [(":method", "POST"), GET[1], GET[2], GET[3]];

/// Field lists of HTTP/2 that must not become a request of HTTP/1.
fn downgrades() -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
    let with = |more: &[(&'static str, &'static str)]| [&POST[..], more].concat();
    let instead = |at: usize, field| {
        let mut fields = GET.to_vec();
        fields[at] = field;
        fields
    };
    vec![
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("connection", with(&[("connection", "keep-alive")])),
        ("keep-alive", with(&[("keep-alive", "timeout=5")])),
        ("proxy-connection", with(&[("proxy-connection", "keep-alive")])),
        ("upgrade", with(&[("upgrade", "websocket")])),
        ("te that is not trailers", with(&[("te", "gzip")])),
        ("CRLF in a value", with(&[("x", "y\r\ntransfer-encoding: chunked")])),
        ("LF in a value", with(&[("x", "y\ntransfer-encoding: chunked")])),
        ("NUL in a value", with(&[("x", "y\0z")])),
        ("CRLF in a name", with(&[("x: y\r\ntransfer-encoding", "chunked")])),
        ("a colon in a name", with(&[("x:y", "z")])),
        ("a blank in a name", with(&[("x y", "z")])),
        ("an upper-case name", with(&[("X", "y")])),
        ("an empty name", with(&[("", "y")])),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "3")])),
        ("a length that is wrong", with(&[("content-length", "3")])),
        ("a length that is none", with(&[("content-length", "+0")])),
        ("a pseudo-field behind a field", with(&[("x", "y"), (":path", "/b")])),
        ("an unknown pseudo-field", with(&[(":evil", "1")])),
        ("a pseudo-field of responses", with(&[(":status", "200")])),
        ("two paths", [&GET[..], &[(":path", "/b")]].concat()),
        ("two methods", [&GET[..], &[(":method", "POST")]].concat()),
        ("no path", GET[..3].to_vec()),
        ("no method", GET[1..].to_vec()),
        ("an empty path", instead(3, (":path", ""))),
        ("a path without a slash", instead(3, (":path", "a"))),
        ("an absolute path", instead(3, (":path", "http://other.example/a"))),
        ("CRLF in a path", instead(3, (":path", "/a HTTP/1.1\r\nx: y"))),
        ("a blank in a path", instead(3, (":path", "/a HTTP/1.1"))),
        ("CRLF in a method", instead(0, (":method", "GET /inner HTTP/1.1\r\nx: y"))),
        ("a blank in a method", instead(0, (":method", "GET /inner"))),
        ("CRLF in an authority", instead(2, (":authority", "site.example\r\nx: y"))),
        ("user information", instead(2, (":authority", "user@site.example"))),
        ("another Host", with(&[("host", "other.example")])),
        ("a path in an authority", instead(2, (":authority", "site.example/b"))),
    ]
}

#[tokio::test]
async fn what_http_2_can_say_and_http_1_cannot_never_reaches_an_origin() {
    let recorder = Recorder::start().await;
    let node = node(&recorder).await;
    let mut wrong = Vec::new();
    for (name, fields) in downgrades() {
        let mut client = Frames::begin(TcpStream::connect(node.address("http")).await.unwrap()).await;
        client.raw(&frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields))).await;
        let seen = client.outcome(1).await;
        let record = recorder.take();
        let refused = matches!(seen, Outcome::Status(400) | Outcome::Reset(_) | Outcome::GoAway(_));
        if !refused || !record.requests.is_empty() || !record.nonsense.is_empty() {
            wrong.push(format!("{name}: {seen:?}; the origin saw {record:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_body_over_http_2_is_one_request_of_http_1_with_one_framing() {
    let recorder = Recorder::start().await;
    let node = node(&recorder).await;
    let length = INNER.len().to_string();
    for fields in [POST.to_vec(), [&POST[..], &[("content-length", length.as_str())]].concat()] {
        let mut client = Frames::begin(TcpStream::connect(node.address("http")).await.unwrap()).await;
        client.ask(1, &fields, false).await;
        client.send(kind::DATA, END_STREAM, 1, INNER.as_bytes()).await;
        assert_eq!(client.outcome(1).await, Outcome::Status(200));
        let record = recorder.take();
        assert!(record.requests.len() == 1 && record.nonsense.is_empty(), "{record:?}");
    }
}
