//! Answers to POST that are kept for GETs: only those that say they are what a GET would bring.

use littoral_testkit::{Body, Client, Gate, Node, Origin, Request, Response};

use super::{get, node_before};

const SITE: &str = "[site]\nstore_post = true\n";
const FRESH: &str = "cache-control: max-age=60";
const ITSELF: &str = "content-location: http://site.example/a?b";

async fn post(node: &Node, path: &str) -> u16 {
    let mut client = Client::connect(node.address("http")).await;
    client.send(format!("POST {path} HTTP/1.1\r\nHost: site.example\r\nContent-Length: 2\r\n\r\nhi")).await;
    let reply = client.reply(false).await.unwrap();
    assert!(reply.field("cache-status").contains("fwd=method"), "{}", reply.field("cache-status"));
    reply.status
}

/// An origin that answers POST with these fields, GET with others.
async fn origin(status: u16, fields: &[&str]) -> Origin {
    let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
    Origin::start(move |request| match request.method.as_str() {
        "POST" => Response { status, fields: fields.clone(), body: Body::Whole(b"posted".to_vec()) },
        _ => Response::ok(&[FRESH], b"got"),
    })
    .await
}

#[tokio::test]
async fn an_answer_to_post_is_kept_only_with_an_explicit_lifetime_and_as_the_very_url() {
    let relative = "content-location: ?b";
    for (site, status, fields, kept) in [
        (SITE, 200, &[FRESH, ITSELF][..], true),
        (SITE, 200, &[FRESH, relative], true),
        (SITE, 200, &["cdn-cache-control: max-age=9", ITSELF], true),
        ("", 200, &[FRESH, ITSELF], false),
        ("[site]\nstore_post = true\ndefault_ttl = \"1m\"\n", 200, &[ITSELF], false),
        (SITE, 200, &[FRESH], false),
        (SITE, 200, &[FRESH, "content-location: /a"], false),
        (SITE, 200, &[FRESH, "content-location: http://other.example/a?b"], false),
        (SITE, 200, &[FRESH, ITSELF, ITSELF], false),
        (SITE, 200, &[FRESH, ITSELF, "set-cookie: a=b"], false),
        (SITE, 200, &["cache-control: no-store, max-age=60", ITSELF], false),
        (SITE, 201, &[FRESH, ITSELF], false),
    ] {
        let origin = origin(status, fields).await;
        let node = node_before(&origin, site).await;
        // What was there is replaced or gone, kept or not.
        get(&node, "/a?b").await;
        assert_eq!(post(&node, "/a?b").await, status);
        let reply = get(&node, "/a?b").await;
        assert_eq!(reply.body == b"posted", kept, "{site} {status} {fields:?}");
        assert_eq!(reply.field("cache-status").contains("; hit"), kept, "{site} {status} {fields:?}");
        assert_eq!(origin.count("/a?b"), if kept { 2 } else { 3 });
    }
}

#[tokio::test]
async fn a_purge_while_a_post_is_answered_keeps_the_answer_from_being_kept() {
    for purged in [false, true] {
        let gate = Gate::default();
        let held = gate.clone();
        let answer = move |_: &Request| Response::with(&[FRESH, ITSELF], Body::Held(held.clone(), b"x".to_vec()));
        let origin = Origin::start(answer).await;
        let node = node_before(&origin, SITE).await;
        let posting = post(&node, "/a?b");
        let meanwhile = async {
            origin.asked("/a?b", 1).await;
            if purged {
                node.admin("POST", "/v1/purge", r#"{"host": "site.example"}"#).await;
            }
            gate.open();
        };
        tokio::join!(posting, meanwhile);
        let hit = get(&node, "/a?b").await.field("cache-status").contains("; hit");
        assert_eq!(hit, !purged);
    }
}
