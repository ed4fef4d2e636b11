//! An origin that is an object store: it answers only what is signed (Signature Version 4), and works the signature out itself.

use littoral_testkit::origin::Body;
use littoral_testkit::{Client, Node, Origin, Response, refused, s3};

use super::{BINARY, config, get};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SIGN: &str = "sign = { kind = \"s3\", region = \"eu-central-1\", credentials = \"keys\" }";

async fn store() -> Origin {
    Origin::start(|request| match s3::verify(request, SECRET, "eu-central-1") {
        Ok(()) => Response::ok(&["cache-control: max-age=60"], b"object"),
        Err(why) => {
            Response { status: 403, fields: vec!["cache-control: no-store".into()], body: Body::Whole(why.into()) }
        }
    })
    .await
}

fn text(origin: &Origin, sign: &str) -> String {
    let url = format!("{:?}", origin.url());
    config(&[origin], "").replace(&url, &format!("{{ url = {url}, host = \"bucket.store.example\", {sign} }}"))
}

fn keys(secret: &str) -> String {
    format!("[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = {secret}\naws_session_token = a/b==\n")
}

#[tokio::test]
async fn a_store_answers_what_is_signed_whatever_the_object_is_called() {
    let origin = store().await;
    let node = Node::start(BINARY, &text(&origin, SIGN), &[("keys", keys(SECRET).as_bytes())]).await;
    for path in [
        "/a",
        "/a%20b/c(1)'*!.mpd",
        "/%C3%BC/%2B+:@&=$,;",
        "/a?versionId=3&partNumber=1",
        "/?list-type=2&prefix=a%2Fb",
        "//a//b/../c",
    ] {
        let reply = get(&node, path).await;
        assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    }
    let fields = ["Range: bytes=0-1", "Authorization: Basic x", "X-Amz-Acl: public-read"];
    assert_eq!(node.get("site.example", "/range", &fields).await.status, 206);
    let mut client = Client::connect(node.address("http")).await;
    client.send("PUT /new HTTP/1.1\r\nHost: site.example\r\nContent-Length: 4\r\n\r\nbody").await;
    assert_eq!(client.reply(false).await.unwrap().status, 200);
    let put = origin.requests().into_iter().find(|request| request.method == "PUT").unwrap();
    assert_eq!(put.field("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
    assert!(origin.requests().iter().all(|request| request.field("host") == Some("bucket.store.example")));
}

#[tokio::test]
async fn a_wrong_secret_is_the_stores_403_and_a_reload_mends_it() {
    let origin = store().await;
    let node = Node::start(BINARY, &text(&origin, SIGN), &[("keys", keys("wrong").as_bytes())]).await;
    assert_eq!(get(&node, "/a").await.status, 403);
    std::fs::write(node.file("keys"), keys(SECRET)).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    assert_eq!(get(&node, "/a").await.status, 200);
}

#[tokio::test]
async fn whoever_cannot_sign_is_told_so_at_start() {
    let origin = store().await;
    for (sign, expected) in [
        ("sign = { kind = \"s3\", region = \"r\" }", "give access_key_env and secret_key_env, or credentials"),
        (SIGN, "keys: cannot read it"),
        (
            "sign = { kind = \"s3\", region = \"r\", access_key_env = \"LITTORAL_NO\", secret_key_env = \"LITTORAL_NO\" }",
            "the environment has no \"LITTORAL_NO\": set it, or name another",
        ),
        ("sign = { kind = \"s4\", region = \"r\" }", "unknown variant `s4`"),
    ] {
        let (code, told) = refused(BINARY, &text(&origin, sign), &[]);
        assert!(code == Some(2) && told.contains(expected), "{told}");
    }
}
