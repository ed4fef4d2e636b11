//! Filters that are shipped and decide who passes, what is looked up and what is left of a body, in the node.

use littoral_testkit::mmdb::Builder;
use littoral_testkit::node::plugin;
use littoral_testkit::{Client, Node, Origin, Reply, Response};

use super::{BINARY, config};

/// A config of one filter; `top` and `site` go to the top and to the site.
fn with(origin: &Origin, keys: &str, top: &str, site: &str) -> String {
    let more = format!(
        "{top}\n[[plugin]]\nname = \"f\"\nfile = \"f.wasm\"\non_fault = \"closed\"\ndeadline = \"1s\"\n{keys}\n[site]\nfilters = [\"f\"]\ndefault_ttl = \"1m\"\n{site}"
    );
    config(&[origin], &more)
}

async fn filtered(origin: &Origin, name: &str, keys: &str) -> Node {
    Node::start(BINARY, &with(origin, keys, "", ""), &[("f.wasm", &plugin(name))]).await
}

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

/// An origin that tells in its body what it was asked for, and with which fields of these.
async fn telling() -> Origin {
    Origin::start(|request| {
        let field = |name: &str| request.field(name).unwrap_or_default().to_owned();
        let told = format!("{} {}{}{}", request.path, field("authorization"), field("x-user"), field("x-country"));
        Response::ok(&[], told.as_bytes())
    })
    .await
}

/// Signed with HS256 by the key below: who `sub` is, until 2286, and the same long over.
const GOOD: &str = "eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiAiYW5uIiwgImV4cCI6IDk5OTk5OTk5OTl9.q04rexDyvtJl21qZijAxJi4xu3wsuQB8ahfW0IGa2yo";
const OVER: &str = "eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiAiYW5uIiwgImV4cCI6IDEwMDAwMDAwMDB9.LQ39l5id5zxyBZv4g1LzOQ5e2Rn257598zOKrm3i3_k";
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";

#[tokio::test]
async fn who_has_a_good_token_shares_what_is_stored_and_others_get_401() {
    let origin = telling().await;
    let keys = format!(
        "config = {{ keys = [{{ kty = \"oct\", alg = \"HS256\", k = \"{KEY}\" }}], forward = {{ sub = \"x-user\" }} }}"
    );
    let node = filtered(&origin, "filter-jwt", &keys).await;
    let get = async |token: &str| {
        node.get("site.example", "/a", &[&format!("Authorization: Bearer {token}"), "X-User: eve"]).await
    };
    for _ in 0..2 {
        assert_eq!(text(&get(GOOD).await), "/a ann", "and the token goes no further");
    }
    assert_eq!(origin.requests().len(), 1);
    for (token, why) in [(OVER, "it is over"), (&GOOD.replace('A', "B"), "no "), ("x", "compact form")] {
        let reply = get(token).await;
        assert!(reply.status == 401 && reply.field("www-authenticate").starts_with("Bearer error="), "{reply:?}");
        assert!(why == "no " || text(&reply).contains(why), "{why}: {}", text(&reply));
    }
    let reply = node.get("site.example", "/a", &[]).await;
    assert_eq!((reply.status, reply.field("www-authenticate")), (401, "Bearer"));
}

#[tokio::test]
async fn a_client_passes_by_its_country_as_it_is_placed_now() {
    let origin = telling().await;
    let database = |country: &str| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("geo.mmdb");
        Builder::country().add_country("127.0.0.0/8", country).write(&file);
        std::fs::read(file).unwrap()
    };
    let keys = "config = { allow = [\"NL\"], status = 451, field = \"x-country\" }";
    let config = with(&origin, keys, "[geo]\ndatabase = [\"geo.mmdb\"]", "key = { headers = [\"x-country\"] }");
    let node = Node::start(BINARY, &config, &[("f.wasm", &plugin("filter-geo")), ("geo.mmdb", &database("NL"))]).await;
    assert_eq!(text(&node.get("site.example", "/a", &["X-Country: DE"]).await), "/a NL");
    // The databases are told to nobody else: a file that changes is read again.
    std::fs::write(node.file("geo.new"), database("DE")).unwrap();
    std::fs::rename(node.file("geo.new"), node.file("geo.mmdb")).unwrap();
    while node.get("site.example", "/a", &[]).await.status != 451 {}
    std::fs::write(node.file("geo.new"), b"no database").unwrap();
    std::fs::rename(node.file("geo.new"), node.file("geo.mmdb")).unwrap();
    while !node.log().contains("filters keep the old database of places") {
        assert_eq!(node.get("site.example", "/a", &[]).await.status, 451);
    }
    assert_eq!(node.get("site.example", "/a", &[]).await.status, 451);
    let without = std::fs::read_to_string(node.file("node.toml")).unwrap().replace("database = [\"geo.mmdb\"]", "");
    std::fs::write(node.file("node.toml"), without).unwrap();
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert!(status == 422 && said.contains("name an MMDB file in [geo] database"), "{said}");
}

#[tokio::test]
async fn a_browser_that_has_worked_passes_and_others_get_the_page() {
    let origin = telling().await;
    let keys = "config = { secrets = [\"0123456789abcdef\"], bits = 1 }";
    let node = filtered(&origin, "filter-challenge", keys).await;
    let page = node.get("site.example", "/a", &["Accept: text/html"]).await;
    assert_eq!((page.status, page.field("cache-control")), (403, "no-store"));
    let said = text(&page);
    let challenge = said.split("challenge = \"").nth(1).unwrap().split('"').next().unwrap();
    // With one bit of work every other number is a solution.
    let mut number = 0;
    let welcome = loop {
        let proof = format!("Cookie: littoral-proof={challenge}.{number}");
        let reply = node.get("site.example", "/a", &["Accept: text/html", &proof]).await;
        if reply.status != 403 {
            break reply;
        }
        number += 1;
    };
    assert_eq!((welcome.status, welcome.field("location")), (303, "/a"));
    let pass = welcome.field("set-cookie").split(';').next().unwrap().to_owned();
    assert!(pass.starts_with("littoral-pass="), "{welcome:?}");
    let mut client = Client::connect(node.address("http")).await;
    for _ in 0..2 {
        assert_eq!(text(&client.get("site.example", "/a", &[&format!("Cookie: {pass}")]).await), "/a ");
    }
    assert_eq!(node.get("site.example", "/a", &[&format!("Cookie: {pass}0")]).await.status, 403);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn targets_with_one_key_share_what_is_stored_and_cookies_tell_apart() {
    let origin = telling().await;
    let keys = "config = { lower_case = true, query = { drop = [\"utm_*\"] }, cookies = [\"lang\"] }";
    let node = filtered(&origin, "filter-key", keys).await;
    for (target, cookie, expected) in [
        ("/A?b=1&utm_id=7", "x=y", "/A?b=1&utm_id=7 "),
        ("/a?utm_source=z&b=1", "x=z", "/A?b=1&utm_id=7 "),
        ("/a?b=1", "lang=nl", "/a?b=1 "),
        ("/a?b=1", "lang=de", "/a?b=1 "),
    ] {
        let reply = node.get("site.example", target, &[&format!("Cookie: {cookie}")]).await;
        assert_eq!(text(&reply), expected, "{target} {cookie}");
    }
    assert_eq!(origin.requests().len(), 3);
}

#[tokio::test]
async fn html_is_stored_with_its_elements_rewritten_whatever_its_length() {
    let link = "<p>An <a href=\"http://old.example/a\">old</a> one, and <A HREF='/b'>another</A>.</p>\n";
    let page = format!("<head><script class=t>x()</script></head>{}", link.repeat(5000));
    let body = page.clone();
    let origin = Origin::start(move |_| {
        Response::ok(&["content-type: text/html; charset=utf-8", "cache-control: max-age=60"], body.as_bytes())
    })
    .await;
    let keys = "[[plugin.config.rule]]\nselect = \"a[href^='http://old.example/']\"\nrebase = { href = [\"http://old.example/\", \"https://new.example/\"] }\n[[plugin.config.rule]]\nselect = \"script.t\"\nremove = true\n";
    let node = filtered(&origin, "filter-html", keys).await;
    let expected = page.replace("http://old", "https://new").replace("<script class=t>x()</script>", "");
    for _ in 0..2 {
        let reply = node.get("site.example", "/a", &[]).await;
        assert!(reply.status == 200 && reply.whole, "{}", reply.status);
        assert_eq!(text(&reply), expected);
    }
    assert_eq!(origin.requests().len(), 1, "the second one is a hit");
}

#[tokio::test]
async fn json_is_stored_without_what_is_removed_and_a_broken_body_is_cut_off() {
    let item = r#"{"id": 7, "cost": {"of": [1, 2]}, "name": "é\"x"},"#;
    let body = format!("{{\"items\": [{}{{}}], \"self\": \"http://old\"}}", item.repeat(5000));
    let origin = Origin::start(move |request| {
        let broken = request.path.contains("broken");
        let body = if broken { &body[..body.len() - 1] } else { &body };
        Response::ok(&["content-type: application/json", "cache-control: max-age=60"], body.as_bytes())
    })
    .await;
    let keys = "config = { remove = [\"/items/*/cost\"], set = { \"/self\" = \"https://new\" } }";
    let node = filtered(&origin, "filter-json", keys).await;
    for _ in 0..2 {
        let reply = node.get("site.example", "/a", &[]).await;
        assert!(reply.status == 200 && reply.whole, "{}", reply.status);
        let told = text(&reply);
        assert!(
            !told.contains("cost") && told.ends_with("{}],\"self\":\"https://new\"}"),
            "{}",
            &told[told.len() - 80..]
        );
        assert_eq!(told.matches(r#"{"id":7,"name":"é\"x"},"#).count(), 5000);
    }
    let broken = node.get("site.example", "/broken", &[]).await;
    assert!(!broken.whole || broken.status == 503, "it is cut off");
    assert_eq!((origin.requests().len(), node.metrics().await["littoral_cache_objects"]), (2, 1.0));
}
