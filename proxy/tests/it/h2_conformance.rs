//! HTTP/2 towards clients, section by section of RFC 9113 and RFC 7541: what is sent, and what the node may make of it.
//!
//! The cases are those of the known checkers of the protocol, in our words: [`frames`] has chapters 3 to 5, [`meaning`] chapters 6
//! and 7, [`messages`] chapter 8, [`packing`] the field blocks of RFC 7541; [`windows`] has what takes more than one step. Floods
//! and bounds are in `h2`, requests that HTTP/1 could read otherwise in `smuggling`.
//!
//! Invariant: a case with a known deviation fails when the node begins to do right, so that none outlives its reason;
//! `docs/conformance.md` lists them.

use std::net::SocketAddr;

use Right::{Answer, Closed, Connection, Ignored, Stream};
use littoral_testkit::h2::{END_HEADERS, END_STREAM, Frames, Outcome, block, frame, kind};
use littoral_testkit::recorder::Recorder;
use littoral_testkit::{Body, Node, Origin, Response};
use tokio::net::TcpStream;

use super::BINARY;

mod frames;
mod meaning;
mod messages;
mod packing;
mod windows;

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const CANCEL: u32 = 8;
const COMPRESSION_ERROR: u32 = 9;

type Fields<'a> = [(&'a str, &'a str); 4];

const GET: Fields = [(":method", "GET"), (":scheme", "http"), (":authority", "site.example"), (":path", "/a")];
/// Goes to an origin that answers when the body is whole, and not before.
const POST: Fields = [(":method", "POST"), GET[1], (":authority", "upload.example"), GET[3]];
/// A request that the origin never answers.
const HELD: Fields = [GET[0], GET[1], GET[2], (":path", "/held")];

/// Where stream 1 is when a case begins (RFC 9113 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not even the preface was sent.
    Mute,
    Idle,
    /// A request without its end; none of it is answered before that.
    Open,
    /// A whole request, not answered.
    HalfClosed,
    /// Reset by the client.
    Reset,
    /// Answered in full.
    Closed,
}

/// What the RFC allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    Answer(u16),
    /// A stream error; it may as well end the connection (§5.4.1).
    Stream(u32),
    Connection(u32),
    /// The connection ends without a word.
    Closed,
    /// Nothing happens, and the connection goes on.
    Ignored,
}

impl Right {
    fn allows(self, seen: Option<Outcome>) -> bool {
        match self {
            Answer(status) => seen == Some(Outcome::Status(status)),
            Stream(code) => seen == Some(Outcome::Reset(code)) || seen == Some(Outcome::GoAway(code)),
            Connection(code) => seen == Some(Outcome::GoAway(code)),
            Closed => seen == Some(Outcome::Closed),
            Ignored => seen.is_none(),
        }
    }
}

/// Bytes, and what may become of a stream for them.
struct Case {
    /// Section and what is sent.
    name: &'static str,
    state: State,
    sent: Vec<u8>,
    right: &'static [Right],
    /// What the node does instead.
    deviation: Option<Right>,
    stream: u32,
}

fn case(name: &'static str, state: State, sent: Vec<u8>, right: &'static [Right]) -> Case {
    Case { name, state, sent, right, deviation: None, stream: 1 }
}

impl Case {
    /// Known not to be as the RFC says.
    fn but(self, deviation: Right) -> Self {
        Self { deviation: Some(deviation), ..self }
    }

    /// Judges another stream than 1.
    fn on(self, stream: u32) -> Self {
        Self { stream, ..self }
    }

    /// What is wrong, if anything.
    async fn offence(&self, node: &Node) -> Option<String> {
        let mut client = reach(node, self.state).await;
        client.raw(&self.sent).await;
        // An answer may come behind that of a PING.
        let answered = self.right.iter().chain(&self.deviation).any(|right| matches!(right, Answer(_)));
        let seen = match answered {
            true => Some(client.outcome(self.stream).await),
            false => client.settled(self.stream).await,
        };
        let right = self.right.iter().any(|right| right.allows(seen));
        match self.deviation {
            Some(_) if right => Some(format!("{}: {seen:?} is right; take the deviation out", self.name)),
            Some(known) if !known.allows(seen) => Some(format!("{}: {seen:?}, known as {known:?}", self.name)),
            None if !right => Some(format!("{}: {seen:?}, not of {:?}", self.name, self.right)),
            _ => None,
        }
    }
}

/// A connection with stream 1 in a state.
async fn reach(node: &Node, state: State) -> Frames {
    let stream = TcpStream::connect(node.address("http")).await.unwrap();
    if state == State::Mute {
        return Frames::mute(stream);
    }
    let mut client = Frames::begin(stream).await;
    match state {
        State::Mute | State::Idle => {}
        State::Open => client.ask(1, &POST, false).await,
        State::HalfClosed => client.ask(1, &HELD, true).await,
        State::Reset => {
            client.ask(1, &HELD, true).await;
            client.send(kind::RST_STREAM, 0, 1, &CANCEL.to_be_bytes()).await;
        }
        State::Closed => {
            client.ask(1, &GET, true).await;
            while let Some(frame) = client.next().await {
                if frame.stream == 1
                    && matches!(frame.kind, kind::HEADERS | kind::DATA)
                    && frame.flags & END_STREAM != 0
                {
                    break;
                }
            }
        }
    }
    client
}

async fn origin() -> Origin {
    Origin::start(|request| match request.path.as_str() {
        "/held" => Response::with(&[], Body::Silence),
        path => Response::ok(&["cache-control: max-age=60"], path.as_bytes()),
    })
    .await
}

/// A node that speaks HTTP/2 without TLS, with `origin` behind `site.example` and a recorder behind `upload.example`.
async fn node(origin: &Origin) -> Node {
    node_before(origin, Recorder::start().await.address).await
}

/// The same with a recorder that is there.
async fn node_before(origin: &Origin, uploads: SocketAddr) -> Node {
    let site = |host: &str, url: &str| format!("[[site]]\nhosts = [{host:?}]\norigin = [{url:?}]\n");
    let config = [
        "[listen]\nadmin = \"127.0.0.1:0\"\nhttp = [{ bind = \"127.0.0.1:0\", h2c = true }]\n",
        &site("site.example", &origin.url()),
        &site("upload.example", &format!("http://{uploads}")),
    ];
    Node::start(BINARY, &config.concat(), &[]).await
}

/// Runs cases, each on a connection of its own, and names all that went wrong.
async fn hold(cases: Vec<Case>) {
    let origin = origin().await;
    let uploads = Recorder::start().await;
    let node = node_before(&origin, uploads.address).await;
    let mut wrong = Vec::new();
    for case in &cases {
        wrong.extend(case.offence(&node).await);
        // However a body ended, its connection to the origin goes on with the next request and nothing before it.
        wrong.extend(uploads.take().nonsense.into_iter().map(|nonsense| format!("{}: {nonsense}", case.name)));
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(node.get("site.example", "/a", &[]).await.status, 200, "the node is none the worse");
}

/// HEADERS of a request that has no body.
fn headers(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &block(fields))
}

/// A whole request, field block as given.
fn packed(block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, block)
}

/// A setting: its number and its value (§6.5.1).
fn setting(number: u16, value: u32) -> Vec<u8> {
    [&number.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

fn settings(number: u16, value: u32) -> Vec<u8> {
    frame(kind::SETTINGS, 0, 0, &setting(number, value))
}
