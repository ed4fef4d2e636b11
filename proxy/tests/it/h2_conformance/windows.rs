//! What takes more than one step: acknowledgements, the order of a farewell, and DATA that waits for a window (RFC 9113 §6.9).

use littoral_testkit::h2::{Frame, Frames, Outcome, frame, kind};
use littoral_testkit::tls::{Authority, TlsClient};
use littoral_testkit::{Node, Origin, Response};
use tokio::net::TcpStream;

use super::{BINARY, GET, PROTOCOL_ERROR, headers, node, origin, setting, settings};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

async fn frames(node: &Node) -> Frames {
    Frames::mute(TcpStream::connect(node.address("http")).await.unwrap())
}

/// The next frame of a type.
async fn next(client: &mut Frames, kind: u8) -> Frame {
    loop {
        let frame = client.next().await.unwrap();
        if frame.kind == kind {
            return frame;
        }
    }
}

#[tokio::test]
async fn the_server_starts_with_settings_and_acknowledges_each_once() {
    let origin = origin().await;
    let node = node(&origin).await;
    let mut client = frames(&node).await;
    client.raw(&[PREFACE, &frame(kind::SETTINGS, 0, 0, &[])].concat()).await;
    let first = client.next().await.unwrap();
    assert_eq!((first.kind, first.flags, first.stream), (kind::SETTINGS, 0, 0), "§3.4");
    for (number, value) in [(4, 9), (0xf0f0, 1)] {
        client.raw(&settings(number, value)).await;
    }
    client.send(kind::PING, 0, 0, b"in order").await;
    let mut acknowledged = 0;
    loop {
        let frame = client.next().await.unwrap();
        match frame.kind {
            kind::SETTINGS => {
                assert_eq!((frame.flags, frame.payload.len()), (1, 0), "§6.5");
                acknowledged += 1;
            }
            kind::PING => {
                assert_eq!((frame.flags, frame.stream, &frame.payload[..]), (1, 0, &b"in order"[..]), "§6.7");
                break;
            }
            _ => {}
        }
    }
    assert_eq!(acknowledged, 3, "§6.5.3");
}

#[tokio::test]
async fn a_connection_error_names_the_last_stream_and_closes() {
    let origin = origin().await;
    let node = node(&origin).await;
    let mut client = frames(&node).await;
    client.raw(&[PREFACE, &frame(kind::SETTINGS, 0, 0, &[]), &headers(5, &GET)].concat()).await;
    assert_eq!(client.outcome(5).await, Outcome::Status(200));
    client.send(kind::DATA, 0, 0, b"x").await;
    let farewell = next(&mut client, kind::GOAWAY).await;
    assert_eq!(farewell.stream, 0, "§6.8");
    assert_eq!(farewell.payload[..8], [&5_u32.to_be_bytes()[..], &PROTOCOL_ERROR.to_be_bytes()].concat(), "§5.4.1");
    assert_eq!(client.next().await, None, "§5.4.1");
}

#[tokio::test]
async fn over_tls_what_is_no_preface_ends_the_connection() {
    let origin = origin().await;
    let authority = Authority::default();
    let issued = authority.issue(&["site.example"]);
    let config = format!(
        "[listen]\n[[listen.https]]\nbind = \"127.0.0.1:0\"\ncert = \"c.pem\"\nkey = \"c.key\"\n[[site]]\nhosts = [\"site.example\"]\norigin = [{:?}]\n",
        origin.url()
    );
    let files: [(&str, &[u8]); 2] = [("c.pem", issued.cert.as_bytes()), ("c.key", issued.key.as_bytes())];
    let node = Node::start(BINARY, &config, &files).await;
    for bytes in [
        &b"INVALID CONNECTION PREFACE\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: site.example\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ] {
        let stream =
            TlsClient::plain(&authority, &["h2"]).connect(node.address("https"), "site.example").await.unwrap();
        let mut client = Frames::mute(stream);
        client.raw(bytes).await;
        let end = client.end().await;
        assert!(matches!(end, Outcome::GoAway(PROTOCOL_ERROR) | Outcome::Closed), "§3.4: {end:?}");
    }
}

/// What the client sends, and how many bytes of the body it has in all after it.
type Step = (Vec<u8>, usize);

fn update(stream: u32, by: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// The steps of a download of [`BODY`] bytes on stream 1.
fn downloads() -> Vec<(&'static str, Vec<Step>)> {
    let hello = |payload: &[u8]| [PREFACE, &frame(kind::SETTINGS, 0, 0, payload), &headers(1, &GET)].concat();
    let ten_then_one = [setting(4, 10), setting(4, 1)].concat();
    vec![
        ("6.9.1 a window of one", vec![(hello(&setting(4, 1)), 1), (update(1, 1), 2), (update(1, 500), 502)]),
        ("6.5.3 the last of two values counts", vec![(hello(&ten_then_one), 1)]),
        ("6.9.1 no window at first", vec![(hello(&setting(4, 0)), 0), (update(1, 7), 7)]),
        ("6.9.2 a setting widens it", vec![(hello(&setting(4, 0)), 0), (settings(4, 1), 1), (settings(4, 30), 30)]),
        (
            "6.9.2 a setting makes it negative",
            vec![(hello(&setting(4, 3)), 3), (settings(4, 2), 3), (update(1, 1), 3), (update(1, 2), 5)],
        ),
        (
            "6.9 the connection's window is 65,535 whatever the setting",
            vec![
                (hello(&setting(4, 1_000_000)), 65_535),
                (update(0, 5), 65_540),
                (update(1, 5), 65_540),
                (update(0, 9999), 70_000),
            ],
        ),
        (
            "6.9 the end needs no window",
            vec![(hello(&setting(4, 65_535)), 65_535), ([update(0, 9999), update(1, 4465)].concat(), 70_000)],
        ),
    ]
}

/// Longer than a connection's first window.
const BODY: usize = 70_000;

#[tokio::test]
async fn data_waits_for_the_windows_of_stream_and_connection() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], &[b'x'; BODY])).await;
    let node = node(&origin).await;
    for (name, steps) in downloads() {
        let (mut client, mut had) = (frames(&node).await, 0);
        for (sent, expected) in steps {
            client.raw(&sent).await;
            while had < expected {
                had += next(&mut client, kind::DATA).await.payload.len();
            }
            // What goes beyond the window would come before the answers to two PINGs.
            for _ in 0..2 {
                client.send(kind::PING, 0, 0, &[0; 8]).await;
                loop {
                    let frame = client.next().await.unwrap();
                    match frame.kind {
                        kind::PING => break,
                        kind::DATA => had += frame.payload.len(),
                        kind::RST_STREAM | kind::GOAWAY => panic!("{name}: {frame:?}"),
                        _ => {}
                    }
                }
            }
            assert_eq!(had, expected, "{name}");
        }
    }
}
